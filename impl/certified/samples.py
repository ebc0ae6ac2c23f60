"""Which slot belongs to which sample: a sample is recognized by its numbers, whatever batch it comes in."""

from __future__ import annotations

from collections import Counter

import torch

from reference.contract.shapes import Float, Int


class SampleSlots:
    """Slots by sample, the least recently used first. A sample that a batch holds twice has two slots."""

    def __init__(self) -> None:
        self._slot_of: dict[tuple[bytes, int], int] = {}
        self._free: list[int] = []
        self._slots = 0

    @property
    def slots(self) -> int:
        """How many there are, free ones among them."""
        return self._slots

    def known(self, X: Float[torch.Tensor, "n d"]) -> int:
        """How many samples of a batch have slots."""
        return sum(key in self._slot_of for key in _keys(X))

    def of(self, X: Float[torch.Tensor, "n d"]) -> Int[torch.Tensor, " n"]:
        """The slots of a batch; new samples get free ones, or new ones."""
        slots = []
        for key in _keys(X):
            slot = self._slot_of.pop(key, None)
            if slot is None:
                slot = self._free.pop() if self._free else self._add()
            self._slot_of[key] = slot
            slots.append(slot)
        return torch.tensor(slots, dtype=torch.int64, device=X.device)

    def evict(self, kept: int) -> list[int]:
        """Takes the slots of all but the `kept` most recent samples away from them."""
        gone = list(self._slot_of)[: max(0, len(self._slot_of) - kept)]
        freed = [self._slot_of.pop(key) for key in gone]
        self._free += freed
        return freed

    def _add(self) -> int:
        self._slots += 1
        return self._slots - 1


def _keys(X: Float[torch.Tensor, "n d"]) -> list[tuple[bytes, int]]:
    seen: Counter[bytes] = Counter()
    keys = []
    for row in X.cpu().numpy():
        numbers = row.tobytes()
        keys.append((numbers, seen[numbers]))
        seen[numbers] += 1
    return keys
