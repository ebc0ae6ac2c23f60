"""The loops of a backward pass through one layer, for one sample; views.py tells what they work on."""

from __future__ import annotations

import numba
import numpy as np

from impl.kernels.factor_loops import project_sample, sums_at


@numba.njit(cache=True, nogil=True)
def transpose_sample(known, slot, places, column_units, values, out):
    """out[o] = (W⁰)ᵀ g_o at the inputs with these places, for g_o on active units, all of them rows."""
    row_place, above, rows = known.row_place[slot], np.empty(column_units.size, np.uint32), 0
    for e in range(column_units.size):
        place = row_place[column_units[e]]
        above[e] = place
        rows = max(rows, place + 1)
    block = known.numbers[known.offset[slot] :]
    if values.itemsize < 8:
        given = np.zeros((values.shape[0], rows))
        for output in range(values.shape[0]):
            for e in range(above.size):
                given[output, above[e]] = values[output, e]
        _dots(block, known.stride[slot], places, given, out)
    else:
        _dots_by_unit(block, known.stride[slot], places, above, values, out)


@numba.njit(cache=True, nogil=True)
def transpose_change(change, column_units, values, units, out):
    """out[o] −= Dᵀ g_o at the inputs `units`, for g_o on active units; returns how many products it took."""
    if change.vectors == 0:
        return 0
    lefts = change.left_offsets, change.left_listed, change.left_numbers
    rights = change.right_offsets, change.right_listed, change.right_numbers
    inner, entries = np.empty(change.samples * change.length, out.dtype), np.uint64(0)
    sums = np.empty(units.size, out.dtype)
    for output in range(out.shape[0]):
        entries += project_sample(*lefts, change.length, column_units, values[output], inner)
        entries += sums_at(*rights, change.length, units, inner, sums)
        for e in range(units.size):
            out[output, e] -= sums[e]
    return np.int64(entries) * change.vectors


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _dots(block, stride, places, given, out):
    """Lines times vectors over the rows as they come, zero where rows are not active: nothing scattered is read.

    Sums are in float64, so that the order of rows, which has a history, makes no difference to a float32.
    """
    rows = given.shape[1]
    for e in range(0, places.size, 4):
        count = min(4, places.size - e)
        p = _line(block, stride, places[e], rows)
        q = _line(block, stride, places[e + min(1, count - 1)], rows)  # past the last one, some that came before
        r = _line(block, stride, places[e + min(2, count - 1)], rows)
        s = _line(block, stride, places[e + count - 1], rows)
        for output in range(given.shape[0]):
            vector, sum_p, sum_q, sum_r, sum_s = given[output], 0.0, 0.0, 0.0, 0.0
            for j in range(rows):
                factor = vector[j]
                sum_p += np.float64(p[j]) * factor
                sum_q += np.float64(q[j]) * factor
                sum_r += np.float64(r[j]) * factor
                sum_s += np.float64(s[j]) * factor
            sums = sum_p, sum_q, sum_r, sum_s
            for j in range(count):
                out[output, e + j] = sums[j]


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _dots_by_unit(block, stride, places, above, values, out):
    """The same in float64, where sums have to be in the order of units to be the same whatever that of rows."""
    picked = np.empty(above.size, values.dtype)
    for e in range(places.size):
        line = block[places[e] * stride :]
        for j in range(above.size):
            picked[j] = line[above[j]]
        for output in range(values.shape[0]):
            vector, total = values[output], 0.0
            for j in range(above.size):
                total += picked[j] * vector[j]
            out[output, e] = total


@numba.njit(cache=True, nogil=True)
def _line(block, stride, place, rows):
    begin = place * stride
    return block[begin : begin + rows]
