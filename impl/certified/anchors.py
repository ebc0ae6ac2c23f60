"""What the certificates of one layer rest on: references, the norms over columns, and the blocks of rows × columns."""

from __future__ import annotations

import torch

from impl.certified.arrays import AnchorArrays
from impl.certified.blocks import SPARE_LINES
from impl.certified.bound import Bounds, norms_of_squares
from impl.certified.interface import AnchorKernels
from impl.kernels import Kernels
from impl.support import Support, offsets_of
from impl.work import WorkMeter, tensor_bytes
from reference.contract.shapes import Bool, Float, Int

# A new sample gets so many times as many rows as it must, at least and at most; in between it is half of what room
# there is. Later ones come by a radius longer by STRETCH.
LEAST_SPREAD = 1.5
MOST_SPREAD = 5.0
STRETCH = 1.5

# What copying one number of W⁰ to a block costs, in multiply-adds of a product with W⁰ (measured on CPUs); and what
# screening a sample costs for every unit.
COPYING = 24
SCREENING = 64


class LayerCounts:
    """What a pass did in one layer, added up on the way.

    Attributes:
        anchors: Samples for which products with W⁰ in full were taken.
        candidates: Rows that were computed, over all samples.
        certified: Units proved inactive without being read.
        appended: Rows and columns that came to existing anchors.
        screened: Samples of which all units were screened.
        work: Multiply-adds of a product with W⁰ that it all is worth.
    """

    def __init__(self) -> None:
        self.anchors = self.candidates = self.certified = self.appended = self.screened = self.work = 0


class Anchors:
    """Anchors of one layer for many samples, and how they come about.

    Args:
        layer: ℓ, for counts.
        arrays: That hold them.
        kernels: The sparse products.
        anchor_kernels: Those of this package.
    """

    def __init__(self, layer: int, arrays: AnchorArrays, kernels: Kernels, anchor_kernels: AnchorKernels):
        self._layer, self._arrays, self._kernels, self._anchor_kernels = layer, arrays, kernels, anchor_kernels
        self._device = arrays.norms.device

    def begun(self, slots: Int[torch.Tensor, " n"]) -> Bool[torch.Tensor, " n"]:
        """Which of these samples have anchors."""
        return self._arrays.reference_count[slots] > 0

    def forget(self, slots: Int[torch.Tensor, " some"]) -> None:
        """Drops the anchors of these samples."""
        if bool(self.begun(slots).any()):
            self._arrays.forget(slots)

    def forget_all(self) -> None:
        """Drops all of them: they belong to another base."""
        self._arrays.forget(torch.arange(self._arrays.slots, device=self._device))

    def begin(
        self,
        new: Int[torch.Tensor, " some"],
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        table: Float[torch.Tensor, "fan_in fan_out"],
        counts: LayerCounts,
        work: WorkMeter,
    ) -> None:
        """A first reference and ρ, by one pass over their columns, for `new` samples of the batch; and no rows yet."""
        arrays = self._arrays
        some, entries = support.only(new)
        anchored, inputs = slots[new], values[entries]
        product, squares = self._anchor_kernels.product_and_squares(some, inputs, table)
        longest = int(some.counts.max())
        norms = norms_of_squares(squares, longest)
        arrays.forget(anchored)
        arrays.grow_columns(longest)
        arrays.products[anchored, 0] = product
        arrays.norms[anchored] = norms
        sample = some.sample_of_entry.long()
        place = torch.arange(some.entries, device=self._device) - some.offsets.long()[sample]
        arrays.columns[anchored[sample], place] = some.units
        arrays.references[anchored[sample], 0, place] = inputs
        arrays.reference_count[anchored] = 1
        arrays.column_place[anchored[sample], some.units.long()] = place.to(torch.int32)
        arrays.column_count[anchored] = some.counts.long()
        counts.anchors += anchored.numel()
        gathered = some.entries * arrays.fan_out
        moved = gathered * product.element_size() + tensor_bytes(some.units, inputs, product, squares, norms, norms)
        counts.work += gathered
        work.count(self._layer, 2 * gathered, moved)

    def refer(
        self,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        places: Int[torch.Tensor, " entries"],
        table: Float[torch.Tensor, "fan_in fan_out"],
        counts: LayerCounts,
        work: WorkMeter,
    ) -> None:
        """Makes references of the present inputs, in place of the oldest ones: one product with W⁰."""
        arrays = self._arrays
        turn = arrays.reference_count[slots] % arrays.products.shape[1]
        product = self._kernels.gather(support, values, table)
        arrays.products[slots, turn] = product
        arrays.references[slots, turn] = 0.0
        sample = support.sample_of_entry.long()
        arrays.references[slots[sample], turn[sample], places.long()] = values
        arrays.reference_count[slots] += 1
        arrays.spent[slots] = 0
        counts.anchors += slots.numel()
        gathered = support.entries * arrays.fan_out
        moved = gathered * product.element_size() + tensor_bytes(support.units, values, product, product)
        counts.work += gathered
        work.count(self._layer, gathered, moved)

    def cover(
        self,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        table: Float[torch.Tensor, "fan_in fan_out"],
        counts: LayerCounts,
        work: WorkMeter,
    ) -> Int[torch.Tensor, " entries"]:
        """Places of the active inputs among the columns; those without one get one, and ρ grows with them."""
        arrays = self._arrays
        places, missing = self._anchor_kernels.locate(arrays, slots, support)
        new = int(missing.sum())
        if new:
            columns = arrays.column_count[slots] + missing
            arrays.grow_columns(int(columns.max()))
            arrays.blocks.reserve(slots, columns, arrays.row_count[slots])
            self._anchor_kernels.append_columns(arrays, slots, support, places, table)
            counts.appended += new
            counts.work += 2 * new * arrays.fan_out
            # Each reads a column of W⁰, and reads and writes the norms.
            work.count(self._layer, 2 * new * arrays.fan_out, 3 * new * arrays.fan_out * table.element_size())
        return places

    def reference_pays(self, bounds: Bounds, needed: Int[torch.Tensor, " n"]) -> bool:
        """Whether the rows that are to come, with those that came since the last reference, would have paid for one."""
        arrays, kernels, slots = self._arrays, self._anchor_kernels, bounds.slots
        short = ((needed > 0) & (arrays.row_count[slots] > 0)).nonzero()[:, 0]
        if not short.numel():
            return False
        some = bounds.only(short)
        wanted = kernels.within(arrays, some, kernels.exact(arrays, some), some.radius * STRETCH).sum(dim=1)
        columns = arrays.column_count[slots]
        copies = (wanted * columns[short]).sum() * COPYING
        return bool(arrays.spent[slots].sum() + copies > columns.sum() * arrays.fan_out)

    def append_rows(
        self,
        bounds: Bounds,
        needed: Int[torch.Tensor, " n"],
        table: Float[torch.Tensor, "fan_in fan_out"],
        counts: LayerCounts,
        work: WorkMeter,
    ) -> None:
        """Makes rows of what is not certified, with some to spare, and copies their part of W⁰ to the blocks."""
        short = (needed > 0).nonzero()[:, 0]
        if not short.numel():
            return
        arrays, kernels = self._arrays, self._anchor_kernels
        some = bounds.only(short)
        slots = some.slots
        first, columns = arrays.row_count[slots], arrays.column_count[slots]
        fresh = first == 0
        exact = kernels.exact(arrays, some)
        radius = some.radius * STRETCH
        if bool(fresh.any()):
            target = self._rows_to_begin_with(needed[short], columns, fresh)
            radius = torch.where(fresh, kernels.radius_for(arrays, some, exact, target), radius)
        mask = kernels.within(arrays, some, exact, radius)
        more = mask.sum(dim=1)
        arrays.grow_rows(int((first + more).max()))
        arrays.blocks.reserve(slots, columns, first + more)
        kernels.append_rows(arrays, some, exact, mask)
        kernels.fill(arrays, slots, self._columns(slots), first, table)
        copies = more * columns
        copied, later = int(copies.sum()), torch.where(fresh, 0, copies)
        arrays.spent[slots] += later * COPYING
        counts.work += COPYING * copied
        counts.appended += int(torch.where(fresh, 0, more).sum())
        work.count(self._layer, 2 * exact.numel(), 2 * copied * exact.element_size() + 4 * tensor_bytes(exact))

    def _rows_to_begin_with(
        self, needed: Int[torch.Tensor, " some"], columns: Int[torch.Tensor, " some"], fresh: torch.Tensor
    ) -> Int[torch.Tensor, " some"]:
        share = self._arrays.blocks.free // (2 * int(fresh.sum()))
        affordable = (share / (SPARE_LINES * columns)).long()
        least, most = (needed * LEAST_SPREAD).long() + 8, (needed * MOST_SPREAD).long() + 8
        return torch.minimum(torch.maximum(least, affordable), most)

    def _columns(self, slots: Int[torch.Tensor, " n"]) -> Support:
        """The columns of these samples, in the order of their places."""
        count = self._arrays.column_count[slots]
        listed = torch.arange(self._arrays.columns.shape[1], device=self._device) < count[:, None]
        sample = listed.nonzero()[:, 0].to(torch.int32)
        return Support(offsets_of(count), sample, self._arrays.columns[slots][listed], self._arrays.fan_in)
