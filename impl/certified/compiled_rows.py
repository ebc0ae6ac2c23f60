"""Passes over the rows of samples, compiled by numba: see row_loops.py and rest_loops.py for what they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from impl.certified import rest_loops, row_loops
from impl.certified.arrays import AnchorArrays
from impl.certified.bound import Bounds
from impl.certified.interface import Activation
from impl.certified.rest import RestArrays
from impl.certified.views import ChangeViews, CombinationViews, InputViews, RestViews, UnitViews, Views
from impl.kernels.compiled import by_unit, unsigned, use_threads
from impl.support import Support
from impl.weights.panels import Panel
from reference.contract.shapes import Bool, Float, Int


@dataclass(frozen=True)
class Batch:
    """Some samples and their inputs.

    Attributes:
        slots: Of the samples.
        support: Active inputs.
        values: On them.
        places: Theirs among the columns, once they are known.
    """

    slots: Int[torch.Tensor, " n"]
    support: Support
    values: Float[torch.Tensor, " entries"]
    places: Int[torch.Tensor, " entries"]


@dataclass(frozen=True)
class Units:
    """What is known by unit.

    Attributes:
        bias: β.
        magnitudes: A.
        drift: Of D.
        largest_drift: No unit's is larger.
        terms: Of a sum, beside the columns.
        limit: Of bounds.
        threshold: τ.
    """

    bias: Float[torch.Tensor, " m"]
    magnitudes: Float[torch.Tensor, " m"]
    drift: Float[torch.Tensor, " m"]
    largest_drift: float
    terms: int
    limit: float
    threshold: float


class Done(NamedTuple):
    """What was done on the way, over all samples.

    Attributes:
        changes: Multiply-adds with D.
        screened: Samples that were screened.
        columns: That came.
        rows: That came.
        copies: Numbers of W⁰ that were copied to blocks for these rows.
    """

    changes: int
    screened: int
    columns: int
    rows: int
    copies: int


class Found:
    """The active units of samples, as they are found.

    Args:
        samples: n.
        like: A tensor of the dtype of values.

    Attributes:
        counts: (n, COUNTED) int64: see row_loops.py.
        units: (n, room) int32, the active units of a sample.
        values: (n, room), and their preactivations.
    """

    def __init__(self, samples: int, like: torch.Tensor):
        self.counts: Int[np.ndarray, "n counted"] = np.zeros((samples, row_loops.COUNTED), np.int64)
        self.units: Int[torch.Tensor, "n room"] = torch.empty(samples, 0, dtype=torch.int32)
        self.values: Float[torch.Tensor, "n room"] = like.new_empty(samples, 0)

    @property
    def stopped(self) -> Bool[np.ndarray, " n"]:
        """Which samples have to be screened first."""
        stopped: np.ndarray = self.counts[:, row_loops.STATUS] == row_loops.STOPPED
        return stopped

    def make_room(self, room: int) -> None:
        """Makes room for so many active units of a sample."""
        known = self.units.shape[1]
        if room > known:
            units, values = self.units, self.values
            self.units, self.values = units.new_empty(len(units), room), values.new_empty(len(units), room)
            self.units[:, :known], self.values[:, :known] = units, values

    def activation(self, width: int) -> Activation:
        """All of them; `width` is m."""
        _, active, rows, products, moved, *_ = self.counts.T
        offsets = np.zeros(len(active) + 1, np.int32)
        active.cumsum(out=offsets[1:])
        entries = int(offsets[-1])
        samples, units = torch.empty(2, entries, dtype=torch.int32)
        values = self.values.new_empty(entries)
        use_threads(entries)
        padded, lists = (self.units.numpy(), self.values.numpy()), (samples.numpy(), units.numpy(), values.numpy())
        row_loops.compact(*padded, offsets, *lists)
        support = Support(torch.from_numpy(offsets), samples, units, width)
        return Activation(support, values, int(rows.sum()), int(products.sum()), int(moved.sum()))

    @property
    def done(self) -> Done:
        """What was done within the samples' passes."""
        return Done(*self.counts[:, row_loops.CHANGES :].sum(axis=0).tolist())


class CompiledRowKernels:
    """What a pass does beside screening, for tables on the CPU, in float32 or float64."""

    def advance(
        self,
        arrays: AnchorArrays,
        rest: RestArrays,
        batch: Batch,
        units: Units,
        change: ChangeViews,
        table: Float[torch.Tensor, "fan_in fan_out"],
        todo: Bool[np.ndarray, " n"],
        found: Found,
        *,
        screened: bool,
    ) -> None:
        """Finds the active units of the samples that are to do, unless they have to be screened first.

        `screened` says that they have just been screened. Otherwise those that do not rest any more are screened on the
        way, get the columns and rows that they need, if there is room and a reference would not be cheaper, and rest
        again.

        Live rows that are not active are added to `excess`. Where all rows of a screened sample were computed, as that
        was due (RENEWAL), and no number has overflowed, the input becomes the row reference; from then on those rows
        that are active come first, by unit, and the others after them, by how soon they may be active.
        """
        found.make_room(arrays.rows.shape[1])
        use_threads(batch.support.entries * arrays.rows.shape[1])
        known = views_of(arrays), _rest(rest), _batch(batch), _units(units)
        places = unsigned(found.units), found.values.numpy()
        row_loops.advance(*known, change, table.numpy(), screened, todo, found.counts, *places)

    def set_to_rest(
        self,
        arrays: AnchorArrays,
        rest: RestArrays,
        batch: Batch,
        units: Units,
        bounds: Bounds,
        exact: Float[torch.Tensor, "n fan_out"],
    ) -> None:
        """Writes down by how much the units of samples that have just been screened are certified."""
        use_threads(exact.numel())
        known = views_of(arrays), _rest(rest), _batch(batch), _units(units)
        combination = CombinationViews(*(getattr(bounds, name).numpy() for name in CombinationViews._fields))
        rest_loops.set_to_rest(*known, combination, exact.numpy(), bounds.change.numpy())

    def add_drift(
        self,
        right: Support,
        right_values: Float[torch.Tensor, " right_entries"],
        before: tuple[Support, Float[torch.Tensor, " _"]] | None,
        after: tuple[Support, Float[torch.Tensor, " _"]],
        sums: Float[torch.Tensor, " fan_out"],
    ) -> float:
        """See DriftKernel."""
        support, values = after
        nothing = Support(torch.zeros_like(support.offsets), support.units[:0], support.units[:0], support.width)
        old, old_values = before or (nothing, values[:0])
        old_left = old.offsets.numpy(), unsigned(old.units), old_values.numpy()
        left = support.offsets.numpy(), unsigned(support.units), values.numpy()
        step = np.empty(sums.numel())
        rights = right.offsets.numpy(), right_values.numpy()
        return float(rest_loops.add_drift(*rights, *old_left, *left, step, sums.numpy()))


def change_views(
    panels: Sequence[Panel] | None,
    table: Float[torch.Tensor, "m n"] | None,
    arrays: AnchorArrays,
) -> ChangeViews:
    """D as the loops take it.

    Args:
        panels: One, or none for D = 0; None where D is more than that.
        table: D h by unit, then.
        arrays: Of the layer.
    """
    dtype = arrays.norms.numpy().dtype
    no_table = table.numpy() if table is not None else np.empty((0, 0), dtype)
    if panels:
        right, left = panels[0].right, panels[0].left
        *rights, _ = by_unit(right)
        *lefts, length = by_unit(left)
        return ChangeViews(*rights, *lefts, right.samples, right.vectors, length, no_table)
    lists = [
        (np.zeros(width + 1, np.int32), *_NOTHING, np.empty(0, dtype)) for width in (arrays.fan_in, arrays.fan_out)
    ]
    return ChangeViews(*lists[0], *lists[1], 0, 0, 0, no_table)


_NOTHING = np.empty(0, np.uint32), np.empty(0, np.uint64)


def views_of(arrays: AnchorArrays) -> Views:
    """The arrays as numpy has them."""
    if arrays.kept is None:
        taken = {name: getattr(arrays, name).numpy() for name in Views._fields if hasattr(arrays, name)}
        for name in ("rows", "columns"):
            taken[name] = taken[name].view(np.uint32)
        blocks = {name: getattr(arrays.blocks, name).numpy() for name in ("numbers", "offset", "lines", "stride")}
        arrays.kept = Views(**taken, **blocks)
    views: Views = arrays.kept
    return views


def _rest(rest: RestArrays) -> RestViews:
    if rest.kept is None:
        taken = {name: getattr(rest, name).numpy() for name in RestViews._fields}
        taken["near"] = taken["near"].view(np.uint32)
        rest.kept = RestViews(**taken)
    views: RestViews = rest.kept
    return views


def _batch(batch: Batch) -> InputViews:
    support = batch.support.offsets.numpy(), unsigned(batch.support.units)
    return InputViews(batch.slots.numpy(), *support, batch.values.numpy(), unsigned(batch.places))


def _units(units: Units) -> UnitViews:
    arrays = units.bias.numpy(), units.magnitudes.numpy(), units.drift.numpy()
    number = arrays[0].dtype.type
    return UnitViews(*arrays, units.largest_drift, units.terms, number(units.limit), number(units.threshold))
