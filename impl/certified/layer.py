"""One layer between anchors: which units may be active is known from bounds, and only those are computed."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from impl.activation import LayerActivation
from impl.certified.arrays import AnchorArrays
from impl.certified.bound import Screen, gamma, limit_of, norms_of_squares, rounded_up
from impl.certified.interface import AnchorKernels
from impl.certified.row_magnitudes import RowMagnitudes
from impl.forward import check_finite
from impl.kernels import Kernels
from impl.support import Support, offsets_of
from impl.weights import LazyWeights, LowRank
from impl.work import WorkMeter, tensor_bytes
from reference.contract.shapes import Bool, Float, Int

# A new sample gets this many times as many rows as it must; later ones come by a radius longer by this much.
SPREAD = 1.5
STRETCH = 1.25

# What copying one number of W⁰ to a block costs, in multiply-adds of a product with W⁰ (measured on CPUs).
COPYING = 24


class LayerCounts:
    """What a pass did in one layer, added up on the way.

    Attributes:
        anchors: Samples for which products with W⁰ in full were taken.
        candidates: Rows that were computed, over all samples.
        certified: Units proved inactive without being read.
        appended: Rows and columns that came to existing anchors.
        work: Multiply-adds of a product with W⁰ that it all is worth.
    """

    def __init__(self) -> None:
        self.anchors = self.candidates = self.certified = self.appended = self.work = 0


class CertifiedLayer:
    """Anchors of one layer for many samples.

    Args:
        layer: ℓ, for counts and messages.
        weights: W_ℓ.
        bias: β_ℓ, or None.
        activation: Of the layer.
        kernels: The sparse products.
        anchor_kernels: Those of this package.
        room: Bytes for blocks.
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
    ):
        self.layer, self.weights, self.activation = layer, weights, activation
        self.bias, self._kernels, self._anchor_kernels = bias, kernels, anchor_kernels
        self._largest_bias = float(bias.abs().max()) if bias is not None else 0.0
        fan_in, fan_out = weights.table.shape
        self._device = weights.table.device
        self.arrays = AnchorArrays(fan_in, fan_out, room, self._device, weights.table.dtype)
        self._anchored = torch.zeros(0, dtype=torch.bool, device=self._device)
        self._spent = torch.zeros(0, dtype=torch.float64, device=self._device)
        self._base = weights.state.base
        self._version = weights.state.version
        self._magnitudes = RowMagnitudes(fan_out, self._device, weights.table.dtype)

    def grow_slots(self, slots: int) -> None:
        """Makes room for more samples."""
        more = slots - self.arrays.slots
        if more > 0:
            self.arrays.grow_slots(slots)
            self._anchored = torch.cat([self._anchored, self._anchored.new_zeros(more)])
            self._spent = torch.cat([self._spent, self._spent.new_zeros(more)])

    def forget(self, slots: Int[torch.Tensor, " some"]) -> None:
        """Drops the anchors of these samples."""
        if not bool(self._anchored[slots].any()):
            return
        self._anchored[slots] = False
        self.arrays.forget(slots)

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
        """
        self._follow_base()
        counts = LayerCounts()
        low_rank = self.weights.state.low_rank
        correction = self._correction(low_rank, support, values, work)
        new = (~self._anchored[slots]).nonzero()[:, 0]
        if new.numel():
            self._anchor(slots, new, support, values, counts, work)
        places = self._cover(slots, support, counts, work)
        screen = self._screen(slots, support, values, places, correction, low_rank, work)
        needed, wanted = self._anchor_kernels.screen(self.arrays, screen, screen.radius * STRETCH)
        if self._reference_pays(slots, needed, wanted):
            self._refer(slots, support, values, places, counts, work)
            screen = self._screen(slots, support, values, places, correction, low_rank, work)
            needed, wanted = self._anchor_kernels.screen(self.arrays, screen, screen.radius * STRETCH)
        self._append_rows(screen, needed, wanted, counts, work)

        z = self._anchor_kernels.evaluate(self.arrays, slots, support, values, places, correction)
        above, active = self._anchor_kernels.select(self.arrays, slots, z, self.activation.threshold)
        check_finite(active, f"preactivations in layer {self.layer}")
        rows = self.arrays.live_count[slots]
        candidates = int(rows.sum())
        products = int((rows * support.counts.long()).sum())
        size = z.element_size()
        work.count(self.layer, products, size * (products + 3 * candidates) + tensor_bytes(places, values))
        counts.work += products
        counts.candidates, counts.certified = candidates, correction.numel() - candidates
        return LayerPass(self, low_rank, slots, places, above, active, counts)

    def apply_transpose(
        self,
        taken: LayerPass,
        rows: Support,
        columns: Support,
        values: Float[torch.Tensor, "c column_entries"],
        work: WorkMeter,
    ) -> Float[torch.Tensor, "c row_entries"]:
        """See Weights, on what a pass has left."""
        out = self._anchor_kernels.apply_transpose(self.arrays, taken.slots, rows, taken.places, columns, values)
        pairs = rows.pairs_with(columns)
        moved = pairs * out.element_size() + tensor_bytes(taken.places, columns.units, values, out)
        work.count(self.layer, pairs * values.shape[0], moved)
        if taken.low_rank.rank:
            out -= taken.low_rank.apply_transpose(rows, columns, values, self._kernels, work, self.layer)
        return out

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
        magnitudes = self._magnitudes.of(low_rank, WorkMeter(self._device), self.layer).double()
        reach = (self.arrays.norms[slots].double() + magnitudes) * norm[:, None]
        return gamma(terms, values.dtype) * (reach + self._largest_bias + abs(self.activation.threshold))

    def _follow_base(self) -> None:
        """Anchors refer to W⁰ as it was: a fold ends them all."""
        state = self.weights.state
        if state.base is not self._base or state.base.version != self._version:
            self._base, self._version = state.base, state.base.version
            self._anchored[:] = False
            self.arrays.blocks.release(torch.arange(self.arrays.slots, device=self._device))

    def _correction(
        self, low_rank: LowRank, support: Support, values: Float[torch.Tensor, " entries"], work: WorkMeter
    ) -> Float[torch.Tensor, "n fan_out"]:
        """D h − β."""
        if low_rank.rank:
            correction = low_rank.apply(support, values, self._kernels, work, self.layer)
        else:
            correction = values.new_zeros(support.samples, self.arrays.fan_out)
        if self.bias is not None:
            correction -= self.bias
        return correction

    def _anchor(
        self,
        slots: Int[torch.Tensor, " n"],
        new: Int[torch.Tensor, " some"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        counts: LayerCounts,
        work: WorkMeter,
    ) -> None:
        """Begins anew with some samples: a first reference and ρ by one pass over their columns, and no rows yet."""
        some, entries = support.only(new)
        anchored, inputs = slots[new], values[entries]
        product, squares = self._anchor_kernels.product_and_squares(some, inputs, self.weights.table)
        longest = int(some.counts.max())
        norms = norms_of_squares(squares, longest)
        self.arrays.forget(anchored)
        self.arrays.grow_columns(longest)
        self.arrays.products[anchored, 0] = product
        self.arrays.norms[anchored] = norms
        sample = some.sample_of_entry.long()
        place = torch.arange(some.entries, device=self._device) - some.offsets.long()[sample]
        self.arrays.columns[anchored[sample], place] = some.units
        self.arrays.references[anchored[sample], 0, place] = inputs
        self.arrays.reference_count[anchored] = 1
        self.arrays.column_place[anchored[sample], some.units.long()] = place.to(torch.int32)
        self.arrays.column_count[anchored] = some.counts.long()
        self._anchored[anchored] = True
        self._spent[anchored] = 0.0
        counts.anchors += anchored.numel()
        gathered = some.entries * self.arrays.fan_out
        moved = gathered * product.element_size() + tensor_bytes(some.units, inputs, product, squares, norms, norms)
        counts.work += gathered
        work.count(self.layer, 2 * gathered, moved)

    def _refer(
        self,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        places: Int[torch.Tensor, " entries"],
        counts: LayerCounts,
        work: WorkMeter,
    ) -> None:
        """Makes references of the present inputs, in place of the oldest ones: one product with W⁰."""
        turn = self.arrays.reference_count[slots] % self.arrays.products.shape[1]
        product = self._kernels.gather(support, values, self.weights.table)
        self.arrays.products[slots, turn] = product
        self.arrays.references[slots, turn] = 0.0
        sample = support.sample_of_entry.long()
        self.arrays.references[slots[sample], turn[sample], places.long()] = values
        self.arrays.reference_count[slots] += 1
        self._spent[slots] = 0.0
        counts.anchors += slots.numel()
        gathered = support.entries * self.arrays.fan_out
        moved = gathered * product.element_size() + tensor_bytes(support.units, values, product, product)
        counts.work += gathered
        work.count(self.layer, gathered, moved)

    def _cover(
        self, slots: Int[torch.Tensor, " n"], support: Support, counts: LayerCounts, work: WorkMeter
    ) -> Int[torch.Tensor, " entries"]:
        """Places of the active inputs among the columns; those without one get one, and ρ grows with them."""
        places, missing = self._anchor_kernels.locate(self.arrays, slots, support)
        new = int(missing.sum())
        if new:
            columns = self.arrays.column_count[slots] + missing
            self.arrays.grow_columns(int(columns.max()))
            self.arrays.blocks.reserve(slots, columns, self.arrays.row_count[slots])
            self._anchor_kernels.append_columns(self.arrays, slots, support, places, self.weights.table)
            counts.appended += new
            counts.work += 2 * new * self.arrays.fan_out
            # Each reads a column of W⁰, and reads and writes the norms.
            size = self.weights.table.element_size()
            work.count(self.layer, 2 * new * self.arrays.fan_out, 3 * new * self.arrays.fan_out * size)
        return places

    def _screen(
        self,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        places: Int[torch.Tensor, " entries"],
        correction: Float[torch.Tensor, "n fan_out"],
        low_rank: LowRank,
        work: WorkMeter,
    ) -> Screen:
        """The bounds of all units: see bound.py."""
        terms = int(self.arrays.column_count[slots].max()) + low_rank.longest_sum
        dtype = values.dtype
        rounding = gamma(terms, dtype)
        coefficients, sizes = self._anchor_kernels.combine(self.arrays, slots, support, values, places, rounding**2)
        norm, references, distance = sizes[:, 0].sqrt(), sizes[:, 1], sizes[:, 2].sqrt()
        looseness = rounded_up(2 * rounding * norm, dtype)
        radius = rounded_up(distance + rounding * (norm + references + distance), dtype)
        magnitudes = self._magnitudes.of(low_rank, work, self.layer)
        exact = self._anchor_kernels.exact(self.arrays, slots, coefficients, correction, magnitudes, looseness)
        used = int((coefficients != 0).sum())
        size = correction.element_size()
        work.count(
            self.layer,
            (used + 2 * slots.numel()) * self.arrays.fan_out,
            size * (used * self.arrays.fan_out + 5 * correction.numel()),
        )
        return Screen(slots, exact, radius, limit_of(self.activation.threshold, self._largest_bias, dtype))

    def _reference_pays(
        self, slots: Int[torch.Tensor, " n"], needed: Int[torch.Tensor, " n"], wanted: Int[torch.Tensor, " n"]
    ) -> bool:
        """Whether the rows that are to come, with those that came since the last reference, would have paid for one."""
        short = (needed > 0) & (self.arrays.row_count[slots] > 0)
        if not bool(short.any()):
            return False
        columns = self.arrays.column_count[slots].double()
        copies = torch.where(short, wanted, 0).double() * columns * COPYING
        return bool((self._spent[slots] + copies).sum() > (columns * self.arrays.fan_out).sum())

    def _append_rows(
        self,
        screen: Screen,
        needed: Int[torch.Tensor, " n"],
        wanted: Int[torch.Tensor, " n"],
        counts: LayerCounts,
        work: WorkMeter,
    ) -> None:
        """Makes rows of what is not certified, with some to spare, and copies their part of W⁰ to the blocks."""
        short = (needed > 0).nonzero()[:, 0]
        if not short.numel():
            return
        some = screen.only(short)
        slots = some.slots
        first = self.arrays.row_count[slots]
        radius = some.radius * STRETCH
        fresh = first == 0
        if bool(fresh.any()):
            radius = torch.where(fresh, self._anchor_kernels.radius_for(self.arrays, some, SPREAD), radius)
            more = self._anchor_kernels.screen(self.arrays, some, radius)[1]
        else:
            more = wanted[short]
        length = first + more
        self.arrays.grow_rows(int(length.max()))
        self.arrays.blocks.reserve(slots, self.arrays.column_count[slots], length)
        self._anchor_kernels.append_rows(self.arrays, some, radius)
        columns = self._columns(slots)
        self._anchor_kernels.fill(self.arrays, slots, columns, first, self.weights.table)
        copied = int((more * self.arrays.column_count[slots]).sum())
        self._spent[slots] += torch.where(fresh, 0, more * self.arrays.column_count[slots]).double() * COPYING
        counts.work += COPYING * copied
        work.count(self.layer, 0, 2 * copied * some.exact.element_size())
        counts.appended += int(torch.where(fresh, 0, more).sum())

    def _columns(self, slots: Int[torch.Tensor, " n"]) -> Support:
        """The columns of these samples, in the order of their places."""
        count = self.arrays.column_count[slots]
        listed = torch.arange(self.arrays.columns.shape[1], device=self._device) < count[:, None]
        sample = listed.nonzero()[:, 0].to(torch.int32)
        return Support(offsets_of(count), sample, self.arrays.columns[slots][listed], self.arrays.fan_in)


@dataclass(frozen=True, eq=False)
class LayerPass:
    """What a pass leaves of one layer; the backward pass multiplies with it as with Weights.

    Attributes:
        layer: Whose anchors were used.
        low_rank: D, at the time.
        slots: Of the samples.
        places: Of the active inputs among the columns.
        support: Active units.
        active: Their preactivations.
        counts: What was done.
    """

    layer: CertifiedLayer
    low_rank: LowRank
    slots: Int[torch.Tensor, " n"]
    places: Int[torch.Tensor, " entries"]
    support: Support
    active: Float[torch.Tensor, " active_entries"]
    counts: LayerCounts

    def apply_transpose(
        self, rows: Support, columns: Support, values: Float[torch.Tensor, "c column_entries"], work: WorkMeter
    ) -> Float[torch.Tensor, "c row_entries"]:
        """See Weights."""
        return self.layer.apply_transpose(self, rows, columns, values, work)
