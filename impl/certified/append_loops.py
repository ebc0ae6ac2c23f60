"""The loops that make columns and rows of inputs and units that are none; views.py tells what they work on.

They work on one sample, and so both within its pass and for many samples at a time. `covered` and `widened` see to it
that there is room; for the others there must be.
"""

from __future__ import annotations

import numba
import numpy as np

from impl.certified.anchors import COPYING, STRETCH


@numba.njit(cache=True, nogil=True)
def covered(slot, known, units, places, table):
    """Makes columns of the inputs of a sample that have no place, if there is room, and writes their places.

    Returns how many came, or −1 where there is no room.
    """
    place_of, absent = known.column_place[slot], 0
    for e in range(units.size):
        absent += place_of[units[e]] < 0
    count = known.column_count[slot] + absent
    if absent and (count > known.columns.shape[1] or count > known.lines[slot]):
        return -1
    for e in range(units.size):
        if place_of[units[e]] < 0:
            places[e] = append_column(slot, known, units[e], table[units[e]])
    return absent


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def append_column(slot, known, unit, source):
    """Makes a column of an input, ρ grows with it; `source` is its row of the table. Returns its place."""
    place = known.column_count[slot]
    known.column_count[slot] = place + 1
    known.column_place[slot, unit] = place
    known.columns[slot, place] = unit
    norm, real = known.norms[slot], known.norms.dtype.type
    up, tiny = real(1 + 8 * np.finfo(norm.dtype).eps), np.finfo(norm.dtype).tiny
    for j in range(norm.size):
        norm[j] = np.sqrt((norm[j] * norm[j] + source[j] * source[j]) * up + tiny) * up
    begin, count = known.offset[slot] + place * known.stride[slot], known.row_count[slot]
    line, listed = known.numbers[begin : begin + count], known.rows[slot, :count]
    for j in range(line.size):
        line[j] = source[listed[j]]
    return place


@numba.njit(cache=True, nogil=True)
def widened(slot, known, exact, radius, limit, table):
    """Makes rows of what is not certified within a radius, with some to spare, and fills their part of the block.

    Returns how many came, or −1 where there is no room, or where a reference would by now be cheaper.
    """
    first, columns = known.row_count[slot], known.column_count[slot]
    affordable = (columns * exact.size - known.spent[slot]) // (COPYING * max(1, columns))
    room = min(known.rows.shape[1], known.stride[slot]) - first
    fresh = _beside_rows(exact, known.norms[slot], known.row_place[slot], radius * STRETCH, limit)
    came = append_rows_of(slot, known, fresh, exact, radius, limit, min(room, affordable))
    if came > 0:
        known.spent[slot] += COPYING * came * columns
        listed = known.rows[slot, first : first + came]
        for column in range(columns):
            begin = known.offset[slot] + column * known.stride[slot] + first
            line, source = known.numbers[begin : begin + came], table[known.columns[slot, column]]
            for e in range(came):
                line[e] = source[listed[e]]
    return came


@numba.njit(cache=True, nogil=True)
def append_rows_of(slot, known, fresh, exact, radius, limit, most):
    """Makes rows of units: first those that are not certified within the radius, then by how soon they may be active.

    Those of the first kind are live from now on, with all that were rows before. Returns how many came: `most` at most,
    and −1, with nothing done, where those of the first kind are more.
    """
    rho, place, rows, first = known.norms[slot], known.row_place[slot], known.rows[slot], known.row_count[slot]
    reached, ranking, near = np.empty(fresh.size, exact.dtype), np.empty(fresh.size, np.int64), 0
    for e in range(fresh.size):
        j = fresh[e]
        reached[e] = (limit - exact[j]) / rho[j] if rho[j] > 0 else limit - exact[j]
        if not exact[j] + rho[j] * radius <= limit:
            reached[e] = -np.inf
            ranking[near] = e
            near += 1
    if near > most:
        return -1
    ranking[near:] = np.argsort(reached)[near:]
    came = min(fresh.size, most)
    for e in range(came):
        j = fresh[ranking[e]]
        rows[first + e] = j
        place[j] = first + e
    if near:
        known.live_count[slot] = first + near
    known.row_count[slot] = first + came
    return came


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _beside_rows(exact, rho, place, radius, limit):
    """Units that are no rows, and not certified within a radius."""
    found, count = np.empty(exact.size + 1, np.uint32), 0
    for unit in range(exact.size):  # not: what is not a number is not certified
        found[count] = unit
        count += (not exact[unit] + rho[unit] * radius <= limit) & (place[unit] < 0)
    return found[:count]
