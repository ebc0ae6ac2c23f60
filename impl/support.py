"""Which units are active, sample by sample: the index sets that everything sparse is stored on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from reference.contract.shapes import Bool, Float, Int


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
    """

    offsets: Int[torch.Tensor, " n_plus_1"]
    sample_of_entry: Int[torch.Tensor, " entries"]
    units: Int[torch.Tensor, " entries"]
    width: int

    @classmethod
    def of_positions(cls, positions: Int[torch.Tensor, " entries"], samples: int, width: int) -> Support:
        """The entries at the given increasing positions of a flattened (samples, width) array."""
        sample = positions // width
        offsets = offsets_of(torch.bincount(sample, minlength=samples))
        return cls(offsets, sample.to(torch.int32), (positions % width).to(torch.int32), width)

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
    def by_unit(self) -> UnitOrder:
        """The same entries ordered by unit."""
        order = torch.argsort(self.units, stable=True).to(torch.int32)
        return UnitOrder(offsets_of(torch.bincount(self.units, minlength=self.width)), order)

    def only(self, samples: Int[torch.Tensor, " some"]) -> tuple[Support, Int[torch.Tensor, " some_entries"]]:
        """The support of some samples, in increasing order, and which entries of this one it consists of."""
        if samples.numel() == self.samples:
            return self, torch.arange(self.entries, device=self.units.device)
        wanted = torch.zeros(self.samples, dtype=torch.bool, device=self.units.device)
        wanted[samples] = True
        entries = wanted[self.sample_of_entry.long()].nonzero()[:, 0]
        counts = self.counts[samples]
        sample = torch.repeat_interleave(torch.arange(samples.numel(), device=counts.device), counts.long())
        return Support(offsets_of(counts), sample.to(torch.int32), self.units[entries], self.width), entries

    def pairs_with(self, other: Support) -> int:
        """Σ_i (entries of sample i here) · (entries of sample i there): the size of all k × k blocks."""
        return int((self.counts.long() * other.counts.long()).sum())

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
