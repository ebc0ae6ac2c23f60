"""All sparse terms of a D as one: an append-only log of which D, and every earlier one, is a beginning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from impl.support import Support
from reference.contract.shapes import Float, Int

if TYPE_CHECKING:
    from impl.weights.low_rank import OuterProducts

# Room beyond what is appended, so that a log is copied only now and then.
SPARE = 2


class Extent(NamedTuple):
    """How far a D reaches in a log: outer products, and entries of their right and left factors."""

    rank: int = 0
    right: int = 0
    left: int = 0


class TermLog:
    """Right and left factors of outer products, in the order in which they came.

    Whoever appends at the end writes in place, which nobody sees whose beginning is shorter; whoever appends elsewhere,
    after an undo, gets a copy.

    Args:
        terms: What it begins with.
        fan_in: m_{ℓ−1}.
        fan_out: m_ℓ.
    """

    def __init__(self, terms: Sequence[OuterProducts], fan_in: int, fan_out: int):
        self._right, self._left = _Factors(fan_in), _Factors(fan_out)
        self.end = Extent()
        for term in terms:
            self._append(term)

    def with_term(self, begin: Extent, term: OuterProducts) -> TermLog:
        """The log with a term appended to its first part."""
        log = self
        if begin != self.end:
            log = TermLog((), self._right.width, self._left.width)
            log._right, log._left = (
                self._right.beginning(begin.rank, begin.right),
                self._left.beginning(begin.rank, begin.left),
            )
            log.end = begin
        log._append(term)
        return log

    def right(self, extent: Extent) -> tuple[Support, Float[torch.Tensor, " entries"]]:
        """The right factors of a beginning."""
        return self._right.view(extent.rank, extent.right)

    def left(self, extent: Extent) -> tuple[Support, Float[torch.Tensor, " entries"]]:
        """The left factors of a beginning."""
        return self._left.view(extent.rank, extent.left)

    def _append(self, term: OuterProducts) -> None:
        rank, right, left = self.end
        self._right.append(rank, right, term.right, term.right_values)
        self._left.append(rank, left, term.left, term.left_values)
        self.end = Extent(rank + term.rank, right + term.right.entries, left + term.left.entries)


class _Factors:
    """Sparse vectors one after the other, with room for more."""

    def __init__(self, width: int):
        self.width = width
        self._offsets: Int[torch.Tensor, " room"] | None = None
        self._sample: Int[torch.Tensor, " room"]
        self._units: Int[torch.Tensor, " room"]
        self._values: Float[torch.Tensor, " room"]

    def append(self, rank: int, entries: int, support: Support, values: Float[torch.Tensor, " entries"]) -> None:
        """Writes vectors after the first `rank`, which have so many entries."""
        more, ends = support.samples, entries + support.entries
        if self._offsets is None:
            self._offsets, self._sample = support.offsets.new_zeros(1), support.units.new_empty(0)
            self._units, self._values = support.units.new_empty(0), values.new_empty(0)
        self._offsets = _with_room(self._offsets, rank + 1, more)
        self._sample = _with_room(self._sample, entries, support.entries)
        self._units = _with_room(self._units, entries, support.entries)
        self._values = _with_room(self._values, entries, support.entries)
        self._offsets[rank + 1 : rank + 1 + more] = support.offsets[1:] + entries
        self._sample[entries:ends] = support.sample_of_entry + rank
        self._units[entries:ends] = support.units
        self._values[entries:ends] = values

    def view(self, rank: int, entries: int) -> tuple[Support, Float[torch.Tensor, " entries"]]:
        """The first `rank` vectors, which have so many entries."""
        assert self._offsets is not None
        support = Support(self._offsets[: rank + 1], self._sample[:entries], self._units[:entries], self.width)
        return support, self._values[:entries]

    def beginning(self, rank: int, entries: int) -> _Factors:
        """The first `rank` vectors in a log of their own."""
        copy = _Factors(self.width)
        if self._offsets is not None:
            copy._offsets, copy._sample = self._offsets[: rank + 1].clone(), self._sample[:entries].clone()
            copy._units, copy._values = self._units[:entries].clone(), self._values[:entries].clone()
        return copy


def _with_room(numbers: torch.Tensor, used: int, more: int) -> torch.Tensor:
    """The tensor, or a longer one with the same beginning."""
    if used + more <= numbers.numel():
        return numbers
    longer = numbers.new_empty(SPARE * (used + more))
    longer[:used] = numbers[:used]
    return longer
