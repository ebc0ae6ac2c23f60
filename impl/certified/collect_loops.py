"""The loops that put together what a course has found: of each layer one sample after the other, without gaps."""

from __future__ import annotations

import numba
import numpy as np

from impl.certified.layer_table import found_at
from impl.certified.row_loops import ACTIVE
from impl.kernels.loops import compile_parallel


@numba.njit(cache=True, nogil=True)
def add_up(table, like, offsets, totals):
    """By layer, where the active units of each sample begin, and what was counted over all samples."""
    for layer in range(totals.shape[0]):
        counts = found_at(table[layer], like).counts
        offsets[layer, 0], totals[layer] = 0, 0
        for i in range(counts.shape[0]):
            offsets[layer, i + 1] = offsets[layer, i] + counts[i, ACTIVE]
            for number in range(counts.shape[1]):
                totals[layer, number] += counts[i, number]


@compile_parallel
def collect(table, offsets, begins, samples, units, active, hidden, left, sums):
    """Writes what was found, one layer after the other; `left` (c, entries) layer by layer, if there is room for it.

    Layer ℓ begins at begins[ℓ], and its sample i so many entries later as offsets[ℓ, i] says. sums[ℓ, i] is that of the
    preactivations, by which numbers that are not finite are found.
    """
    count = offsets.shape[1] - 1
    for part in numba.prange(offsets.shape[0] * count):
        layer, i = np.int64(part) // count, np.int64(part) % count
        found, first, last = found_at(table[layer], active), offsets[layer, i], offsets[layer, i + 1]
        total = 0.0
        for e in range(last - first):
            to = begins[layer] + first + e
            samples[to], units[to] = i, found.units[i, e]
            active[to], hidden[to] = found.active[i, e], found.hidden[i, e]
            total += found.active[i, e]
        sums[layer, i] = total
        if left.size:
            outputs, entries = found.left.shape[1], offsets[layer, count]
            for output in range(outputs):
                to = begins[layer] * outputs + output * entries + first
                left[to : to + last - first] = found.left[i, output, : last - first]
