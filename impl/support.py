"""Which units are active, sample by sample: the index sets that everything sparse is stored on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from reference.contract.shapes import Bool, Float, Int, UInt


@dataclass(frozen=True, eq=False)
class Support:
    """For each of n samples an increasing list of units out of `width`.

    An *entry* is a pair (sample, unit); entries are ordered by sample, then by unit. Values that live on
    the support, such as hidden values (entries,) or left factors (c, entries), keep that order.

    Attributes:
        offsets: (n + 1,) int32; the entries of sample i are offsets[i] … offsets[i + 1] − 1.
        sample_of_entry: (entries,) int32, for every entry its sample.
        units: (entries,) int32, for every entry its unit.
        width: m, the number of units there are.
        offsets_at_hand: The offsets in the host's memory, where whoever made the support has them there.
    """

    offsets: Int[torch.Tensor, " n_plus_1"]
    sample_of_entry: Int[torch.Tensor, " entries"]
    units: Int[torch.Tensor, " entries"]
    width: int
    offsets_at_hand: Int[torch.Tensor, " n_plus_1"] | None = None

    @classmethod
    def of_positions(cls, positions: Int[torch.Tensor, " entries"], samples: int, width: int) -> Support:
        """The entries at the given increasing positions of a flattened (samples, width) array."""
        begins = torch.arange(samples + 1, device=positions.device) * width
        offsets = torch.searchsorted(positions, begins, out_int32=True)
        return cls(offsets, (positions // width).to(torch.int32), (positions % width).to(torch.int32), width)

    @classmethod
    def full(cls, samples: int, width: int, device: torch.device) -> Support:
        """All units for every sample."""
        return cls.of_positions(torch.arange(samples * width, device=device), samples, width)

    @property
    def samples(self) -> int:
        """n."""
        return self.offsets.numel() - 1

    @property
    def entries(self) -> int:
        """The number of entries over all samples."""
        return self.units.numel()

    @cached_property
    def counts(self) -> Int[torch.Tensor, " n"]:
        """The number of entries of every sample."""
        return self.offsets.diff()

    @cached_property
    def host_offsets(self) -> Int[torch.Tensor, " n_plus_1"]:
        """The offsets in the host's memory: what loops and sizes are taken from, without waiting for a device again."""
        return self.offsets.cpu() if self.offsets_at_hand is None else self.offsets_at_hand

    @cached_property
    def host_counts(self) -> Int[torch.Tensor, " n"]:
        """The counts in the host's memory."""
        return self.host_offsets.diff()

    @cached_property
    def lists(self) -> tuple[Int[np.ndarray, " n_plus_1"], UInt[np.ndarray, " entries"]]:
        """Offsets and units as compiled loops take them; units, which are never negative, as unsigned ones."""
        return self.offsets.numpy(), self.units.numpy().view(np.uint32)

    @cached_property
    def by_unit(self) -> UnitOrder:
        """The same entries ordered by unit."""
        order = torch.argsort(self.units, stable=True).to(torch.int32)
        ones = torch.ones_like(self.units)
        counts = torch.zeros(self.width, dtype=torch.int32, device=ones.device).index_add_(0, self.units, ones)
        return UnitOrder(offsets_of(counts), order)

    def only(self, samples: Int[torch.Tensor, " some"]) -> tuple[Support, Int[torch.Tensor, " some_entries"]]:
        """The support of some samples, in increasing order, and which entries of this one it consists of."""
        if samples.numel() == self.samples:
            return self, torch.arange(self.entries, device=self.units.device)
        counts = self.counts[samples]
        offsets = offsets_of(counts)
        sample = torch.repeat_interleave(torch.arange(samples.numel(), device=counts.device), counts.long())
        moved = (self.offsets[samples] - offsets[:-1]).long()
        entries = torch.arange(sample.numel(), device=counts.device) + moved[sample]
        return Support(offsets, sample.to(torch.int32), self.units[entries], self.width), entries

    def between(self, begin: int, end: int) -> tuple[Support, slice]:
        """The support of consecutive samples, and which entries of this one it consists of."""
        if end - begin == self.samples:
            return self, slice(0, self.entries)
        known = self.host_offsets[begin : end + 1]
        entries = slice(int(known[0]), int(known[-1]))
        offsets = self.offsets[begin : end + 1] - self.offsets[begin]
        sample = self.sample_of_entry[entries] - begin
        return Support(offsets, sample, self.units[entries], self.width, known - known[0]), entries

    def pairs_with(self, other: Support) -> int:
        """Σ_i (entries of sample i here) · (entries of sample i there): the size of all k × k blocks."""
        return int(self.host_counts.numpy().astype(np.int64) @ other.host_counts.numpy())

    def densify(
        self, values: Float[torch.Tensor, "... entries"] | Bool[torch.Tensor, "... entries"]
    ) -> Float[torch.Tensor, "n ... m"] | Bool[torch.Tensor, "n ... m"]:
        """Values on the support as a dense array, with the samples first."""
        dense = values.new_zeros(self.samples, *values.shape[:-1], self.width)
        dense[self.sample_of_entry.long(), ..., self.units.long()] = values.movedim(-1, 0)
        return dense


@dataclass(frozen=True, eq=False)
class UnitOrder:
    """The entries of a support grouped by unit.

    Attributes:
        offsets: (m + 1,) int32; unit a has the entries entry[offsets[a]] … entry[offsets[a + 1] − 1].
        entry: (entries,) int32, entries by unit, then by sample.
    """

    offsets: Int[torch.Tensor, " m_plus_1"]
    entry: Int[torch.Tensor, " entries"]


def offsets_of(counts: Int[torch.Tensor, " groups"]) -> Int[torch.Tensor, " groups_plus_1"]:
    """0, then the running sums of the counts, in int32."""
    offsets = torch.zeros(counts.numel() + 1, dtype=torch.int32, device=counts.device)
    torch.cumsum(counts, dim=0, out=offsets[1:])
    return offsets
