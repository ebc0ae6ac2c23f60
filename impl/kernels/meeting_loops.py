"""The loops of inner products by meetings: pairs of entries of a support that have their unit in common.

Samples that are sparse have few: then it takes less to list them once than to look every vector up in every other one.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def list_meetings(units, width, most):
    """Pairs of entries with the same unit, the later one first; none, and −1, where there are more than `most`.

    Nor may the first entries have more than their part of that: where all meet, this is seen at once.
    Returns the pairs, (2, most), and how many there are.
    """
    newest, before = np.zeros(width, np.uint32), np.empty(units.size, np.uint32)  # both count entries from 1
    late, repeated = np.empty(units.size + 1, np.uint32), 0  # entries that meet others; found without a branch
    for entry in range(units.size):
        earlier = newest[units[entry]]
        before[entry], newest[units[entry]] = earlier, entry + 1
        late[repeated] = entry
        repeated += earlier > 0
    meetings, count = np.empty((2, most), np.uint32), 0
    for e in range(repeated):
        later = np.int64(late[e])
        earlier = before[later]
        while earlier:
            if count == most or count * units.size > most * (later + 1):
                return meetings, -1
            meetings[0, count], meetings[1, count] = later, earlier - 1
            count += 1
            earlier = before[earlier - 1]
    return meetings, count


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def inner_products_at(meetings, offsets, samples, values, out):
    """out[i, o, j, p] = ⟨v_{i,o}, v_{j,p}⟩ for all samples i and j, in float64."""
    out[:] = 0
    outputs = values.shape[0]
    for o in range(outputs):
        for p in range(outputs):
            mine, others = values[o], values[p]
            for i in range(offsets.size - 1):
                total = 0.0
                for entry in range(offsets[i], offsets[i + 1]):
                    total += np.float64(mine[entry]) * np.float64(others[entry])
                out[i, o, i, p] = total
            for meeting in range(meetings.shape[1]):
                later, earlier = meetings[0, meeting], meetings[1, meeting]
                product = np.float64(mine[later]) * np.float64(others[earlier])
                out[samples[later], o, samples[earlier], p] += product
    for i in range(offsets.size - 1):
        for j in range(i):
            for o in range(outputs):
                for p in range(outputs):
                    out[j, p, i, o] = out[i, o, j, p]
