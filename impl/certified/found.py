"""What a course finds in a layer, sample by sample, in arrays with room for every sample's rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from impl.certified import course_loops, row_loops
from impl.certified.interface import Activation
from impl.kernels.compiled import use_threads
from impl.support import Support
from reference.contract.shapes import Bool, Float, Int


class Done(NamedTuple):
    """What was done on the way, over all samples.

    Attributes:
        changes: Multiply-adds with D.
        screened: Samples that were screened.
        columns: That came.
        rows: That came.
        copies: Numbers of W⁰ that were copied to blocks for these rows.
        references: Inputs that became references.
        gathered: Rows of the table that they took.
        changes_back: Multiply-adds with Dᵀ.
    """

    changes: int
    screened: int
    columns: int
    rows: int
    copies: int
    references: int
    gathered: int
    changes_back: int


class Found:
    """The active units of samples, as they are found; arrays are kept from pass to pass, and grow.

    Attributes:
        counts: (n, COUNTED) int64: see row_loops.py.
        units: (n, room) uint32, the active units of a sample.
        active: (n, room), their preactivations.
        hidden: (n, room), and their hidden values.
        places: (n, input room) uint32, of the active inputs among the columns.
        left: (n, c, room), left factors.
    """

    def __init__(self, dtype: np.dtype):
        self._dtype = dtype
        self.counts: Int[np.ndarray, "n counted"] = np.zeros((0, row_loops.COUNTED), np.int64)
        self.units: Int[np.ndarray, "n room"] = np.empty((0, 0), np.uint32)
        self.active: Float[np.ndarray, "n room"] = np.empty((0, 0), dtype)
        self.hidden: Float[np.ndarray, "n room"] = np.empty((0, 0), dtype)
        self.places: Int[np.ndarray, "n input_room"] = np.empty((0, 0), np.uint32)
        self.left: Float[np.ndarray, "n c room"] = np.empty((0, 0, 0), dtype)

    def begin(self, samples: int, inputs: int, outputs: int) -> None:
        """For a batch of so many samples, with so many inputs at most; `outputs` is c, or 0 without left factors."""
        for name in ("counts", "units", "active", "hidden", "places", "left"):  # each looked at: one may have failed
            array = getattr(self, name)
            shape = (samples, outputs) if name == "left" else (samples,)
            if array.shape[:-1] != shape:
                setattr(self, name, np.empty((*shape, array.shape[-1]), array.dtype))
        self.counts[:] = 0
        self.make_room(0, inputs)

    def make_room(self, room: int, inputs: int) -> None:
        """Makes room for so many active units of a sample, and so many inputs; what was found stays."""
        for name, wanted in (("units", room), ("active", room), ("hidden", room), ("left", room), ("places", inputs)):
            old = getattr(self, name)
            if wanted > old.shape[-1]:
                new = np.empty((*old.shape[:-1], wanted), old.dtype)
                new[..., : old.shape[-1]] = old
                setattr(self, name, new)

    @property
    def stopped(self) -> Bool[np.ndarray, " n"]:
        """Which samples have to be screened first."""
        stopped: np.ndarray = self.counts[:, row_loops.STATUS] == row_loops.STOPPED
        return stopped

    @property
    def done(self) -> Done:
        """What was done within the samples' passes."""
        return Done(*self.counts[:, row_loops.CHANGES :].sum(axis=0).tolist())

    def activation(self, width: int) -> tuple[Activation, Float[torch.Tensor, " active_entries"]]:
        """The active units of all samples, one after the other, with hidden values; `width` is m."""
        _, active, rows, products, moved = self.counts[:, : row_loops.CHANGES].T
        offsets = np.zeros(len(active) + 1, np.int32)
        active.cumsum(out=offsets[1:])
        entries = int(offsets[-1])
        samples, units = np.empty((2, entries), np.int32)
        values, hidden = np.empty((2, entries), self._dtype)
        use_threads(entries)
        padded = self.units, self.active, self.hidden
        course_loops.compact(*padded, offsets, samples, units, values, hidden)
        begins = torch.from_numpy(offsets)
        support = Support(begins, torch.from_numpy(samples), torch.from_numpy(units), width, begins)
        numbers = int(rows.sum()), int(products.sum()), int(moved.sum())
        return Activation(support, torch.from_numpy(values), *numbers), torch.from_numpy(hidden)

    def left_factors(self, support: Support) -> Float[torch.Tensor, "c entries"]:
        """The left factors on a support that was found."""
        left = np.empty((self.left.shape[1], support.entries), self._dtype)
        use_threads(left.size)
        course_loops.compact_left(self.left, support.offsets.numpy(), left)
        return torch.from_numpy(left)
