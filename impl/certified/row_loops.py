"""The loops of a compiled pass over rows; views.py tells what they work on.

A sample is taken from its input to its active units while its block and lists are in cache.
"""

from __future__ import annotations

import numba
import numpy as np

from impl.certified.append_loops import covered
from impl.certified.combine_loops import combine_sample
from impl.certified.interface import RENEWAL
from impl.certified.rescreen_loops import rescreened_rows
from impl.certified.rest_loops import certified_rows, set_sample_to_rest
from impl.kernels.factor_loops import project_sample, sums_at

# What became of a sample: it has to be screened first; or it is done.
STOPPED, DONE = 0, 1

# What is counted of a sample; from CHANGES on, over all attempts.
STATUS, ACTIVE, LIVE, PRODUCTS, MOVED, CHANGES, SCREENED, COLUMNS, ROWS, COPIES, REFERENCES, GATHERED, CHANGES_BACK = (
    range(13)
)
COUNTED = 13


@numba.njit(cache=True, nogil=True)
def advance(batch, known, rest, by_unit, change, table, screened, found):
    """One sample: from its input to its active units, unless it has to be screened first."""
    i, slot, units, values, places = batch
    counts, active_units, active = found
    counts[:CHANGES] = 0
    if known.reference_count[slot] == 0:
        return
    if not _located(known.column_place[slot], units, places):
        rest.valid[slot] = False
        came = covered(slot, known, units, places, table)
        if came < 0:
            return
        counts[COLUMNS] += came
    tabulated = change.table.size > 0
    inner, taken = _projected(change, units, values)
    counts[CHANGES] += taken
    exact, all_changes = np.empty(0, values.dtype), np.empty(0, values.dtype)
    if not screened:
        inputs = units, values, places
        live, exact, all_changes = _live_rows(slot, known, rest, by_unit, change, inner, inputs, table, counts)
        if live < 0:
            return
        known.live_count[slot] = live
    live, rows, rescreened = known.live_count[slot], known.rows[slot], exact.size > 0
    products = np.zeros(live, values.dtype)
    _multiply(known.numbers, known.offset[slot], known.stride[slot], values, places, products)
    if tabulated:
        changes = change.table[:, i][rows[:live]]
    else:  # also where those of all units are known: these are summed as ever, and so the same to the last bit
        changes = np.zeros(live, values.dtype)
        counts[CHANGES] += _changes_of(rows[:live], change, inner, changes)
    z, ordered = _selected(rows, products, changes, by_unit.bias, by_unit.threshold)
    count = ordered.size
    for e in range(count):
        active_units[e] = rows[ordered[e]]
        active[e] = z[ordered[e]]
    counts[STATUS], counts[ACTIVE], counts[LIVE], counts[PRODUCTS] = DONE, count, live, live * values.size
    known.excess[slot] += live - count
    due = live == known.row_count[slot] and known.excess[slot] > RENEWAL * live
    if due and (screened or rescreened) and np.isfinite(z).all():
        known.excess[slot] = 0
        _renew(slot, known, values, places, products, ordered, z, by_unit.limit)
        counts[MOVED] = 2 * live * values.size
    if rescreened:
        counts[SCREENED] = 1
        bound = combine_sample(slot, known, values, places, by_unit.terms)  # with the row reference that may have come
        set_sample_to_rest(slot, known, rest, by_unit, values, places, bound, exact, all_changes)


@numba.njit(cache=True, nogil=True)
def _live_rows(slot, known, rest, by_unit, change, inner, inputs, table, counts):
    """How many rows have to be computed, from the first on; −1 where the sample has to be screened first.

    Where it was screened for that, also the bounds at radius 0 and (D h)_r of all units; they are empty where it rests.
    """
    _, values, places = inputs
    nothing = np.empty(0, values.dtype)
    live, taken = certified_rows(slot, known, rest, by_unit, change, inner, values, places)
    counts[CHANGES] += taken
    if live >= 0:
        return live, nothing, nothing
    width, before = by_unit.bias.size, known.row_count[slot]
    exact, changes = np.empty(width, values.dtype), np.empty(width, values.dtype)
    live, taken, references = rescreened_rows(slot, known, by_unit, change, inner, inputs, table, exact, changes)
    counts[CHANGES] += taken
    counts[REFERENCES] += references
    counts[GATHERED] += references * values.size
    counts[ROWS] += known.row_count[slot] - before
    counts[COPIES] += (known.row_count[slot] - before) * known.column_count[slot]
    return live, exact, changes


@numba.njit(cache=True, nogil=True)
def _located(place_of, units, places):
    """Writes the places of inputs among the columns; whether all of them have one."""
    absent = 0
    for e in range(units.size):
        place = place_of[units[e]]
        places[e] = place
        absent += place < 0
    return absent == 0


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _multiply(numbers, begin, stride, values, places, total):
    """total += Σ_e values[e] · block[places[e], : live]."""
    live, e = total.size, 0
    while e + 4 <= values.size:
        a, b = begin + places[e] * stride, begin + places[e + 1] * stride
        c, d = begin + places[e + 2] * stride, begin + places[e + 3] * stride
        p, q, r, s = numbers[a : a + live], numbers[b : b + live], numbers[c : c + live], numbers[d : d + live]
        vp, vq, vr, vs = values[e], values[e + 1], values[e + 2], values[e + 3]
        for j in range(live):
            total[j] += vp * p[j] + vq * q[j] + vr * r[j] + vs * s[j]
        e += 4
    while e < values.size:
        a = begin + places[e] * stride
        p, vp = numbers[a : a + live], values[e]
        for j in range(live):
            total[j] += vp * p[j]
        e += 1


@numba.njit(cache=True, nogil=True)
def _projected(change, units, values):
    """⟨right_{j,t}, h⟩, with t over the length; and how many products it took."""
    lists = change.right_offsets, change.right_listed, change.right_numbers
    inner = np.empty(change.samples * change.length, values.dtype)
    return inner, np.int64(project_sample(*lists, change.length, units, values, inner)) * change.vectors


@numba.njit(cache=True, nogil=True)
def _changes_of(units, change, inner, changes):
    """D h at units; returns how many products it took."""
    lists = change.left_offsets, change.left_listed, change.left_numbers
    return np.int64(sums_at(*lists, change.length, units, inner, changes)) * change.vectors


@numba.njit(cache=True, nogil=True)
def _selected(rows, products, changes, bias, threshold):
    """Preactivations of live rows, and the places of those that are active, by unit."""
    z, chosen, count = np.empty_like(products), np.empty(products.size + 1, np.uint32), 0
    for place in range(products.size):
        z[place] = products[place] - (changes[place] - bias[rows[place]])
        chosen[count] = place
        count += z[place] > threshold
    return z, in_order_of_units(chosen[:count], rows)


@numba.njit(cache=True, nogil=True)
def in_order_of_units(places, units):
    """Brings places into the order of their units: those that are not in it already, few of them, are merged in."""
    ordered, late, kept, delayed = np.empty_like(places), np.empty_like(places), 0, 0
    for e in range(places.size):
        place = places[e]
        if kept == 0 or units[place] > units[ordered[kept - 1]]:
            ordered[kept] = place
            kept += 1
        else:
            late[delayed] = place
            delayed += 1
    if delayed:
        late = late[:delayed]
        late = late[np.argsort(units[late])]
    for e in range(places.size - 1, -1, -1):  # from the last one on, in place
        if delayed and (kept == 0 or units[late[delayed - 1]] > units[ordered[kept - 1]]):
            delayed -= 1
            ordered[e] = late[delayed]
        elif delayed:
            kept -= 1
            ordered[e] = ordered[kept]
    return ordered


@numba.njit(cache=True, nogil=True)
def _renew(slot, known, values, places, products, active, z, limit):
    """Makes a row reference of the present input, and puts rows in a new order: `active` are places, by unit."""
    count = known.row_count[slot]
    known.known_count[slot] = count
    reference = known.references[slot, known.references.shape[1] - 1]
    reference[:] = 0
    for e in range(values.size):
        reference[places[e]] = values[e]
    rows = known.rows[slot, :count]
    reached, old = np.empty(count, z.dtype), np.empty(count, np.uint32)  # old: by place, which it was
    for place in range(count):
        rho = known.norms[slot, rows[place]]
        reached[place] = (limit - z[place]) / rho if rho > 0 else limit - z[place]
    reached[active] = -np.inf
    old[:] = np.argsort(reached)
    old[: active.size] = active
    units = rows.copy()
    for place in range(count):
        unit = units[old[place]]
        rows[place] = unit
        known.row_products[slot, place] = products[old[place]]
        known.row_place[slot, unit] = place
    for column in range(known.column_count[slot]):
        begin = known.offset[slot] + column * known.stride[slot]
        line = known.numbers[begin : begin + count]
        source = line.copy()
        for place in range(count):
            line[place] = source[old[place]]
