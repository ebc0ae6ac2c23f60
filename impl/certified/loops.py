"""The loops of the compiled kernels; what they do is told in interface.py, and in views.py what they work on."""

from __future__ import annotations

import numba
import numpy as np

from impl.certified.append_loops import append_column, append_rows_of
from impl.certified.interface import RENEWAL
from impl.certified.transposed_loops import transpose_sample
from impl.kernels.loops import BLOCK_ROWS, compile_parallel

# Units and samples whose bounds are looked at in one go, and units of which what is read by unit stays in cache.
TILE = 2048
GROUP = 32
CHANGES = 256

# A radius is sought until so many units of its target are within it, or for so many halvings.
NEARLY = 0.97
HALVINGS = 30

# Arrays of which single elements are written are taken out of `views` first: within a prange, numba (0.68) drops what
# is written to elements of an attribute.


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
def locate(views, slots, offsets, units, places, missing):
    for i in numba.prange(slots.size):
        place_of, absent = views.column_place[slots[i]], 0
        for entry in range(offsets[i], offsets[i + 1]):
            place = place_of[units[entry]]
            places[entry] = place
            absent += place < 0
        missing[i] = absent


@compile_parallel
def append_columns(views, slots, offsets, units, places, table):
    for i in numba.prange(slots.size):
        for entry in range(offsets[i], offsets[i + 1]):
            if places[entry] < 0:
                places[entry] = append_column(slots[i], views, units[entry], table[units[entry]])


@compile_parallel
def screen(views, bounds, counts):
    products, norms, row_place, row_products = views.products, views.norms, views.row_place, views.row_products
    row_count, live_count, known_count, excess = views.row_count, views.live_count, views.known_count, views.excess
    slots, coefficients, row_coefficients = bounds.slots, bounds.coefficients, bounds.row_coefficients
    radius, row_radius, limit = bounds.radius, bounds.row_radius, bounds.limit
    parts, width, last = counts.shape[0], bounds.change.shape[0], coefficients.shape[1]
    tiles = (width + TILE - 1) // TILE
    for part in numba.prange(parts):
        counts[part] = 0
        besides = np.empty((min(GROUP, slots.size), TILE), products.dtype)
        bound, doubtful, doubts = np.empty(TILE, products.dtype), np.empty(TILE + 1, np.int32), np.zeros(TILE, np.uint8)
        for tile in range(tiles * part // parts, tiles * (part + 1) // parts):
            low = tile * TILE
            size = min(width - low, TILE)
            for i in range(slots.size):
                if i % GROUP == 0:
                    _beside_products(bounds, i, low, besides[: slots.size - i, :size])
                slot, beside = slots[i], besides[i % GROUP, :size]
                bound[:size] = beside
                for q in range(last):
                    coefficient = coefficients[i, q]
                    if coefficient != 0:
                        product = products[slot, q, low : low + size]
                        for j in range(size):
                            bound[j] += coefficient * product[j]
                rho, place = norms[slot, low : low + size], row_place[slot, low : low + size]
                live = counts[part, 1, i]
                # Rows below `live` will be computed anyway; units that are no rows have large numbers as places.
                _doubts(bound[:size], rho, radius[i], limit, place.view(np.uint32), np.uint32(live), doubts)
                some = doubtful[: _list_marked(doubts, doubtful)]
                known = row_products[slot, : known_count[slot]]
                factors, others = row_coefficients[i], products[slot, :, low : low + size]
                needed, live = _look_closer(
                    some, place, live, known, factors, others, beside, rho, row_radius[i], limit
                )
                counts[part, 0, i] += needed
                counts[part, 1, i] = live
    for i in range(slots.size):
        slot = slots[i]
        due = excess[slot] > RENEWAL * row_count[slot]
        live_count[slot] = row_count[slot] if due else 0
        for part in range(parts):
            live_count[slot] = max(live_count[slot], counts[part, 1, i])


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _beside_products(bounds, first, low, out):
    """What bounds have beside the products of references, for a tile of units and samples from `first` on."""
    samples, looseness = bounds.samples[first:], bounds.looseness[first:]
    for begin in range(0, out.shape[1], CHANGES):  # by unit as they are, changes are read for all samples at once
        end = min(begin + CHANGES, out.shape[1])
        change, magnitudes = bounds.change[low + begin : low + end], bounds.magnitudes[low + begin : low + end]
        bias = bounds.bias[low + begin : low + end]
        for i in range(out.shape[0]):
            column, loose, row = samples[i], looseness[i], out[i, begin:end]
            for j in range(row.size):
                row[j] = magnitudes[j] * loose - (change[j, column] - bias[j])


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _doubts(bound, rho, radius, limit, place, least, doubts):
    """Marks units that are not certified, and have no place below `least`; all other marks are erased."""
    for j in range(bound.size):  # not: what is not a number is not certified
        doubts[j] = (not bound[j] + rho[j] * radius <= limit) & (place[j] >= least)
    doubts[bound.size :] = 0


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _look_closer(doubtful, place, live, row_products, factors, products, beside, rho, radius, limit):
    """How many of these units are no rows; and `live` after those that the row reference does not certify either."""
    needed, last = 0, factors.size - 1
    for e in range(doubtful.size):
        j = doubtful[e]
        if place[j] < 0:
            needed += 1
        elif place[j] >= live:
            doubt = True
            if place[j] < row_products.size:
                total = beside[j] + factors[last] * row_products[place[j]]
                for q in range(last):
                    if factors[q] != 0:
                        total += factors[q] * products[q, j]
                doubt = not total + rho[j] * radius <= limit
            if doubt:
                live = place[j] + 1
    return needed, live


@numba.njit(cache=True, nogil=True)
def _list_marked(marks, listed):
    """Lists where there is a mark, most having none, and returns how many there are; marks come by eights."""
    eights, some = marks.view(np.uint64), 0
    for eight in range(eights.size):
        if eights[eight]:
            for j in range(8 * eight, 8 * eight + 8):
                listed[some] = j
                some += marks[j]
    return some


@compile_parallel
def exact(views, bounds, out):
    products, slots, samples, coefficients = views.products, bounds.slots, bounds.samples, bounds.coefficients
    looseness, change, magnitudes, bias = bounds.looseness, bounds.change, bounds.magnitudes, bounds.bias
    for i in numba.prange(out.shape[0]):
        total, column, loose = out[i], samples[i], looseness[i]
        for j in range(total.size):
            total[j] = magnitudes[j] * loose - (change[j, column] - bias[j])
        for q in range(coefficients.shape[1]):
            product, coefficient = products[slots[i], q], coefficients[i, q]
            if coefficient != 0:
                for j in range(total.size):
                    total[j] += coefficient * product[j]


@compile_parallel
def radius_for(views, bounds, exact, target, radius):
    for i in numba.prange(target.size):
        rho, known, limit = views.norms[bounds.slots[i]], exact[i], bounds.limit
        reached = np.empty(known.size, known.dtype)
        low, high = bounds.radius[i], bounds.radius[i]
        for j in range(known.size):
            reached[j] = (limit - known[j]) / rho[j] if rho[j] > 0 else np.inf
            if reached[j] < np.inf:
                high = max(high, reached[j])
        for _ in range(HALVINGS):
            middle, within = (low + high) / 2, 0
            for j in range(reached.size):
                within += not reached[j] >= middle
            if within > target[i]:
                high = middle
            else:
                low = middle
                if within >= NEARLY * target[i]:
                    break
        radius[i] = low


@compile_parallel
def within(views, bounds, exact, radius, mask):
    for i in numba.prange(radius.size):
        slot, known = bounds.slots[i], exact[i]
        rho, place = views.norms[slot], views.row_place[slot]
        for j in range(known.size):
            mask[i, j] = (place[j] < 0) & (not known[j] + rho[j] * radius[i] <= bounds.limit)


@compile_parallel
def append_rows(views, bounds, exact, mask):
    for i in numba.prange(mask.shape[0]):
        fresh = np.flatnonzero(mask[i]).astype(np.uint32)
        if fresh.size:
            append_rows_of(bounds.slots[i], views, fresh, exact[i], bounds.radius[i], bounds.limit, fresh.size)


@compile_parallel
def fill(views, slots, first, column_offsets, unit_offsets, entry_by_unit, sample_of_entry, table, lines):
    for unit in numba.prange(unit_offsets.size - 1):
        source, wanted = table[unit], 0
        for position in range(unit_offsets[unit], unit_offsets[unit + 1]):
            sample = sample_of_entry[entry_by_unit[position]]
            wanted += views.row_count[slots[sample]] - first[sample]
        if wanted > lines:
            source = source.copy()
        for position in range(unit_offsets[unit], unit_offsets[unit + 1]):
            entry = entry_by_unit[position]
            sample = sample_of_entry[entry]
            slot = slots[sample]
            begin = views.offset[slot] + (entry - column_offsets[sample]) * views.stride[slot]
            line = views.numbers[begin + first[sample] : begin + views.row_count[slot]]
            listed = views.rows[slot, first[sample] : views.row_count[slot]]
            for j in range(line.size):
                line[j] = source[listed[j]]


@compile_parallel
def apply_transpose(views, slots, offsets, places, column_offsets, column_units, values, out):
    for i in numba.prange(slots.size):
        low, high = column_offsets[i], column_offsets[i + 1]
        first, last = offsets[i], offsets[i + 1]
        mine = column_units[low:high], values[:, low:high], out[:, first:last]
        transpose_sample(views, slots[i], places[first:last], *mine)
