"""The loops of products with factors, unit by unit: of each of its entries a unit knows the sample, and where its
vectors begin.

Both stand in one number (LISTED), as what a product waits for is the lists: they are met here and there, and every list
is one more line of memory to come (measured: a fifth of the time).

Vectors are read over their length with padding, which is zero: what does not fill a register takes longer than the rest
(measured: half of the time at 31 vectors).
"""

from __future__ import annotations

import numba
import numpy as np

from impl.kernels.loops import compile_parallel

# An entry is listed as sample · 2^36 + where its vectors begin.
LISTED = 36

# Below, indices are unsigned: numba would else look for negative ones, number by number.


@compile_parallel
def project(unit_offsets, listed, numbers, length, offsets, units, values, out):
    count = offsets.size - 1
    for i in numba.prange(count):
        mine = units[offsets[i] : offsets[i + 1]]
        for output in range(values.shape[0]):
            given = values[output, offsets[i] : offsets[i + 1]]
            project_sample(unit_offsets, listed, numbers, length, mine, given, out[output * count + i])


@compile_parallel
def collect(unit_offsets, listed, numbers, length, offsets, units, coefficients, out):
    count = offsets.size - 1
    for i in numba.prange(count):
        for output in range(out.shape[0]):
            factors = coefficients[output * count + i]
            for entry in range(offsets[i], offsets[i + 1]):
                first, last = unit_offsets[units[entry]], unit_offsets[units[entry] + 1]
                out[output, entry] = sum_at(first, last, listed, numbers, length, factors)


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def project_sample(unit_offsets, listed, numbers, length, units, values, out):
    """out[j, t] = Σ_e (t-th vector of sample j)[units[e]] · values[e], with t over the length; how many entries met.

    `out` is (samples · length,).
    """
    out[:] = 0
    met, size = 0, np.uint64(length)
    for e in range(units.size):
        value, first, last = values[e], unit_offsets[units[e]], unit_offsets[units[e] + 1]
        for at in range(first, last):
            to, start = _sample(listed[at]) * size, _start(listed[at])
            for t in range(size):
                out[to + t] += value * numbers[start + t]
        met += last - first
    return met


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def sum_at(first, last, listed, numbers, length, factors):
    """Σ over the entries of a unit, from `first` to `last`, of ⟨vectors, factors of their sample⟩."""
    total, size = numbers.dtype.type(0), np.uint64(length)
    for at in range(first, last):
        begin, start = _sample(listed[at]) * size, _start(listed[at])
        for t in range(size):
            total += factors[begin + t] * numbers[start + t]
    return total


@numba.njit(cache=True, nogil=True)
def order_by_unit(counts, units, length, offsets, listed):
    """Lists entries by unit, then by sample."""
    for i in range(counts.size):
        for place in range(counts[i]):
            offsets[units[i, place] + 1] += 1
    for unit in range(offsets.size - 1):
        offsets[unit + 1] += offsets[unit]
    room = units.shape[1]
    for i in range(counts.size - 1, -1, -1):  # filled from the end of each unit on, and so offsets become those before
        for place in range(counts[i]):
            at = offsets[units[i, place] + 1] - 1
            offsets[units[i, place] + 1] = at
            listed[at] = (i << LISTED) + (i * room + place) * length
    for unit in range(offsets.size - 1):
        offsets[unit] = offsets[unit + 1]
    offsets[offsets.size - 1] = listed.size


@numba.njit(cache=True, nogil=True)
def _sample(entry):
    return entry >> np.uint64(LISTED)


@numba.njit(cache=True, nogil=True)
def _start(entry):
    return entry & np.uint64((1 << LISTED) - 1)
