"""Supports whose arrays have a fixed size: how many entries there are is known on the device only."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from impl.kernels.triton import TritonKernels
from impl.support import Support, UnitOrder
from reference.contract.shapes import Bool, Float, Int


@dataclass(frozen=True, eq=False)
class PaddedSupport(Support):
    """A support of n samples and one more, which is empty, and to which all entries beyond the others' are given.

    Such entries have the unit `width`, which there is none of: ordered by unit they are last. Whoever goes from sample
    to sample by the offsets, or from unit to unit, does not meet them.

    Attributes:
        order: The entries by unit, made with the support, so that whatever is recorded after it finds it there.
        wanted: How many entries there would have been; more than there is room for where it is too small.
    """

    order: UnitOrder | None = None
    wanted: Int[torch.Tensor, ""] | None = None

    @property
    def by_unit(self) -> UnitOrder:
        """See Support."""
        assert self.order is not None
        return self.order

    @property
    def live(self) -> Bool[torch.Tensor, " entries"]:
        """Which entries there are."""
        return self.units < self.width

    @property
    def rows(self) -> Int[torch.Tensor, " entries"]:
        """Units, to index with: the last in place of those that there are none of."""
        return self.units.clamp(max=self.width - 1).long()


def select_padded(
    kernels: TritonKernels, dense: Float[torch.Tensor, "n m"], threshold: float, room: int
) -> tuple[PaddedSupport, Float[torch.Tensor, " entries"]]:
    """As Kernels.select, without waiting for the device.

    Args:
        kernels: Triton's.
        dense: Numbers.
        threshold: Entries are above it, strictly.
        room: For entries; at most so many are listed.

    Returns:
        The support, and what the entries are; 0 for those that there are none of.
    """
    width = dense.shape[1]
    offsets, (sample_of_entry, units, values) = kernels.list_above(dense, threshold, room)
    wanted = offsets[-1]
    offsets = torch.cat([offsets, offsets[-1:]]).clamp(max=room)
    ordered, entry = torch.sort(units, stable=True)
    bounds = torch.arange(width + 1, dtype=torch.int32, device=units.device)
    order = UnitOrder(torch.searchsorted(ordered, bounds, out_int32=True), entry.to(torch.int32))
    support = PaddedSupport(offsets, sample_of_entry, units, width, None, order, wanted)
    return support, values
