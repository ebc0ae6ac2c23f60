"""The loops of the compiled kernels; what they compute is told in interface.py, and how they are laid out here."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from impl.kernels.stored import number

# Sums may be reassociated and products contracted: rounding within the derived tolerances. NaN and
# infinities keep their meaning.
# Only what says prange is parallel: array expressions would else become regions of their own, unseen, at whose end the
# threads wait for each other, and that is long where others use the machine.
EXPLICIT: Any = {
    "prange": True,
    "comprehension": False,
    "reduction": False,
    "inplace_binop": False,
    "setitem": False,
    "numpy": False,
    "stencil": False,
    "fusion": False,
}
compile_parallel: Any = numba.njit(parallel=EXPLICIT, fastmath={"contract", "reassoc", "nsz"}, cache=True, nogil=True)


@compile_parallel
def count_above(dense, threshold, counts):
    for i in numba.prange(dense.shape[0]):
        row, count = dense[i], 0
        for j in range(row.size):
            count += row[j] > threshold
        counts[i] = count


@compile_parallel
def list_above(dense, threshold, offsets, samples, units, values):
    for i in numba.prange(dense.shape[0]):
        row, entry = dense[i], offsets[i]
        for j in range(row.size):
            if row[j] > threshold:
                samples[entry] = i
                units[entry] = j
                values[entry] = row[j]
                entry += 1


# Table rows that a pass over the samples shares: they stay in cache from the first sample to the last.
BLOCK_ROWS = 256


@compile_parallel
def gather(offsets, units, values, table, out, tiles):
    samples, width = out.shape
    for tile in numba.prange(tiles):  # each thread has its own columns of the output
        low, high = width * tile // tiles, width * (tile + 1) // tiles
        out[:, low:high] = 0
        position = offsets[:samples].copy()
        for block in range((table.shape[0] + BLOCK_ROWS - 1) // BLOCK_ROWS):
            limit = (block + 1) * BLOCK_ROWS
            last = limit >= table.shape[0]
            for i in range(samples):
                total = out[i, low:high]
                entry, end = position[i], offsets[i + 1]
                while entry + 4 <= end and units[entry + 3] < limit:
                    p, q, r, s = (
                        table[units[entry], low:high],
                        table[units[entry + 1], low:high],
                        table[units[entry + 2], low:high],
                        table[units[entry + 3], low:high],
                    )
                    vp, vq, vr, vs = values[entry], values[entry + 1], values[entry + 2], values[entry + 3]
                    for j in range(total.size):
                        total[j] += vp * number(p[j]) + vq * number(q[j]) + vr * number(r[j]) + vs * number(s[j])
                    entry += 4
                while last and entry < end:
                    p, vp = table[units[entry], low:high], values[entry]
                    for j in range(total.size):
                        total[j] += vp * number(p[j])
                    entry += 1
                position[i] = entry


@compile_parallel
def gather_restricted(
    unit_offsets, entry_by_unit, sample_of_entry, column_offsets, column_units, values, table, out, lines
):
    for unit in numba.prange(unit_offsets.size - 1):
        row, wanted = table[unit], 0
        for position in range(unit_offsets[unit], unit_offsets[unit + 1]):
            sample = sample_of_entry[entry_by_unit[position]]
            wanted += column_offsets[sample + 1] - column_offsets[sample]
        if wanted > lines:
            row = row.copy()
        for position in range(unit_offsets[unit], unit_offsets[unit + 1]):
            entry = entry_by_unit[position]
            sample = sample_of_entry[entry]
            low, high = column_offsets[sample], column_offsets[sample + 1]
            units = column_units[low:high]
            for output in range(values.shape[0]):
                factors = values[output, low:high]
                total = values.dtype.type(0)
                for j in range(units.size):
                    total += number(row[units[j]]) * factors[j]
                out[output, entry] = total


@compile_parallel
def gather_narrow(offsets, units, values, table, out):
    for i in numba.prange(out.shape[0]):
        total = out[i]
        total[:] = 0
        entry, end = offsets[i], offsets[i + 1]
        while entry + 4 <= end:
            p, q, r, s = table[units[entry]], table[units[entry + 1]], table[units[entry + 2]], table[units[entry + 3]]
            vp, vq, vr, vs = values[entry], values[entry + 1], values[entry + 2], values[entry + 3]
            for j in range(total.size):
                total[j] += vp * number(p[j]) + vq * number(q[j]) + vr * number(r[j]) + vs * number(s[j])
            entry += 4
        while entry < end:
            p, vp = table[units[entry]], values[entry]
            for j in range(total.size):
                total[j] += vp * number(p[j])
            entry += 1


@compile_parallel
def count_unions(offsets, units, other_offsets, other_units, counts):
    for i in numba.prange(counts.size):
        here, absent = offsets[i], 0
        for there in range(other_offsets[i], other_offsets[i + 1]):
            while here < offsets[i + 1] and units[here] < other_units[there]:
                here += 1
            absent += not (here < offsets[i + 1] and units[here] == other_units[there])
        counts[i] = offsets[i + 1] - offsets[i] + absent


@compile_parallel
def add_vectors(
    offsets, units, values, other_offsets, other_units, other_values, union_offsets, samples, union, sums, listing
):
    for i in numba.prange(offsets.size - 1):
        here, there = offsets[i], other_offsets[i]
        for entry in range(union_offsets[i], union_offsets[i + 1]):
            first = here < offsets[i + 1] and (there == other_offsets[i + 1] or units[here] <= other_units[there])
            second = there < other_offsets[i + 1] and (here == offsets[i + 1] or other_units[there] <= units[here])
            if listing:
                samples[entry] = i
                union[entry] = units[here] if first else other_units[there]
            total = values.dtype.type(0)
            if first:
                total += values[here]
                here += 1
            if second:
                total += other_values[there]
                there += 1
            sums[entry] = total


@compile_parallel
def size_unions(right, left, sizes):
    samples = sizes.shape[1]
    for part in numba.prange(2 * samples):  # first one side, then the other
        side, i = np.int64(part) // samples, np.int64(part) % samples
        counts, known, offsets, units = left if side else right
        sizes[side, i] = counts[i] + _absent(known[i, : counts[i]], units[offsets[i] : offsets[i + 1]])


@numba.njit(cache=True, nogil=True)
def add_up_unions(sizes):
    """The fields of Unions."""
    right, left, longest_right, longest_left, pairs = 0, 0, 0, 0, 0
    for i in range(sizes.shape[1]):
        right, left, pairs = right + sizes[0, i], left + sizes[1, i], pairs + sizes[0, i] * sizes[1, i]
        longest_right, longest_left = max(longest_right, sizes[0, i]), max(longest_left, sizes[1, i])
    return right, left, longest_right, longest_left, pairs


@numba.njit(cache=True, nogil=True)
def _absent(known, units):
    """How many units are not among those that are known; both increase."""
    place, absent = 0, 0
    for entry in range(units.size):
        while place < known.size and known[place] < units[entry]:
            place += 1
        absent += not (place < known.size and known[place] == units[entry])
    return absent


@compile_parallel
def insert(counts, known, numbers, vectors, offsets, units, values):
    for i in numba.prange(counts.size):
        absent = _absent(known[i, : counts[i]], units[offsets[i] : offsets[i + 1]])
        place, entry = counts[i] - 1, offsets[i + 1] - 1
        counts[i] += absent
        for last in range(counts[i] - 1, -1, -1):  # merged from the last unit on, in place
            new = entry >= offsets[i] and (place < 0 or known[i, place] <= units[entry])
            old = place >= 0 and (entry < offsets[i] or units[entry] <= known[i, place])
            if old:
                if last > place:
                    known[i, last] = known[i, place]
                    numbers[i, last, :vectors] = numbers[i, place, :vectors]
                place -= 1
            else:
                known[i, last] = units[entry]
                numbers[i, last, :vectors] = 0
            numbers[i, last, vectors] = values[entry] if new else 0
            entry -= new


# Elements of the part of a table that additions are scattered over at a time: it stays in cache.
SCATTERED = 1 << 16


@compile_parallel
def spread(counts, units, values, vectors, coefficients, out, anew):
    rows = max(1, SCATTERED // out.shape[1])
    for part in numba.prange((out.shape[0] + rows - 1) // rows):
        first, last = part * rows, (part + 1) * rows
        if anew:
            out[first:last] = 0
        for i in range(counts.size):
            mine, factors = units[i, : counts[i]], coefficients[i]
            e = np.searchsorted(mine, first)
            while e < mine.size and mine[e] < last:
                total, value, t = out[mine[e]], values[i, e], 0
                while t + 4 <= vectors:
                    p, q, r, s = factors[t], factors[t + 1], factors[t + 2], factors[t + 3]
                    vp, vq, vr, vs = value[t], value[t + 1], value[t + 2], value[t + 3]
                    for j in range(total.size):
                        total[j] += vp * p[j] + vq * q[j] + vr * r[j] + vs * s[j]
                    t += 4
                while t < vectors:
                    p, vp = factors[t], value[t]
                    for j in range(total.size):
                        total[j] += vp * p[j]
                    t += 1
                e += 1


# Rows and columns of a tile that is transposed at a time.
TILE = 64


@compile_parallel
def subtract_transposed(by_unit, out):
    samples, width = out.shape
    for tile in numba.prange((width + TILE - 1) // TILE):
        low, high = tile * TILE, min(width, (tile + 1) * TILE)
        for i in range(samples):
            for j in range(low, high):
                out[i, j] -= by_unit[j, i]


@compile_parallel
def subtract_outer(
    unit_offsets,
    entry_by_unit,
    sample_of_entry,
    row_values,
    column_offsets,
    column_units,
    column_values,
    table,
    sums,
):
    rows, parts = unit_offsets.size - 1, sums.shape[0]
    for part in numba.prange(parts):
        for unit in range(rows * part // parts, rows * (part + 1) // parts):
            row = table[unit]
            for position in range(unit_offsets[unit], unit_offsets[unit + 1]):
                entry = entry_by_unit[position]
                sample = sample_of_entry[entry]
                factor = row_values[entry]
                low, high = column_offsets[sample], column_offsets[sample + 1]
                units = column_units[low:high]
                if factor.size > 1:
                    _subtract_sum(row, units, factor, column_values[:, low:high], sums[part, : units.size])
                else:
                    factors = column_values[0, low:high]
                    for j in range(units.size):
                        row[units[j]] -= factor[0] * factors[j]


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _subtract_sum(row, units, factor, vectors, total):
    """row[units] −= Σ_t factor[t] · vectors[t]: summed first, so that each scattered element is written once."""
    total[:] = 0
    t = 0
    while t + 4 <= factor.size:
        p, q, r, s = vectors[t], vectors[t + 1], vectors[t + 2], vectors[t + 3]
        vp, vq, vr, vs = factor[t], factor[t + 1], factor[t + 2], factor[t + 3]
        for j in range(total.size):
            total[j] += vp * p[j] + vq * q[j] + vr * r[j] + vs * s[j]
        t += 4
    while t < factor.size:
        p, vp = vectors[t], factor[t]
        for j in range(total.size):
            total[j] += vp * p[j]
        t += 1
    for j in range(units.size):
        row[units[j]] -= total[j]


@compile_parallel
def inner_products(offsets, units, values, width, first, last, parts, out):
    for part in numba.prange(parts):
        dense = np.zeros((values.shape[0], width), values.dtype)
        # Dealt out there and back: a sample early in the block has more partners left than a late one.
        for turn in range(first, last, parts):
            mine = np.int64(part)
            j = turn + (mine if (turn - first) // parts % 2 == 0 else parts - 1 - mine)
            if j < last:
                _inner_products_with(j, dense, offsets, units, values, first, last, out)


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _inner_products_with(j, dense, offsets, units, values, first, last, out):
    """Those of sample j with the samples that it is the first to meet; `dense` is zero before and afterwards."""
    outputs = values.shape[0]
    for p in range(outputs):
        for entry in range(offsets[j], offsets[j + 1]):
            dense[p, units[entry]] = values[p, entry]
    for i in range(offsets.size - 1):
        if first <= i < j:
            continue
        low, high = offsets[i], offsets[i + 1]
        mine = units[low:high]
        for p in range(outputs):
            row, picked = dense[p], np.empty(mine.size, np.float64)
            for e in range(mine.size):
                picked[e] = row[mine[e]]
            for o in range(outputs):
                vector, total = values[o, low:high], 0.0
                for e in range(mine.size):
                    total += vector[e] * picked[e]
                out[i, o, j - first, p] = total
                if first <= i < last:
                    out[j, p, i - first, o] = total
    for p in range(outputs):
        for entry in range(offsets[j], offsets[j + 1]):
            dense[p, units[entry]] = 0
