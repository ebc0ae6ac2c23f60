"""Passes over the rows of samples, compiled by numba: see row_loops.py for what they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from impl.certified import row_loops
from impl.certified.arrays import AnchorArrays
from impl.certified.bound import Combination
from impl.certified.interface import Activation
from impl.certified.rest import RestArrays
from impl.kernels import Factors
from impl.kernels.compiled import by_unit, unsigned, use_threads
from impl.support import Support, offsets_of
from impl.weights.panels import Panel
from reference.contract.shapes import Bool, Float, Int


@dataclass(frozen=True)
class Batch:
    """Some samples, their inputs, and what their bounds are made of.

    Attributes:
        slots: Of the samples.
        support: Active inputs.
        values: On them.
        places: Theirs among the columns.
        combination: Of the references.
    """

    slots: Int[torch.Tensor, " n"]
    support: Support
    values: Float[torch.Tensor, " entries"]
    places: Int[torch.Tensor, " entries"]
    combination: Combination


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


class Found:
    """The active units of samples, as they are found.

    Args:
        samples: n.
        like: A tensor of the dtype of values.

    Attributes:
        counts: (n, COUNTED) int64: see row_loops.py.
    """

    def __init__(self, samples: int, like: torch.Tensor):
        self.counts: Int[torch.Tensor, "n counted"] = torch.zeros(samples, row_loops.COUNTED, dtype=torch.int64)
        self.units: Int[torch.Tensor, "n room"] = torch.empty(samples, 0, dtype=torch.int32)
        self.values: Float[torch.Tensor, "n room"] = like.new_empty(samples, 0)

    @property
    def stopped(self) -> Bool[torch.Tensor, " n"]:
        """Which samples have to be screened first."""
        return self.counts[:, row_loops.STATUS] == row_loops.STOPPED

    def make_room(self, room: int) -> None:
        """Makes room for so many active units of a sample."""
        known = self.units.shape[1]
        if room > known:
            units, values = self.units, self.values
            self.units, self.values = units.new_empty(len(units), room), values.new_empty(len(units), room)
            self.units[:, :known], self.values[:, :known] = units, values

    def activation(self, width: int) -> Activation:
        """All of them; `width` is m."""
        _, active, rows, products, moved, _ = self.counts.T
        offsets = offsets_of(active)
        entries = int(offsets[-1])
        samples, units = offsets.new_empty(entries), offsets.new_empty(entries)
        values = self.values.new_empty(entries)
        use_threads(entries)
        padded, lists = (self.units.numpy(), self.values.numpy()), (samples.numpy(), units.numpy(), values.numpy())
        row_loops.compact(*padded, offsets.numpy(), *lists)
        total = torch.stack([rows, products, moved]).sum(dim=1).tolist()
        return Activation(Support(offsets, samples, units, width), values, *total)

    @property
    def change_products(self) -> int:
        """Multiply-adds with D."""
        return int(self.counts[:, row_loops.CHANGES].sum())


class CompiledRowKernels:
    """What a pass does beside screening, for tables on the CPU, in float32 or float64."""

    def advance(
        self,
        arrays: AnchorArrays,
        rest: RestArrays,
        batch: Batch,
        units: Units,
        change: row_loops.ChangeViews,
        screened: Bool[torch.Tensor, " n"],
        todo: Bool[torch.Tensor, " n"],
        found: Found,
    ) -> None:
        """Finds the active units of the samples that are to do: of screened ones, and of those that rest.

        Live rows that are not active are added to `excess`. Where all rows of a screened sample were computed, as that
        was due (RENEWAL), and no number has overflowed, the input becomes the row reference; from then on those rows
        that are active come first, by unit, and the others after them, by how soon they may be active.
        """
        found.make_room(arrays.rows.shape[1])
        use_threads(batch.support.entries * arrays.rows.shape[1])
        known = _known(arrays), _rest(rest), _batch(batch), _units(units, arrays.norms.numpy().dtype)
        which = screened.numpy(), todo.numpy()
        row_loops.advance(*known, change, *which, found.counts.numpy(), found.units.numpy(), found.values.numpy())

    def set_to_rest(
        self,
        arrays: AnchorArrays,
        rest: RestArrays,
        batch: Batch,
        units: Units,
        exact: Float[torch.Tensor, "n fan_out"],
        changes: Float[torch.Tensor, "fan_out n"],
    ) -> None:
        """Writes down by how much the units of samples that have just been screened are certified."""
        use_threads(exact.numel())
        known = _known(arrays), _rest(rest), _batch(batch), _units(units, arrays.norms.numpy().dtype)
        row_loops.set_to_rest(*known, exact.numpy(), changes.numpy())
        rest.valid[batch.slots] = True

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
        return float(row_loops.add_drift(*rights, *old_left, *left, step, sums.numpy()))


def change_of(
    panels: Sequence[Panel] | None,
    table: Float[torch.Tensor, "m n"] | None,
    like: torch.Tensor,
    widths: tuple[int, int],
) -> row_loops.ChangeViews:
    """D as the loops take it.

    Args:
        panels: One, or none for D = 0; None where D is more than that.
        table: D h by unit, then.
        like: A tensor of the dtype.
        widths: m_{ℓ−1} and m_ℓ.
    """
    dtype = like.numpy().dtype
    no_table = table.numpy() if table is not None else np.empty((0, 0), dtype)
    if panels:
        right, left = (_factors(factors) for factors in (panels[0].right, panels[0].left))
        return row_loops.ChangeViews(*right, *left, panels[0].right.vectors, no_table)
    right, left = (_no_factors(width, dtype) for width in widths)
    return row_loops.ChangeViews(*right, *left, 0, no_table)


_Lists = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _factors(factors: Factors) -> _Lists:
    return *by_unit(factors), factors.values.numpy()


def _no_factors(width: int, dtype: np.dtype) -> _Lists:
    nothing = np.empty(0, np.uint32)
    return np.zeros(width + 1, np.int32), nothing, nothing, np.empty((0, 0, 0), dtype)


def _known(arrays: AnchorArrays) -> row_loops.KnownViews:
    if "rows" not in arrays.kept:
        taken = {name: getattr(arrays, name).numpy() for name in row_loops.KnownViews._fields if hasattr(arrays, name)}
        taken["rows"] = taken["rows"].view(np.uint32)
        blocks = {name: getattr(arrays.blocks, name).numpy() for name in ("numbers", "offset", "stride")}
        arrays.kept["rows"] = row_loops.KnownViews(**taken, **blocks)
    views: row_loops.KnownViews = arrays.kept["rows"]
    return views


def _rest(rest: RestArrays) -> row_loops.RestViews:
    if rest.kept is None:
        taken = {name: getattr(rest, name).numpy() for name in row_loops.RestViews._fields}
        taken["near"] = taken["near"].view(np.uint32)
        rest.kept = row_loops.RestViews(**taken)
    views: row_loops.RestViews = rest.kept
    return views


def _batch(batch: Batch) -> row_loops.InputViews:
    combination = (part.numpy() for part in batch.combination)
    support = batch.support.offsets.numpy(), unsigned(batch.support.units)
    inputs = batch.values.numpy(), unsigned(batch.places)
    return row_loops.InputViews(batch.slots.numpy(), *support, *inputs, *combination)


def _units(units: Units, dtype: np.dtype) -> row_loops.UnitViews:
    arrays = units.bias.numpy(), units.magnitudes.numpy(), units.drift.numpy()
    limits = dtype.type(units.limit), dtype.type(units.threshold)
    return row_loops.UnitViews(*arrays, units.largest_drift, units.terms, *limits)
