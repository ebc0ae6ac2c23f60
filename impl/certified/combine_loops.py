"""The loops that make references of inputs, and combine them to what is nearest to one; bound.py has what for."""

from __future__ import annotations

import numba
import numpy as np

from impl.certified.bound import BESIDE
from impl.certified.views import SampleBound
from impl.kernels.loops import compile_parallel


@compile_parallel
def combine(
    views, slots, offsets, values, places, terms, coefficients, radius, row_coefficients, row_radius, looseness
):
    for i in numba.prange(slots.size):
        low, high = offsets[i], offsets[i + 1]
        found = combine_sample(slots[i], views, values[low:high], places[low:high], terms)
        coefficients[i], row_coefficients[i] = found.coefficients, found.row_coefficients
        radius[i], row_radius[i], looseness[i] = found.radius, found.row_radius, found.looseness


@numba.njit(cache=True, nogil=True)
def combine_sample(slot, views, values, places, terms):
    """Combines the references of one sample to what is nearest to its input."""
    number, limits = values.dtype.type, np.finfo(values.dtype)
    up, tiny, roundoff = np.float64(1 + 4 * limits.eps), np.float64(limits.tiny), np.float64(limits.eps / 2)
    columns = views.column_count[slot]
    sums = (columns + terms + BESIDE) * roundoff
    rounding = sums / (1 - sums) if sums < 1 else np.inf
    known = views.references[slot, :, :columns].astype(np.float64)
    count = known.shape[0]
    inputs = np.zeros(columns)
    for e in range(values.size):
        inputs[places[e]] = values[e]
    gram, right = np.zeros((count, count)), np.zeros(count)
    for q in range(count):
        for p in range(q, -1, -1):
            gram[q, p] = gram[p, q] = _product(known[q], known[p])
            if gram[q, q] == 0:  # there is no such reference
                break
        else:
            right[q] = _product(known[q], inputs)
    norm = np.sqrt(_product(inputs, inputs))
    coefficients, row_coefficients = np.empty(count - 1, values.dtype), np.empty(count, values.dtype)
    references, distance = _least_squares(gram, right, rounding**2, known, inputs, coefficients)
    radius = number((distance + rounding * (norm + references + distance)) * up + tiny)
    references, distance = _least_squares(gram, right, rounding**2, known, inputs, row_coefficients)
    row_radius = number((distance + rounding * (norm + references + distance)) * up + tiny)
    looseness = number(2 * rounding * norm * up + tiny)
    return SampleBound(coefficients, radius, row_coefficients, row_radius, looseness)


@numba.njit(cache=True, nogil=True)
def refer_to(slot, views, units, values, places, table):
    """Makes a reference of the input of a sample, in place of the oldest one: one product with W⁰."""
    turn = views.reference_count[slot] % views.products.shape[1]
    product, reference = views.products[slot, turn], views.references[slot, turn]
    _gather(units, values, table, product)
    reference[:] = 0
    for e in range(values.size):
        reference[places[e]] = values[e]
    views.reference_count[slot] += 1
    views.spent[slot] = 0


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _gather(units, values, table, total):
    """total = Σ_e values[e] · table[units[e]]."""
    total[:] = 0
    e = 0
    while e + 4 <= units.size:
        p, q, r, s = table[units[e]], table[units[e + 1]], table[units[e + 2]], table[units[e + 3]]
        vp, vq, vr, vs = values[e], values[e + 1], values[e + 2], values[e + 3]
        for j in range(total.size):
            total[j] += vp * p[j] + vq * q[j] + vr * r[j] + vs * s[j]
        e += 4
    while e < units.size:
        p, vp = table[units[e]], values[e]
        for j in range(total.size):
            total[j] += vp * p[j]
        e += 1


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _least_squares(gram, right, ridge, known, inputs, coefficients):
    """a ← argmin ‖h − Σ_q a_q h^q‖² + ridge Σ_q a_q²‖h^q‖² over the first references, by elimination, as rounded.

    Those that are zero get zero. Returns Σ_q |a_q|‖h^q‖ and ‖h − Σ_q a_q h^q‖.
    """
    count = coefficients.size
    system, solution = gram[:count, :count].copy(), right[:count].copy()
    for q in range(count):
        system[q, q] *= 1.0 + ridge
    for q in range(count):
        if not system[q, q] > 0.0:  # no reference, or one that others span
            system[q, :] = 0.0
            system[q, q], solution[q] = 1.0, 0.0
        for p in range(q + 1, count):
            factor = system[p, q] / system[q, q]
            solution[p] -= factor * solution[q]
            for s in range(q, count):
                system[p, s] -= factor * system[q, s]
    for q in range(count - 1, -1, -1):
        for s in range(q + 1, count):
            solution[q] -= system[q, s] * solution[s]
        solution[q] /= system[q, q]
    rest = inputs.copy()
    total = 0.0
    for q in range(count):
        coefficients[q] = solution[q]
        rounded = np.float64(coefficients[q])
        total += abs(rounded) * np.sqrt(gram[q, q])
        if rounded != 0:
            for j in range(rest.size):
                rest[j] -= rounded * known[q, j]
    return total, np.sqrt(_product(rest, rest))


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _product(left, right):
    total = 0.0
    for j in range(left.size):
        total += left[j] * right[j]
    return total
