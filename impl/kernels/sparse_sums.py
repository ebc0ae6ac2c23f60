"""Sums of sparse vectors sample by sample, in torch, for kernels that have nothing better."""

from __future__ import annotations

import torch

from impl.support import Support
from reference.contract.shapes import Float


def add_vectors(
    support: Support,
    values: Float[torch.Tensor, " entries"],
    other: Support,
    other_values: Float[torch.Tensor, " other_entries"],
) -> tuple[Support, Float[torch.Tensor, " union_entries"]]:
    """See Kernels.add_vectors."""
    width = support.width
    here, there = (part.sample_of_entry.long() * width + part.units.long() for part in (support, other))
    found = torch.searchsorted(here, there).clamp(max=max(0, here.numel() - 1))
    if here.numel() and torch.equal(here[found], there):  # most often nothing new is active
        return support, values.index_add(0, found, other_values)
    positions = torch.cat([here, there])
    union, place = torch.unique(positions, return_inverse=True)
    sums = values.new_zeros(union.numel())
    sums[place[: here.numel()]] = values
    sums[place[here.numel() :]] += other_values  # a position occurs once in each
    return Support.of_positions(union, support.samples, width), sums
