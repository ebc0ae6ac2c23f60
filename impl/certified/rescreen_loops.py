"""The loops that screen one sample anew, within its pass: bound.py has the derivation, and views.py what they work on.

Most samples that stop resting need few rows or none: they are screened where they are, while their lists are in cache.
"""

from __future__ import annotations

import numba

from impl.certified.append_loops import widened
from impl.certified.combine_loops import combine_sample
from impl.certified.interface import RENEWAL
from impl.certified.rest_loops import second_bound
from impl.kernels.factor_loops import sum_at


@numba.njit(cache=True, nogil=True)
def rescreened_rows(slot, known, by_unit, change, inner, values, places, table, exact, changes):
    """How many rows of a sample are not certified, from the first on, or all where they are due for a new order.

    Units beside the rows that are not certified become rows; −1 where there is no room for them, or where a reference
    would be cheaper. Writes the bounds at radius 0 and (D h)_r of all units.
    Also returns how many multiply-adds it took.
    """
    bound = combine_sample(slot, known, values, places, by_unit.terms)
    products = _exact(slot, known, by_unit, change, inner, bound, exact, changes)
    rho, place, radius, limit = known.norms[slot], known.row_place[slot], bound.radius, by_unit.limit
    doubtful = _doubtful_beside_rows(exact, rho, place, radius, limit)
    if doubtful and widened(slot, known, exact, radius, limit, table) < 0:
        return -1, products
    count = known.row_count[slot]
    if known.excess[slot] > RENEWAL * count:
        return count, products
    rows, with_products = known.rows[slot], known.known_count[slot]
    references, row_products = known.products[slot], known.row_products[slot]
    for row in range(count - 1, -1, -1):
        unit = rows[row]
        if exact[unit] + rho[unit] * radius <= limit:
            continue
        if row < with_products:
            beside = by_unit.magnitudes[unit] * bound.looseness - (changes[unit] - by_unit.bias[unit])
            if second_bound(references, row_products[row], unit, beside, rho[unit], bound) <= limit:
                continue
        return row + 1, products
    return 0, products


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _exact(slot, known, by_unit, change, inner, bound, exact, changes):
    """The bounds at radius 0; returns how many multiply-adds it took."""
    listed, numbers, length = change.left_listed, change.left_numbers, change.length
    offsets = change.left_offsets
    magnitudes, bias, looseness = by_unit.magnitudes, by_unit.bias, bound.looseness
    for unit in range(exact.size):
        first, last = offsets[unit], offsets[unit + 1]
        changes[unit] = sum_at(first, last, listed, numbers, length, inner)
    for unit in range(exact.size):
        exact[unit] = magnitudes[unit] * looseness - (changes[unit] - bias[unit])
    used = 2  # ρ and A
    for q in range(bound.coefficients.size):
        coefficient, product = bound.coefficients[q], known.products[slot, q]
        if coefficient != 0:
            used += 1
            for unit in range(exact.size):
                exact[unit] += coefficient * product[unit]
    return offsets[exact.size] * change.vectors + used * exact.size


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _doubtful_beside_rows(exact, rho, place, radius, limit):
    """Whether there are units beside the rows that are not certified."""
    doubtful = 0
    for unit in range(exact.size):  # not: what is not a number is not certified
        doubtful += (not exact[unit] + rho[unit] * radius <= limit) & (place[unit] < 0)
    return doubtful > 0
