"""Sparse vectors on supports that they nearly share, side by side: the storage that products with updates work on."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from impl.support import Support, offsets_of
from reference.contract.shapes import Bool, Float, Int

# Room beyond what is needed, so that arrays are moved only now and then.
SPARE_UNITS = 1.25

# So many vectors there is room for: few, or multiples of the last.
FEW_VECTORS = (4, 8, 16, 32)


class Factors:
    """For each of n samples some sparse vectors, on the union of their supports.

    Args:
        samples: n.
        width: m, the number of units there are.
        like: A tensor of their dtype and device.

    Attributes:
        width: m.
        vectors: How many each sample has.
        counts: (n,) int64, the size of its union.
        units: (n, room) int32, increasing; beyond a sample's count they mean nothing.
        values: (n, room, length), by unit and vector: zero beyond a sample's count, and from `vectors` on up to the
            length, for which there is room.
        entries: The sizes of all unions together.
        kept: What kernels keep to themselves while no union grows and no array is moved; None afterwards.
    """

    def __init__(self, samples: int, width: int, like: torch.Tensor):
        self.width, self.vectors = width, 0
        self.counts: Int[torch.Tensor, " n"] = torch.zeros(samples, dtype=torch.int64, device=like.device)
        self.units: Int[torch.Tensor, "n room"] = torch.zeros(samples, 0, dtype=torch.int32, device=like.device)
        self.values: Float[torch.Tensor, "n room vector_room"] = like.new_zeros(samples, 0, 0)
        self.entries = 0
        self.kept: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """For copies: what kernels keep is of these vectors, not of the copy's."""
        return {**self.__dict__, "kept": None}

    @property
    def samples(self) -> int:
        """n."""
        return self.counts.numel()

    @property
    def size(self) -> int:
        """How many numbers there are, zeros among them."""
        return self.entries * self.vectors

    @property
    def support(self) -> Support:
        """The unions."""
        sample, place = self._listed.nonzero(as_tuple=True)
        return Support(offsets_of(self.counts), sample.to(torch.int32), self.units[sample, place], self.width)

    @property
    def listed_values(self) -> Float[torch.Tensor, "entries t"]:
        """The vectors on the unions."""
        return self.values[:, :, : self.vectors][self._listed]

    @property
    def _listed(self) -> Bool[torch.Tensor, "n room"]:
        """Which places hold units."""
        return torch.arange(self.units.shape[1], device=self.units.device) < self.counts[:, None]

    def clear(self) -> None:
        """Forgets all vectors, but not the room that they had."""
        self.vectors, self.entries, self.kept = 0, 0, None
        self.counts.zero_()
        self.values.zero_()

    def reserve(self, units: int, vectors: int) -> None:
        """Makes room for unions of so many units, and for so many vectors."""
        samples, room, vector_room = self.values.shape
        if units > room:
            room = int(SPARE_UNITS * units)
        if vectors > vector_room:
            vector_room = padded(vectors)
        if (samples, room, vector_room) == tuple(self.values.shape):
            return
        self.kept = None
        old_units, old_values = self.units, self.values
        self.units = old_units.new_zeros(samples, room)
        self.units[:, : old_units.shape[1]] = old_units
        self.values = old_values.new_zeros(samples, room, vector_room)
        self.values[:, : old_values.shape[1], : old_values.shape[2]] = old_values


class Unions(NamedTuple):
    """Unions of supports, right and left, of the same samples.

    Attributes:
        right: Their sizes together.
        left: Likewise.
        longest_right: The size of the largest.
        longest_left: Likewise.
        pairs: Σ_i (size on the right) · (size on the left).
    """

    right: int
    left: int
    longest_right: int
    longest_left: int
    pairs: int

    @classmethod
    def of(cls, right: Int[torch.Tensor, " n"], left: Int[torch.Tensor, " n"]) -> Unions:
        """By their sizes."""
        return cls(*torch.stack([right.sum(), left.sum(), right.max(), left.max(), (right * left).sum()]).tolist())


def padded(vectors: int) -> int:
    """A number of vectors that fills registers, and is no less."""
    last = FEW_VECTORS[-1]
    return next((few for few in FEW_VECTORS if vectors <= few), -(-vectors // last) * last)
