"""What a course finds in a layer, sample by sample, in arrays with room for every sample's rows."""

from __future__ import annotations

import numpy as np

from impl.certified import row_loops
from reference.contract.shapes import Bool, Float, Int, UInt


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
        self._arrays: tuple[np.ndarray, ...] | None = None
        self.counts: Int[np.ndarray, "n counted"] = np.zeros((0, row_loops.COUNTED), np.int64)
        self.units: UInt[np.ndarray, "n room"] = np.empty((0, 0), np.uint32)
        self.active: Float[np.ndarray, "n room"] = np.empty((0, 0), dtype)
        self.hidden: Float[np.ndarray, "n room"] = np.empty((0, 0), dtype)
        self.places: UInt[np.ndarray, "n input_room"] = np.empty((0, 0), np.uint32)
        self.left: Float[np.ndarray, "n c room"] = np.empty((0, 0, 0), dtype)

    def begin(self, samples: int, inputs: int, outputs: int) -> None:
        """For a batch of so many samples, with so many inputs at most; `outputs` is c, or 0 without left factors."""
        for name in ("counts", "units", "active", "hidden", "places", "left"):  # each looked at: one may have failed
            array = getattr(self, name)
            shape = (samples, outputs) if name == "left" else (samples,)
            if array.shape[:-1] != shape:
                self._arrays = None
                setattr(self, name, np.empty((*shape, array.shape[-1]), array.dtype))
        self.counts[:] = 0
        self.make_room(0, inputs)

    def make_room(self, room: int, inputs: int) -> None:
        """Makes room for so many active units of a sample, and so many inputs; what was found stays."""
        for name, wanted in (("units", room), ("active", room), ("hidden", room), ("left", room), ("places", inputs)):
            old = getattr(self, name)
            if wanted > old.shape[-1]:
                self._arrays = None
                new = np.empty((*old.shape[:-1], wanted), old.dtype)
                new[..., : old.shape[-1]] = old
                setattr(self, name, new)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """All of them; the same tuple as long as they are the same arrays."""
        if self._arrays is None:
            self._arrays = self.counts, self.units, self.active, self.hidden, self.places, self.left
        return self._arrays

    @property
    def stopped(self) -> Bool[np.ndarray, " n"]:
        """Which samples have to be screened first."""
        stopped: np.ndarray = self.counts[:, row_loops.STATUS] == row_loops.STOPPED
        return stopped
