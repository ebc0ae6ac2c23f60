"""One layer between anchors: which units may be active is known from bounds, and only those are computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from impl.activation import LayerActivation
from impl.certified.anchors import SCREENING, Anchors, LayerCounts
from impl.certified.arrays import AnchorArrays
from impl.certified.blocks import OutOfRoom
from impl.certified.bound import Bounds, gamma, limit_of
from impl.certified.interface import Activation, AnchorKernels
from impl.certified.soon import soon_active
from impl.kernels import Kernels
from impl.support import Support
from impl.weights import LazyWeights, LowRank
from impl.work import WorkMeter, tensor_bytes
from reference.contract.shapes import Bool, Float, Int


class CertifiedLayer(ABC):
    """A layer of the network, with what is known of its samples.

    Args:
        layer: ℓ, for counts and messages.
        weights: W_ℓ.
        bias: β_ℓ, or None.
        activation: Of the layer.
        kernels: The sparse products.
        anchor_kernels: Those of this package.
        room: Bytes for blocks.
        below: The layer below; without one, no inputs are foreseen.

    Attributes:
        arrays: What is known.
        anchors: How it comes about.
    """

    def __init__(
        self,
        layer: int,
        weights: LazyWeights,
        bias: Float[torch.Tensor, " fan_out"] | None,
        activation: LayerActivation,
        kernels: Kernels,
        anchor_kernels: AnchorKernels,
        room: int,
        below: CertifiedLayer | None,
    ):
        self.layer, self.weights, self.activation = layer, weights, activation
        self._kernels, self._anchor_kernels, self._below = kernels, anchor_kernels, below
        fan_in, fan_out = weights.table.shape
        self.bias = bias if bias is not None else weights.table.new_zeros(fan_out)
        self._largest_bias = float(self.bias.abs().max())
        self.arrays = AnchorArrays(fan_in, fan_out, room, weights.table.device, weights.table.dtype)
        self.anchors = Anchors(layer, self.arrays, kernels, anchor_kernels)
        self._base, self._version = weights.state.base, weights.state.version

    def make_room(self, samples: int) -> None:
        """Makes room for so many samples."""
        self.arrays.grow_slots(samples)

    @abstractmethod
    def forward(
        self,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        work: WorkMeter,
    ) -> LayerPass:
        """Preactivations of all units that may be active, and which of them are.

        Args:
            slots: Of the samples.
            support: Active inputs.
            values: h on them.
            work: Counts.

        Raises:
            SolveError: where a preactivation overflows.
            OutOfRoom: where there is none for the blocks.
        """

    def _pass(
        self,
        slots: Int[torch.Tensor, " n"],
        inputs: Support,
        found: Activation,
        hidden: Float[torch.Tensor, " active_entries"],
        counts: LayerCounts,
        work: WorkMeter,
        changes_back: int = 0,
    ) -> LayerPass:
        """What a pass leaves, with its work counted."""
        counts.work += found.multiply_adds + found.moved + SCREENING * counts.screened * self.arrays.fan_out
        counts.candidates, counts.certified = found.rows, slots.numel() * self.arrays.fan_out - found.rows
        numbers = found.multiply_adds + found.moved + 3 * found.rows + inputs.entries
        work.count(self.layer, found.multiply_adds, hidden.element_size() * numbers)
        return LayerPass(self, slots, inputs, found.support, found.values, hidden, counts, changes_back)

    def _screened(
        self,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        counts: LayerCounts,
        work: WorkMeter,
    ) -> tuple[Bounds, Int[torch.Tensor, " entries"]]:
        """Sees to anchors, columns and rows: afterwards all units that are not certified are rows."""
        counts.screened += slots.numel()
        table = self.weights.table
        new = (~self.anchors.begun(slots)).nonzero()[:, 0]
        if new.numel():
            self._forecast(support.counts[new])
            self.anchors.begin(new, slots, *self._foreseen(slots, support, values), table, counts, work)
        places = self.anchors.cover(slots, support, table, counts, work)
        change = self.weights.low_rank_product(support, values, work)
        low_rank = self.weights.state.low_rank
        return self._rows(slots, support, values, places, change, low_rank, counts, work), places

    def apply_transpose(
        self,
        taken: LayerPass,
        rows: Support,
        columns: Support,
        values: Float[torch.Tensor, "c column_entries"],
        work: WorkMeter,
    ) -> Float[torch.Tensor, "c row_entries"]:
        """See Weights, on what a pass has left."""
        places, _ = self._anchor_kernels.locate(self.arrays, taken.slots, rows)
        out = self._anchor_kernels.apply_transpose(self.arrays, taken.slots, rows, places, columns, values)
        self.count_transpose(rows, columns, out, work)
        if self.weights.rank:
            out -= self.weights.low_rank_transpose(rows, columns, values, work)
        return out

    def count_transpose(
        self, rows: Support, columns: Support, out: Float[torch.Tensor, "c row_entries"], work: WorkMeter
    ) -> None:
        """Counts what a product with (W⁰)ᵀ has taken."""
        pairs, outputs = rows.pairs_with(columns), out.shape[0]
        numbers = pairs + outputs * (columns.entries + rows.entries)
        work.count(self.layer, pairs * outputs, numbers * out.element_size() + tensor_bytes(rows.units, columns.units))

    @property
    def bytes(self) -> int:
        """What is kept of samples."""
        return self.arrays.bytes

    @property
    def rests(self) -> bool:
        """Whether its samples can go through it on a course (course.py)."""
        return False

    def candidates(self, slots: Int[torch.Tensor, " n"]) -> Bool[torch.Tensor, "n fan_out"]:
        """Which units the last pass of these samples computed."""
        place = self.arrays.row_place[slots]
        return (place >= 0) & (place < self.arrays.live_count[slots][:, None])

    def rounding(
        self, slots: Int[torch.Tensor, " n"], support: Support, values: Float[torch.Tensor, " entries"]
    ) -> Float[torch.Tensor, "n fan_out"]:
        """By how much an evaluation of z may be off: see bound.py."""
        low_rank = self.weights.state.low_rank
        terms = int(support.counts.max()) + low_rank.longest_sum
        squares = values.new_zeros(support.samples, dtype=torch.float64)
        norm = squares.index_add_(0, support.sample_of_entry.long(), values.double().square()).sqrt_()
        magnitudes = self._row_magnitudes(WorkMeter(values.device)).double()
        reach = (self.arrays.norms[slots].double() + magnitudes) * norm[:, None]
        return gamma(terms, values.dtype) * (reach + self._largest_bias + abs(self.activation.threshold))

    @abstractmethod
    def _row_magnitudes(self, work: WorkMeter) -> Float[torch.Tensor, " fan_out"]:
        """By unit A, or more, of the present D: see bound.py."""

    def _follow_base(self) -> None:
        """Anchors refer to W⁰ as it was: a fold ends them all."""
        state = self.weights.state
        if state.base is not self._base or state.base.version != self._version:
            self.anchors.forget_all()  # first: broken off here, it is done again
            self._base, self._version = state.base, state.base.version

    def _forecast(self, columns: Int[torch.Tensor, " new"]) -> None:
        """Spares what new anchors cost where their blocks could not fit: if as many are active here as below."""
        if self.layer > 1:  # below the first layer there are no active units, but inputs
            rows = columns.double() * (self.arrays.fan_out / self.arrays.fan_in)
            if (columns * rows).sum() > self.arrays.blocks.room:
                raise OutOfRoom

    def _foreseen(
        self, slots: Int[torch.Tensor, " n"], support: Support, values: Float[torch.Tensor, " entries"]
    ) -> tuple[Support, Float[torch.Tensor, " more_entries"]]:
        """The inputs, with those that may soon be active: their values are still zero."""
        if self._below is None:
            return support, values
        soon = soon_active(self._below.arrays, slots, support.counts)
        return self._kernels.add_vectors(support, values, soon, values.new_zeros(soon.entries))

    def _rows(
        self,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        places: Int[torch.Tensor, " entries"],
        change: Float[torch.Tensor, "fan_out n"],
        low_rank: LowRank,
        counts: LayerCounts,
        work: WorkMeter,
    ) -> Bounds:
        """Sees to it that all units that are not certified are rows: by more rows, or by a reference that is nearer."""
        bounds = self._bounds(slots, support, values, places, change, low_rank, work)
        needed = self._anchor_kernels.screen(self.arrays, bounds)
        if not bool(needed.any()):
            return bounds
        appends = not self.anchors.reference_pays(bounds, needed)
        if appends:
            try:
                self.anchors.append_rows(bounds, needed, self.weights.table, counts, work)
            except OutOfRoom:
                if counts.anchors:  # nothing is nearer than what has just become a reference
                    raise
                appends = False
        if not appends:
            self.anchors.refer(slots, support, values, places, self.weights.table, counts, work)
            bounds = self._bounds(slots, support, values, places, change, low_rank, work)
            needed = self._anchor_kernels.screen(self.arrays, bounds)
            self.anchors.append_rows(bounds, needed, self.weights.table, counts, work)
        return bounds

    def _bounds(
        self,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        places: Int[torch.Tensor, " entries"],
        change: Float[torch.Tensor, "fan_out n"],
        low_rank: LowRank,
        work: WorkMeter,
    ) -> Bounds:
        """What bounds are made of: see bound.py."""
        batch = slots, support, values, places
        combination = self._anchor_kernels.combine(self.arrays, *batch, low_rank.longest_sum)
        used = int(combination.coefficients.count_nonzero())
        arrays = (used + 4 * slots.numel()) * self.arrays.fan_out
        work.count(self.layer, (used + 2 * slots.numel()) * self.arrays.fan_out, values.element_size() * arrays)
        return Bounds(
            slots,
            torch.arange(slots.numel(), device=slots.device),
            *combination,
            change,
            self._row_magnitudes(work),
            self.bias,
            limit_of(self.activation.threshold, self._largest_bias, values.dtype),
        )


@dataclass(frozen=True, eq=False)
class LayerPass:
    """What a pass leaves of one layer; the backward pass multiplies with it as with Weights.

    Attributes:
        layer: Whose anchors were used.
        slots: Of the samples.
        inputs: Active inputs.
        support: Active units.
        active: Their preactivations.
        hidden: And hidden values.
        counts: What was done.
        changes_back: Multiply-adds with Dᵀ that left factors took, where they were taken on the way.
    """

    layer: CertifiedLayer
    slots: Int[torch.Tensor, " n"]
    inputs: Support
    support: Support
    active: Float[torch.Tensor, " active_entries"]
    hidden: Float[torch.Tensor, " active_entries"]
    counts: LayerCounts
    changes_back: int = 0

    @property
    def operator(self) -> LayerPass:
        """What the backward pass multiplies with."""
        return self

    def apply_transpose(
        self, rows: Support, columns: Support, values: Float[torch.Tensor, "c column_entries"], work: WorkMeter
    ) -> Float[torch.Tensor, "c row_entries"]:
        """See Weights."""
        return self.layer.apply_transpose(self, rows, columns, values, work)
