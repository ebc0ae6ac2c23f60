"""Which slot belongs to which sample: a sample is recognized by its numbers, whatever batch it comes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch

from impl.support import Support
from reference.contract.shapes import Float, Int

Key = tuple[bytes, int]

# Samples that are remembered, by a hash of their numbers.
REMEMBERED = 1 << 17


class SampleBatch(NamedTuple):
    """Samples of a batch: where training takes the same one at every step, this is found once.

    Attributes:
        X: They themselves.
        slots: Theirs.
        support: Where they are not zero.
        values: There.
    """

    X: Float[torch.Tensor, "n d"]
    slots: Int[torch.Tensor, " n"]
    support: Support
    values: Float[torch.Tensor, " entries"]


def keys_of(X: Float[torch.Tensor, "n d"]) -> list[Key]:
    """What samples are known by: their numbers, and how many of the same the batch holds before them."""
    seen: Counter[bytes] = Counter()
    keys = []
    for row in X.cpu().numpy():
        numbers = row.tobytes()
        keys.append((numbers, seen[numbers]))
        seen[numbers] += 1
    return keys


class Recurrence:
    """Whether samples come again: anchors of those that come once are never used."""

    def __init__(self) -> None:
        self._seen: dict[int, None] = {}

    def observe(self, keys: Sequence[Key]) -> bool:
        """Whether half of a batch at least has come before; those that come first of all are taken to come again."""
        first = not self._seen
        hashes = [hash(key) for key in keys]
        again = sum(sample in self._seen for sample in hashes)
        for sample in hashes:
            self._seen.pop(sample, None)
            self._seen[sample] = None
        for sample in list(self._seen)[: max(0, len(self._seen) - REMEMBERED)]:
            del self._seen[sample]
        return first or 2 * again >= len(keys)


class SampleSlots:
    """Slots by sample, the least recently used first. A sample that a batch holds twice has two slots."""

    def __init__(self) -> None:
        self._slot_of: dict[Key, int] = {}
        self._free: list[int] = []
        self._slots = 0

    @property
    def slots(self) -> int:
        """How many there are, free ones among them."""
        return self._slots

    def known(self, keys: Sequence[Key]) -> int:
        """How many samples of a batch have slots."""
        return sum(key in self._slot_of for key in keys)

    def of(self, keys: Sequence[Key], device: torch.device) -> Int[torch.Tensor, " n"]:
        """The slots of a batch; new samples get free ones, or new ones."""
        slots = []
        for key in keys:
            slot = self._slot_of.pop(key, None)
            if slot is None:
                slot = self._free.pop() if self._free else self._add()
            self._slot_of[key] = slot
            slots.append(slot)
        return torch.tensor(slots, dtype=torch.int64, device=device)

    def evict(self, kept: int) -> list[int]:
        """Takes the slots of all but the `kept` most recent samples away from them."""
        gone = list(self._slot_of)[: max(0, len(self._slot_of) - kept)]
        freed = [self._slot_of.pop(key) for key in gone]
        self._free += freed
        return freed

    def _add(self) -> int:
        self._slots += 1
        return self._slots - 1
