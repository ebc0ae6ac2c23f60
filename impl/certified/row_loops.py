"""The loops of a compiled pass over rows; `known` are arrays of AnchorArrays, and `rest` those of RestArrays.

Each sample is taken from its input to its active units by one thread, while its block and lists are in cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from impl.certified.bound import BESIDE
from impl.certified.interface import RENEWAL
from impl.kernels.loops import compile_parallel

# What became of a sample: it has to be screened first; or it is done.
STOPPED, DONE = 0, 1

# What is counted of a sample.
STATUS, ACTIVE, LIVE, PRODUCTS, MOVED, CHANGES = range(6)
COUNTED = 6

# A bound on the travel to far units is sought until so many units are nearer, or for so many halvings.
NEARLY = 0.9
HALVINGS = 30


class KnownViews(NamedTuple):
    """The arrays of AnchorArrays that these loops use, as numpy has them; units that are listed are unsigned."""

    products: np.ndarray
    norms: np.ndarray
    row_products: np.ndarray
    references: np.ndarray
    row_place: np.ndarray
    rows: np.ndarray
    row_count: np.ndarray
    column_count: np.ndarray
    live_count: np.ndarray
    known_count: np.ndarray
    excess: np.ndarray
    numbers: np.ndarray
    offset: np.ndarray
    stride: np.ndarray


class RestViews(NamedTuple):
    """The arrays of RestArrays as numpy has them."""

    inputs: np.ndarray
    row_margin: np.ndarray
    row_slope: np.ndarray
    row_drift: np.ndarray
    near: np.ndarray
    near_count: np.ndarray
    near_margin: np.ndarray
    near_slope: np.ndarray
    near_drift: np.ndarray
    far_travel: np.ndarray
    far_change: np.ndarray
    since: np.ndarray
    looks: np.ndarray


class InputViews(NamedTuple):
    """A batch: its samples' slots, its inputs with their places among the columns, and the bounds' Combination."""

    slots: np.ndarray
    offsets: np.ndarray
    units: np.ndarray
    values: np.ndarray
    places: np.ndarray
    coefficients: np.ndarray
    radius: np.ndarray
    row_coefficients: np.ndarray
    row_radius: np.ndarray
    looseness: np.ndarray


class UnitViews(NamedTuple):
    """What is known by unit: β, A, the drift of D and its largest total."""

    bias: np.ndarray
    magnitudes: np.ndarray
    drift: np.ndarray
    largest_drift: float
    terms: int
    limit: np.floating
    threshold: np.floating


class ChangeViews(NamedTuple):
    """D, as one panel whose entries are listed by unit; or, where `table` is not empty, D h as a table by unit."""

    right_offsets: np.ndarray
    right_samples: np.ndarray
    right_places: np.ndarray
    right_numbers: np.ndarray
    left_offsets: np.ndarray
    left_samples: np.ndarray
    left_places: np.ndarray
    left_numbers: np.ndarray
    vectors: int
    table: np.ndarray


@compile_parallel
def advance(known, rest, batch, by_unit, change, screened, todo, counts, active_units, active):
    for i in numba.prange(batch.slots.size):
        if todo[i]:
            _advance(i, known, rest, batch, by_unit, change, screened[i], counts[i], active_units[i], active[i])


@numba.njit(cache=True, nogil=True)
def _advance(i, known, rest, batch, by_unit, change, screened, counts, active_units, active):
    """Sample i: from its input to its active units, unless it has to be screened first."""
    slot = batch.slots[i]
    low, high = batch.offsets[i], batch.offsets[i + 1]
    units, values, places = batch.units[low:high], batch.values[low:high], batch.places[low:high]
    counts[:] = 0
    tabulated = change.table.size > 0
    inner = np.zeros((0 if tabulated else change.right_numbers.shape[0], change.vectors), values.dtype)
    if not tabulated:
        counts[CHANGES] += _project(change, units, values, inner)
    if not screened:
        live = _rests(i, slot, known, rest, batch, by_unit, change, inner, values, places, counts)
        if live < 0:
            counts[STATUS] = STOPPED
            return
        known.live_count[slot] = live
    live, rows = known.live_count[slot], known.rows[slot]
    products = np.zeros(live, values.dtype)
    _multiply(known.numbers, known.offset[slot], known.stride[slot], values, places, products)
    z, chosen, count = np.empty(live, values.dtype), np.empty(live + 1, np.uint32), 0
    for place in range(live):
        unit = rows[place]
        if tabulated:
            changed = change.table[unit, i]
        else:
            changed = _change_of(unit, change, inner)
            counts[CHANGES] += (change.left_offsets[unit + 1] - change.left_offsets[unit]) * change.vectors
        z[place] = products[place] - (changed - by_unit.bias[unit])
        chosen[count] = place
        count += z[place] > by_unit.threshold
    ordered = in_order_of_units(chosen[:count], rows)
    for e in range(count):
        active_units[e] = rows[ordered[e]]
        active[e] = z[ordered[e]]
    counts[STATUS], counts[ACTIVE], counts[LIVE], counts[PRODUCTS] = DONE, count, live, live * values.size
    known.excess[slot] += live - count
    due = live == known.row_count[slot] and known.excess[slot] > RENEWAL * live
    if due and screened and np.isfinite(z).all():
        known.excess[slot] = 0
        _renew(slot, known, values, places, products, ordered, z, by_unit.limit)
        counts[MOVED] = 2 * live * values.size


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


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _project(change, units, values, inner):
    """inner[j, t] = ⟨right_{j,t}, h⟩; returns how many products it took."""
    offsets, samples, places, numbers = (
        change.right_offsets,
        change.right_samples,
        change.right_places,
        change.right_numbers,
    )
    products = 0
    for e in range(units.size):
        value, first, last = values[e], offsets[units[e]], offsets[units[e] + 1]
        for at in range(first, last):
            total, vector = inner[samples[at]], numbers[samples[at], places[at]]
            for t in range(total.size):
                total[t] += value * vector[t]
        products += (last - first) * change.vectors
    return products


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _change_of(unit, change, inner):
    """(D h)_r, r the unit."""
    samples, places, numbers = change.left_samples, change.left_places, change.left_numbers
    total = numbers.dtype.type(0)
    for at in range(change.left_offsets[unit], change.left_offsets[unit + 1]):
        factor, vector = inner[samples[at]], numbers[samples[at], places[at]]
        for t in range(factor.size):
            total += factor[t] * vector[t]
    return total


@numba.njit(cache=True, nogil=True)
def _rests(i, slot, known, rest, batch, by_unit, change, inner, values, places, counts):
    """How many of the rows, from the first on, are not certified; or −1 where others may not be, either."""
    travel, reach = _travel(slot, known, rest, by_unit, values, places)
    grown = (by_unit.largest_drift - rest.since[slot]) * reach
    if not (travel <= rest.far_travel[slot] and grown <= rest.far_change[slot]):
        return -1
    up, tiny = 1 + 4 * np.finfo(values.dtype).eps, np.finfo(values.dtype).tiny
    along, beside = values.dtype.type(travel * up + tiny), values.dtype.type(reach * up + tiny)
    near, rows = rest.near[slot, : rest.near_count[slot]], known.rows[slot, : known.row_count[slot]]
    doubts = np.empty(max(near.size, rows.size), np.uint8)
    _doubts(near, rest.near_margin[slot], rest.near_slope[slot], rest.near_drift[slot], by_unit, along, beside, doubts)
    for e in range(near.size):
        rest.looks[slot] += doubts[e]
        if doubts[e] and not _certified(i, slot, near[e], -1, known, batch, by_unit, change, inner, counts):
            return -1
    _doubts(rows, rest.row_margin[slot], rest.row_slope[slot], rest.row_drift[slot], by_unit, along, beside, doubts)
    for place in range(rows.size - 1, -1, -1):
        rest.looks[slot] += doubts[place]
        if doubts[place] and not _certified(i, slot, rows[place], place, known, batch, by_unit, change, inner, counts):
            return place + 1
    return 0


@numba.njit(cache=True, nogil=True)
def _travel(slot, known, rest, by_unit, values, places):
    """‖h − h⁰‖ and ‖h‖, each with what rounding may add: see bound.py."""
    columns, roundoff = known.column_count[slot], np.float64(np.finfo(values.dtype).eps / 2)
    moved = np.zeros(columns)
    for e in range(values.size):
        moved[places[e]] = values[e]
    norm, distance, origin = 0.0, 0.0, rest.inputs[slot]
    for column in range(columns):
        norm += moved[column] ** 2
        distance += (moved[column] - origin[column]) ** 2
    norm, sums = np.sqrt(norm), (columns + by_unit.terms + BESIDE) * roundoff
    rounding = sums / (1 - sums) if sums < 1 else np.inf
    up = 1 + 16 * roundoff
    return (np.sqrt(distance) + (rounding + 16 * roundoff) * norm) * up, norm * (1 + rounding) * up


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _doubts(units, margin, slope, drift, by_unit, along, beside, doubts):
    """Marks units for which what they may have moved since they were screened exceeds their margin."""
    drifts = by_unit.drift
    for e in range(units.size):  # not: what is not a number is in doubt
        moved = slope[e] * along + (drifts[units[e]] - drift[e]) * beside
        doubts[e] = not moved <= margin[e]


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _certified(i, slot, unit, place, known, batch, by_unit, change, inner, counts):
    """Whether one of the bounds certifies a unit, which has a place among the rows or −1."""
    counts[CHANGES] += (change.left_offsets[unit + 1] - change.left_offsets[unit]) * change.vectors
    rho, products = known.norms[slot, unit], known.products[slot]
    beside = by_unit.magnitudes[unit] * batch.looseness[i] - (_change_of(unit, change, inner) - by_unit.bias[unit])
    total, factors = beside, batch.coefficients[i]
    for q in range(factors.size):
        if factors[q] != 0:
            total += factors[q] * products[q, unit]
    if total + rho * batch.radius[i] <= by_unit.limit:
        return True
    if place < 0 or place >= known.known_count[slot]:
        return False
    return _row_bound(i, slot, unit, place, known, batch, beside) <= by_unit.limit


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _row_bound(i, slot, unit, place, known, batch, beside):
    """The bound with the row reference in it."""
    factors, products = batch.row_coefficients[i], known.products[slot]
    total = beside + factors[factors.size - 1] * known.row_products[slot, place]
    for q in range(factors.size - 1):
        if factors[q] != 0:
            total += factors[q] * products[q, unit]
    return total + known.norms[slot, unit] * batch.row_radius[i]


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


@compile_parallel
def compact(padded_units, padded, offsets, samples, units, values):
    for i in numba.prange(offsets.size - 1):
        for e in range(offsets[i + 1] - offsets[i]):
            entry = offsets[i] + e
            samples[entry], units[entry], values[entry] = i, padded_units[i, e], padded[i, e]


@compile_parallel
def set_to_rest(known, rest, batch, by_unit, exact, changes):
    for i in numba.prange(batch.slots.size):
        _set_to_rest(i, known, rest, batch, by_unit, exact[i], changes[:, i])


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _set_to_rest(i, known, rest, batch, by_unit, exact, changes):
    """Writes down by how much the units of sample i, which has just been screened, are certified."""
    slot = batch.slots[i]
    low, high = batch.offsets[i], batch.offsets[i + 1]
    rest.inputs[slot, : known.column_count[slot]] = 0
    for entry in range(low, high):
        rest.inputs[slot, batch.places[entry]] = batch.values[entry]
    rest.since[slot], rest.looks[slot] = by_unit.largest_drift, 0
    rho, place, radius, limit = known.norms[slot], known.row_place[slot], batch.radius[i], by_unit.limit
    margin, slope = np.empty_like(exact), np.empty_like(exact)
    total = 0.0
    for unit in range(exact.size):
        margin[unit] = limit - (exact[unit] + rho[unit] * radius)
        slope[unit] = rho[unit] + by_unit.magnitudes[unit]
        total += slope[unit]
    for row in range(known.row_count[slot]):
        unit = known.rows[slot, row]
        rest.row_slope[slot, row], rest.row_drift[slot, row] = slope[unit], by_unit.drift[unit]
        best = margin[unit]
        if row < known.known_count[slot]:
            beside = by_unit.magnitudes[unit] * batch.looseness[i] - (changes[unit] - by_unit.bias[unit])
            best = max(best, limit - _row_bound(i, slot, unit, row, known, batch, beside))
        rest.row_margin[slot, row] = best
    weight = exact.dtype.type(total / exact.size)
    _separate(slot, rest, place, margin, slope, weight, by_unit.drift)


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _separate(slot, rest, place, margin, slope, weight, drift):
    """Lists units that are no rows and have little margin for their slope; for the others one bound serves all."""
    key, highest = np.empty_like(margin), margin.dtype.type(0)
    smallest = np.finfo(margin.dtype).tiny
    for unit in range(key.size):
        divisor = slope[unit] + weight
        key[unit] = margin[unit] / (divisor if divisor > smallest else smallest)
        if place[unit] >= 0:
            key[unit] = np.inf
        elif key[unit] < np.inf:
            highest = max(highest, key[unit])
    room = rest.near.shape[1]
    low, high = margin.dtype.type(0), highest
    for _ in range(HALVINGS):
        middle, nearer = (low + high) / 2, 0
        for unit in range(key.size):
            nearer += key[unit] < middle
        if nearer > room:
            high = middle
        else:
            low = middle
            if nearer >= NEARLY * room:
                break
    count = 0
    for unit in range(key.size):
        if key[unit] < low:
            rest.near[slot, count] = unit
            rest.near_margin[slot, count], rest.near_slope[slot, count] = margin[unit], slope[unit]
            rest.near_drift[slot, count] = drift[unit]
            count += 1
    rest.near_count[slot] = count
    down = 1 - 8 * np.float64(np.finfo(margin.dtype).eps)
    rest.far_travel[slot] = np.float64(low) * down
    rest.far_change[slot] = np.float64(low) * np.float64(weight) * down


@numba.njit(cache=True, nogil=True)
def add_drift(right_offsets, right_values, old_offsets, old_units, old_values, offsets, units, values, step, sums):
    """sums[r] += Σ_j |left_{j,r} − old_{j,r}| ‖right_j‖, rounded up; returns the largest addend."""
    step[:] = 0
    for term in range(offsets.size - 1):
        first, end = right_offsets[term], right_offsets[term + 1]
        square = (end - first) * np.finfo(np.float64).tiny  # for what squares lose by underflow
        for entry in range(first, end):
            square += np.float64(right_values[entry]) ** 2
        size, old, last = np.sqrt(square), old_offsets[term], old_offsets[term + 1]
        for entry in range(offsets[term], offsets[term + 1]):
            before = 0.0
            while old < last and old_units[old] <= units[entry]:
                if old_units[old] == units[entry]:
                    before = np.float64(old_values[old])
                else:
                    step[old_units[old]] += abs(np.float64(old_values[old])) * size
                old += 1
            step[units[entry]] += abs(np.float64(values[entry]) - before) * size
        for gone in range(old, last):
            step[old_units[gone]] += abs(np.float64(old_values[gone])) * size
    largest, up = 0.0, 1 + (right_values.size + offsets.size + 4) * np.finfo(np.float64).eps
    for unit in range(step.size):
        if step[unit] != 0:
            moved = step[unit] * up
            sums[unit] = np.nextafter(sums[unit] + moved, np.inf)
            if not moved <= largest:  # not: what is not a number is no small drift
                largest = moved
    return largest
