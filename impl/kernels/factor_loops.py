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
from impl.kernels.prefetch import prefetch

# An entry is listed as sample · 2^36 + where its vectors begin.
LISTED = 36

# Vectors are asked for so many entries before they are needed, by one number in so many: every line of memory in
# float32, every other one in float64, where its neighbour comes along.
AHEAD = 24
LINE = 16

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
            mine = units[offsets[i] : offsets[i + 1]]
            sums = out[output, offsets[i] : offsets[i + 1]]
            sums_at(unit_offsets, listed, numbers, length, mine, factors, sums)


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def project_sample(unit_offsets, listed, numbers, length, units, values, out):
    """out[j, t] = Σ_e (t-th vector of sample j)[units[e]] · values[e], with t over the length; how many entries met.

    `out` is (samples · length,).
    """
    out[:] = 0
    begins, entries = _entries_of(unit_offsets, listed, units)
    size = np.uint64(length)
    for e in range(units.size):
        value = values[e]
        for at in range(begins[e], begins[e + 1]):
            _ask_for(numbers, entries[at + AHEAD], size)
            to, start = _sample(entries[at]) * size, _start(entries[at])
            for t in range(size):
                out[to + t] += value * numbers[start + t]
    return begins[units.size]


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def sums_at(unit_offsets, listed, numbers, length, units, factors, out):
    """out[e] = Σ over the entries of units[e] of ⟨vectors, factors of their sample⟩; how many entries met."""
    begins, entries = _entries_of(unit_offsets, listed, units)
    size = np.uint64(length)
    for e in range(units.size):
        total = numbers.dtype.type(0)
        for at in range(begins[e], begins[e + 1]):
            _ask_for(numbers, entries[at + AHEAD], size)
            begin, start = _sample(entries[at]) * size, _start(entries[at])
            for t in range(size):
                total += factors[begin + t] * numbers[start + t]
        out[e] = total
    return begins[units.size]


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def sum_at(first, last, listed, numbers, length, factors):
    """Σ over the entries of a unit, from `first` to `last`, of ⟨vectors, factors of their sample⟩."""
    total, size = numbers.dtype.type(0), np.uint64(length)
    for at in range(first, last):
        begin, start = _sample(listed[at]) * size, _start(listed[at])
        for t in range(size):
            total += factors[begin + t] * numbers[start + t]
    return total


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def sums_everywhere(counts, units, numbers, length, factors, out):
    """out[unit] = Σ over the entries of a unit of ⟨vectors, factors of their sample⟩, for all units; how many entries.

    Vectors are read sample by sample, from one end to the other, which takes a third of the time that lists do. `units`
    (samples, room), of which as many count as `counts` says.
    """
    out[:] = 0
    size, room, entries = np.uint64(length), np.uint64(units.shape[1]), 0
    for i in range(counts.size):
        begin = np.uint64(i) * size
        start = begin * room
        for place in range(counts[i]):
            total = numbers.dtype.type(0)
            for t in range(size):
                total += factors[begin + t] * numbers[start + t]
            out[units[i, place]] += total
            start += size
        entries += counts[i]
    return entries


@numba.njit(cache=True, nogil=True)
def _entries_of(unit_offsets, listed, units):
    """The entries of units, one unit after the other: where those of each begin, and the entries, the last repeated.

    Nothing here waits for anything but lists, and so many of them come at a time.
    """
    begins, count = np.empty(units.size + 1, np.uint64), np.uint64(0)
    for e in range(units.size):
        begins[e] = count
        count += np.uint64(unit_offsets[units[e] + np.uint64(1)] - unit_offsets[units[e]])
    begins[units.size] = count
    entries = np.empty(count + np.uint64(AHEAD), np.uint64)
    for e in range(units.size):
        first = np.uint64(unit_offsets[units[e]])
        for at in range(begins[e + 1] - begins[e]):
            entries[begins[e] + at] = listed[first + at]
    last = entries[count - np.uint64(1)] if count else np.uint64(0)
    for at in range(AHEAD):
        entries[count + np.uint64(at)] = last
    return begins, entries


@numba.njit(cache=True, nogil=True)
def _ask_for(numbers, entry, size):
    """Has the vectors of an entry on their way to the cache."""
    start = _start(entry)
    for t in range(np.uint64(0), size, np.uint64(LINE)):
        prefetch(numbers, start + t)


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
