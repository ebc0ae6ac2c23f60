"""The loops by which certificates rest: bound.py has the derivation, and views.py what they work on."""

from __future__ import annotations

import numba
import numpy as np

from impl.certified.bound import BESIDE
from impl.certified.combine_loops import combine_sample
from impl.certified.interface import RENEWAL
from impl.certified.views import SampleBound
from impl.kernels.factor_loops import sum_at
from impl.kernels.loops import compile_parallel

# Screening a sample takes as long as looking at its units one by one, so many times in proportion to them (measured on
# CPUs): when looks have added up to that, it is screened.
LOOKS = 1 / 8

# A bound on the travel to far units is sought until so many units are nearer, or for so many halvings.
NEARLY = 0.9
HALVINGS = 30


@numba.njit(cache=True, nogil=True)
def certified_rows(slot, known, rest, by_unit, change, inner, values, places):
    """How many rows of a sample that rests are not certified, from the first on, and multiply-adds with D that it took.

    −1 where it has to be screened: it never was, it was looked at too often, its rows are due for a new order, or units
    beside the rows are not certified, either.
    """
    count = known.row_count[slot]
    looked_at = rest.looks[slot] > LOOKS * known.norms.shape[1]
    if not rest.valid[slot] or known.reference_count[slot] == 0 or looked_at or known.excess[slot] > RENEWAL * count:
        return -1, 0
    travel, reach = _travel(slot, known, rest, by_unit, values, places)
    grown = (by_unit.largest_drift - rest.since[slot]) * reach
    if not (travel <= rest.far_travel[slot] and grown <= rest.far_change[slot]):
        return -1, 0
    up, tiny = 1 + 4 * np.finfo(values.dtype).eps, np.finfo(values.dtype).tiny
    along, beside = values.dtype.type(travel * up + tiny), values.dtype.type(reach * up + tiny)
    near, rows = rest.near[slot, : rest.near_count[slot]], known.rows[slot, :count]
    margin, slope, drift = rest.near_margin[slot], rest.near_slope[slot], rest.near_drift[slot]
    doubtful = _doubtful(near, margin, slope, drift, by_unit.drift, along, beside)
    margin, slope, drift = rest.row_margin[slot], rest.row_slope[slot], rest.row_drift[slot]
    doubtful_rows = _doubtful(rows, margin, slope, drift, by_unit.drift, along, beside)
    if doubtful.size + doubtful_rows.size == 0:
        return 0, 0
    bound = combine_sample(slot, known, values, places, by_unit.terms)
    last, looks, products = _last_uncertified(slot, near, doubtful, 0, known, by_unit, bound, change, inner)
    if last >= 0:
        return -1, products
    last, more, most = _last_uncertified(
        slot, rows, doubtful_rows, known.known_count[slot], known, by_unit, bound, change, inner
    )
    rest.looks[slot] += looks + more
    return last + 1, products + most


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
def _doubtful(units, margin, slope, drift, drifts, along, beside):
    """Those of the units, in their order, for which what they may have moved exceeds their margin."""
    found, count = np.empty(units.size + 1, np.uint32), 0
    for e in range(units.size):
        moved = slope[e] * along + (drifts[units[e]] - drift[e]) * beside
        found[count] = e
        count += not moved <= margin[e]  # not: what is not a number is in doubt
    return found[:count]


# Below, arrays are taken out of their tuples before a loop: within it, numba would count references to all of them.


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _last_uncertified(slot, units, doubtful, with_products, known, by_unit, bound, change, inner):
    """Which is the last of doubtful units that no bound certifies, or −1; how many were looked at, at what cost.

    The first `with_products` of the units have row products.
    """
    listed, numbers, length = change.left_listed, change.left_numbers, change.length
    offsets = change.left_offsets
    rho, products, row_products = known.norms[slot], known.products[slot], known.row_products[slot]
    magnitudes, bias, limit, multiply_adds = by_unit.magnitudes, by_unit.bias, by_unit.limit, 0
    factors, radius, looseness = bound.coefficients, bound.radius, bound.looseness
    for look in range(doubtful.size):
        place = doubtful[doubtful.size - 1 - look]
        unit = units[place]
        first, last = offsets[unit], offsets[unit + 1]
        changed = sum_at(first, last, listed, numbers, length, inner)
        multiply_adds += (last - first) * change.vectors
        beside = magnitudes[unit] * looseness - (changed - bias[unit])
        if _reached(products, unit, factors) + beside + rho[unit] * radius <= limit:
            continue
        known_product = place < with_products
        if known_product and second_bound(products, row_products[place], unit, beside, rho[unit], bound) <= limit:
            continue
        return np.int64(place), look + 1, multiply_adds
    return -1, doubtful.size, multiply_adds


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _reached(products, unit, factors):
    """Σ_q a_q (W⁰h^q)_r."""
    total = products.dtype.type(0)
    for q in range(factors.size):
        if factors[q] != 0:
            total += factors[q] * products[q, unit]
    return total


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def second_bound(products, row_product, unit, beside, rho, bound):
    """That of a row, which has a product with the row reference."""
    factors = bound.row_coefficients
    others, own = factors[: factors.size - 1], factors[factors.size - 1]
    return _reached(products, unit, others) + beside + own * row_product + rho * bound.row_radius


@compile_parallel
def set_to_rest(known, rest, batch, by_unit, combination, exact, changes):
    for i in numba.prange(batch.slots.size):
        bound = SampleBound(
            combination.coefficients[i],
            combination.radius[i],
            combination.row_coefficients[i],
            combination.row_radius[i],
            combination.looseness[i],
        )
        low, high = batch.offsets[i], batch.offsets[i + 1]
        inputs = batch.values[low:high], batch.places[low:high]
        set_sample_to_rest(batch.slots[i], known, rest, by_unit, *inputs, bound, exact[i], changes[:, i])


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def set_sample_to_rest(slot, known, rest, by_unit, values, places, bound, exact, changes):
    """Writes down by how much the units of a sample that has just been screened are certified."""
    origin = rest.inputs[slot]
    origin[: known.column_count[slot]] = 0
    for e in range(values.size):
        origin[places[e]] = values[e]
    rest.valid[slot], rest.since[slot], rest.looks[slot] = True, by_unit.largest_drift, 0
    rho, place, limit = known.norms[slot], known.row_place[slot], by_unit.limit
    margin, slope = np.empty_like(exact), np.empty_like(exact)
    total = 0.0
    for unit in range(exact.size):
        margin[unit] = limit - (exact[unit] + rho[unit] * bound.radius)
        slope[unit] = rho[unit] + by_unit.magnitudes[unit]
        total += slope[unit]
    products, row_products, with_products = known.products[slot], known.row_products[slot], known.known_count[slot]
    rows, margins, slopes, drifts = known.rows[slot], rest.row_margin[slot], rest.row_slope[slot], rest.row_drift[slot]
    magnitudes, bias, drift = by_unit.magnitudes, by_unit.bias, by_unit.drift
    for row in range(known.row_count[slot]):
        unit = rows[row]
        slopes[row], drifts[row], margins[row] = slope[unit], drift[unit], margin[unit]
        if row < with_products:
            beside = magnitudes[unit] * bound.looseness - (changes[unit] - bias[unit])
            second = limit - second_bound(products, row_products[row], unit, beside, rho[unit], bound)
            margins[row] = max(margins[row], second)
    weight = exact.dtype.type(total / exact.size)
    _separate(slot, rest, place, margin, slope, weight, drift)


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
def add_drift(rights, before, after, sums, rounded):
    """sums[r] += Σ_j |left_{j,r} − old_{j,r}| ‖right_j‖, rounded up, as are `rounded`; returns the largest addend.

    `rights` are offsets and values, `before` and `after` left factors: offsets, units and values.
    """
    right_offsets, right_values = rights
    old_offsets, _, _ = before
    offsets, units, values = after
    step, eps = np.zeros(sums.size), np.finfo(np.float64).eps
    for term in range(offsets.size - 1):
        first, end = right_offsets[term], right_offsets[term + 1]
        square = (end - first) * np.finfo(np.float64).tiny  # for what squares lose by underflow
        for entry in range(first, end):
            square += np.float64(right_values[entry]) ** 2
        size = np.sqrt(square)
        if old_offsets[term] < old_offsets[term + 1]:
            _add_difference(term, before, after, size, step)
        else:
            for entry in range(offsets[term], offsets[term + 1]):
                step[units[entry]] += abs(np.float64(values[entry])) * size
    largest, up = 0.0, 1 + (right_values.size + offsets.size + 4) * eps
    real, rounding = rounded.dtype.type, np.finfo(rounded.dtype)
    for unit in range(step.size):
        moved = step[unit] * up
        sums[unit] = (sums[unit] + moved) * (1 + 2 * eps) if moved != 0 else sums[unit]
        least = np.float64(rounding.tiny) if sums[unit] > 0 else 0.0
        rounded[unit] = real(sums[unit] * (1 + 4 * np.float64(rounding.eps)) + least)
        if not moved <= largest:  # not: what is not a number is no small drift
            largest = moved
    return largest


@numba.njit(cache=True, nogil=True)
def _add_difference(term, before, after, size, step):
    """step[r] += |left_r − old_r| · size, for one term that was there before."""
    old_offsets, old_units, old_values = before
    offsets, units, values = after
    old, last = old_offsets[term], old_offsets[term + 1]
    for entry in range(offsets[term], offsets[term + 1]):
        was = 0.0
        while old < last and old_units[old] <= units[entry]:
            if old_units[old] == units[entry]:
                was = np.float64(old_values[old])
            else:
                step[old_units[old]] += abs(np.float64(old_values[old])) * size
            old += 1
        step[units[entry]] += abs(np.float64(values[entry]) - was) * size
    for gone in range(old, last):
        step[old_units[gone]] += abs(np.float64(old_values[gone])) * size
