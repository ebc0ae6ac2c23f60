"""The loops of the compiled kernels, each with its arrays as arguments; what they do is told in interface.py."""

from __future__ import annotations

import numba
import numpy as np

from impl.kernels.compiled import BLOCK_ROWS, compile_parallel


@compile_parallel
def product_and_squares(offsets, units, values, table, out, squares, tiles):
    samples, width = out.shape
    for tile in numba.prange(tiles):  # each thread has its own columns of the output
        low, high = width * tile // tiles, width * (tile + 1) // tiles
        out[:, low:high] = 0
        squares[:, low:high] = 0
        position = offsets[:samples].copy()
        for block in range((table.shape[0] + BLOCK_ROWS - 1) // BLOCK_ROWS):
            limit = (block + 1) * BLOCK_ROWS
            last = limit >= table.shape[0]
            for i in range(samples):
                total, square = out[i, low:high], squares[i, low:high]
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
                        a, b, c, d = p[j], q[j], r[j], s[j]
                        total[j] += vp * a + vq * b + vr * c + vs * d
                        square[j] += a * a + b * b + c * c + d * d
                    entry += 4
                while last and entry < end:
                    p, vp = table[units[entry], low:high], values[entry]
                    for j in range(total.size):
                        total[j] += vp * p[j]
                        square[j] += p[j] * p[j]
                    entry += 1
                position[i] = entry


@compile_parallel
def locate(column_place, slots, offsets, units, places, missing):
    for i in numba.prange(slots.size):
        place_of, absent = column_place[slots[i]], 0
        for entry in range(offsets[i], offsets[i + 1]):
            place = place_of[units[entry]]
            places[entry] = place
            absent += place < 0
        missing[i] = absent


@compile_parallel
def combine(references, column_count, slots, offsets, values, places, ridge, coefficients, sizes):
    count = references.shape[1]
    for i in numba.prange(slots.size):
        columns = column_count[slots[i]]
        known = references[slots[i], :, :columns].astype(np.float64)
        rest = np.zeros(columns)
        for entry in range(offsets[i], offsets[i + 1]):
            rest[places[entry]] = values[entry]
        gram, right = np.zeros((count, count)), np.zeros(count)
        for q in range(count):
            for p in range(q + 1):
                total = 0.0
                for j in range(columns):
                    total += known[q, j] * known[p, j]
                gram[q, p] = gram[p, q] = total
            total = 0.0
            for j in range(columns):
                total += known[q, j] * rest[j]
            right[q] = total
        sizes[i, 0] = 0.0
        for j in range(columns):
            sizes[i, 0] += rest[j] * rest[j]
        _least_squares(gram, right, ridge)
        sizes[i, 1] = 0.0
        for q in range(count):
            coefficients[i, q] = right[q]
            rounded = np.float64(coefficients[i, q])
            sizes[i, 1] += abs(rounded) * np.sqrt(gram[q, q])
            for j in range(columns):
                rest[j] -= rounded * known[q, j]
        sizes[i, 2] = 0.0
        for j in range(columns):
            sizes[i, 2] += rest[j] * rest[j]


@numba.njit(cache=True, nogil=True)
def _least_squares(gram, right, ridge):
    """right ← argmin ‖h − Σ_q a_q h^q‖² + ridge Σ_q a_q²‖h^q‖², by elimination; references that are zero get zero."""
    count = right.size
    system = gram.copy()
    for q in range(count):
        system[q, q] *= 1.0 + ridge
    for q in range(count):
        if not system[q, q] > 0.0:  # no reference, or one that others span
            system[q, :] = 0.0
            system[q, q], right[q] = 1.0, 0.0
        for p in range(q + 1, count):
            factor = system[p, q] / system[q, q]
            right[p] -= factor * right[q]
            for s in range(q, count):
                system[p, s] -= factor * system[q, s]
    for q in range(count - 1, -1, -1):
        for s in range(q + 1, count):
            right[q] -= system[q, s] * right[s]
        right[q] /= system[q, q]


@compile_parallel
def exact(products, slots, coefficients, correction, magnitudes, looseness, out):
    for i in numba.prange(slots.size):
        total, correct, loose = out[i], correction[i], looseness[i]
        for j in range(total.size):
            total[j] = magnitudes[j] * loose - correct[j]
        for q in range(products.shape[1]):
            product, coefficient = products[slots[i], q], coefficients[i, q]
            if coefficient != 0:
                for j in range(total.size):
                    total[j] += coefficient * product[j]


@compile_parallel
def append_columns(
    column_place,
    columns,
    column_count,
    norms,
    numbers,
    block_offset,
    stride,
    rows,
    row_count,
    slots,
    offsets,
    units,
    places,
    table,
):
    number = norms.dtype.type
    up = number(1 + 8 * np.finfo(norms.dtype).eps)
    tiny = np.finfo(norms.dtype).tiny
    for i in numba.prange(slots.size):
        slot = slots[i]
        for entry in range(offsets[i], offsets[i + 1]):
            if places[entry] >= 0:
                continue
            unit, place = units[entry], column_count[slot]
            column_count[slot] = place + 1
            places[entry] = place
            column_place[slot, unit] = place
            columns[slot, place] = unit
            source, norm = table[unit], norms[slot]
            for j in range(norm.size):
                norm[j] = np.sqrt((norm[j] * norm[j] + source[j] * source[j]) * up + tiny) * up
            begin = block_offset[slot] + place * stride[slot]
            line, listed = numbers[begin : begin + row_count[slot]], rows[slot, : row_count[slot]]
            for j in range(line.size):
                line[j] = source[listed[j]]


@compile_parallel
def screen(norms, row_place, slots, exact, limit, radius, outer, live_count, counts):
    for i in numba.prange(slots.size):
        rho, place, known = norms[slots[i]], row_place[slots[i]], exact[i]
        near, far = radius[i], outer[i]
        needed, wanted, live = 0, 0, 0
        for j in range(known.size):
            fresh = place[j] < 0
            needs = not known[j] + rho[j] * near <= limit  # not: what is not a number is not certified
            needed += fresh and needs
            wanted += fresh and not known[j] + rho[j] * far <= limit
            live = max(live, place[j] + 1 if needs else 0)
        counts[0, i], counts[1, i], live_count[slots[i]] = needed, wanted, live


@compile_parallel
def radius_for(norms, row_place, slots, exact, limit, least, spread, radius):
    for i in numba.prange(slots.size):
        rho, known = norms[slots[i]], exact[i]
        reached = np.empty(known.size, known.dtype)
        near: int = 0
        for j in range(known.size):
            near += not known[j] + rho[j] * least[i] <= limit
            reached[j] = (limit - known[j]) / rho[j] if rho[j] > 0 else np.inf
        target = min(known.size - 1, int(near * spread) + 8)
        radius[i] = max(least[i], np.partition(reached, target)[target])


@compile_parallel
def append_rows(norms, row_place, slots, exact, limit, radius, rows, row_order, row_count, live_count):
    for i in numba.prange(slots.size):
        slot = slots[i]
        rho, place, known, near, first = norms[slot], row_place[slot], exact[i], radius[i], row_count[slot]
        count = first
        for j in range(known.size):
            if place[j] < 0 and not known[j] + rho[j] * near <= limit:
                rows[slot, count] = j
                count += 1
        if count == first:
            continue
        fresh = rows[slot, first:count].copy()
        reached = np.empty(fresh.size, known.dtype)
        for e in range(fresh.size):
            j = fresh[e]
            reached[e] = (limit - known[j]) / rho[j] if rho[j] > 0 else limit - known[j]
        ranking = np.argsort(reached)
        for e in range(fresh.size):
            j = fresh[ranking[e]]
            rows[slot, first + e] = j
            place[j] = first + e
        row_count[slot] = live_count[slot] = count
        row_order[slot, :count] = np.argsort(rows[slot, :count])


@compile_parallel
def fill(
    numbers,
    block_offset,
    stride,
    rows,
    row_count,
    slots,
    first,
    column_offsets,
    unit_offsets,
    entry_by_unit,
    sample_of_entry,
    table,
    lines,
):
    for unit in numba.prange(unit_offsets.size - 1):
        source, wanted = table[unit], 0
        for position in range(unit_offsets[unit], unit_offsets[unit + 1]):
            sample = sample_of_entry[entry_by_unit[position]]
            wanted += row_count[slots[sample]] - first[sample]
        if wanted > lines:
            source = source.copy()
        for position in range(unit_offsets[unit], unit_offsets[unit + 1]):
            entry = entry_by_unit[position]
            sample = sample_of_entry[entry]
            slot = slots[sample]
            begin = block_offset[slot] + (entry - column_offsets[sample]) * stride[slot]
            line = numbers[begin + first[sample] : begin + row_count[slot]]
            listed = rows[slot, first[sample] : row_count[slot]]
            for j in range(line.size):
                line[j] = source[listed[j]]


@compile_parallel
def evaluate(numbers, block_offset, stride, rows, live_count, slots, offsets, values, places, correction, z):
    for i in numba.prange(slots.size):
        slot = slots[i]
        begin, length, count = block_offset[slot], stride[slot], live_count[slot]
        total, listed = z[i, :count], rows[slot, :count]
        total[:] = 0
        entry, end = offsets[i], offsets[i + 1]
        while entry + 4 <= end:
            a, b = begin + places[entry] * length, begin + places[entry + 1] * length
            c, d = begin + places[entry + 2] * length, begin + places[entry + 3] * length
            p, q, r, s = numbers[a : a + count], numbers[b : b + count], numbers[c : c + count], numbers[d : d + count]
            vp, vq, vr, vs = values[entry], values[entry + 1], values[entry + 2], values[entry + 3]
            for j in range(count):
                total[j] += vp * p[j] + vq * q[j] + vr * r[j] + vs * s[j]
            entry += 4
        while entry < end:
            a = begin + places[entry] * length
            p, vp = numbers[a : a + count], values[entry]
            for j in range(count):
                total[j] += vp * p[j]
            entry += 1
        for j in range(count):
            total[j] -= correction[i, listed[j]]


@compile_parallel
def count(z, threshold, live_count, slots, counts):
    for i in numba.prange(slots.size):
        row, count = z[i, : live_count[slots[i]]], 0
        for j in range(row.size):
            count += row[j] > threshold
        counts[i] = count


@compile_parallel
def list_active(z, threshold, rows, row_order, row_count, live_count, slots, offsets, samples, units, values):
    for i in numba.prange(slots.size):
        slot, entry = slots[i], offsets[i]
        for j in range(row_count[slot]):
            place = row_order[slot, j]
            if place < live_count[slot] and z[i, place] > threshold:
                samples[entry] = i
                units[entry] = rows[slot, place]
                values[entry] = z[i, place]
                entry += 1


@compile_parallel
def apply_transpose(
    numbers,
    block_offset,
    stride,
    row_place,
    live_count,
    slots,
    offsets,
    places,
    column_offsets,
    column_units,
    values,
    out,
):
    for i in numba.prange(slots.size):
        slot = slots[i]
        begin, length, count = block_offset[slot], stride[slot], live_count[slot]
        low, high = column_offsets[i], column_offsets[i + 1]
        above = np.empty(high - low, np.uint32)
        for entry in range(low, high):
            above[entry - low] = row_place[slot, column_units[entry]]
        for output in range(values.shape[0]):
            given = values[output, low:high]
            for entry in range(offsets[i], offsets[i + 1]):
                a = begin + places[entry] * length
                line, total = numbers[a : a + count], values.dtype.type(0)
                for e in range(above.size):  # by unit: the sum does not depend on when a row was appended
                    total += line[above[e]] * given[e]
                out[output, entry] = total
