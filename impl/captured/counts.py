"""Counted work of a captured iteration, from the sizes of its supports: what the plain course of a step counts.

There, every operation counts what it does as it is done (impl/work.py). Here the sizes are known when all is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from impl.work import WorkMeter

INDEX, DOUBLE = 4, 8  # bytes


class IterationCounts:
    """What each phase counts.

    Args:
        widths: d, m_1 … m_L.
        counts: Entries of each support by sample: (L + 1, n), nonzero inputs first.
        outputs: c.
        trained: Numbers ℓ of the layers that are trained.
        size: Bytes of a number.
    """

    def __init__(self, widths: Sequence[int], counts: np.ndarray, outputs: int, trained: Sequence[int], size: int):
        self._widths, self._outputs, self._trained, self._size = widths, outputs, trained, size
        self._entries = counts.sum(axis=1).tolist()
        self._pairs = [int(below @ above) for below, above in pairwise(counts)]
        self._samples = counts.shape[1]

    def forward(self, work: WorkMeter) -> None:
        """Gathers and selections of all layers, and the readout."""
        size, n, c = self._size, self._samples, self._outputs
        for layer, width in enumerate(self._widths[1:], start=1):
            below, above = self._entries[layer - 1 : layer + 1]
            work.count(layer, below * width, (below * width + below + n * width) * size + below * INDEX)
            work.count(layer, above, (n * width + 2 * above) * size + above * INDEX)
        last = self._entries[-1]
        work.count(0, last * c, (last * c + last + n * c) * size + last * INDEX)

    def backward(self, work: WorkMeter) -> None:
        """The readout's columns, and the k × k blocks of layers L … 2."""
        size, c = self._size, self._outputs
        last = self._entries[-1]
        work.count(0, c * last, 2 * c * last * size + last * INDEX)
        for layer in range(len(self._entries) - 1, 1, -1):
            below, above, pairs = self._entries[layer - 1], self._entries[layer], self._pairs[layer - 1]
            work.count(layer, pairs * c, (pairs + c * (above + below)) * size + (below + above) * INDEX)
            work.count(layer, c * below, 2 * c * below * size)

    def gram(self, work: WorkMeter) -> None:
        """Inner products of left and of right factors, and their products."""
        n, c = self._samples, self._outputs
        for layer in self._trained:
            for entries, outputs in ((self._entries[layer], c), (self._entries[layer - 1], 1)):
                products = (n * outputs) ** 2
                gathered = entries * outputs * n * outputs
                moved = (gathered + outputs * entries) * self._size + entries * INDEX + products * DOUBLE
                work.count(layer, gathered, moved)
            work.count(layer, (n * c) ** 2, 3 * (n * c) ** 2 * DOUBLE)

    def solve(self, work: WorkMeter) -> None:
        """Cholesky's factorization, and two triangular solves."""
        rows = self._samples * self._outputs
        work.count(0, rows**3 // 6 + rows * rows, 3 * rows * rows * DOUBLE)

    def update(self, work: WorkMeter) -> None:
        """Left factors of rank n, and the k × k blocks that are written."""
        size, c = self._size, self._outputs
        for layer in self._trained:
            below, above, pairs = self._entries[layer - 1], self._entries[layer], self._pairs[layer - 1]
            work.count(layer, c * above, (2 * c * above + above) * size)
            work.count(layer, pairs, (2 * pairs + below + above) * size + (below + above) * INDEX)
