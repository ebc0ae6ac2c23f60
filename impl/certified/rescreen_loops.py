"""The loops that screen one sample anew, within its pass: bound.py has the derivation, and views.py what they work on.

Most samples that stop resting need few rows or none: they are screened where they are, while their lists are in cache.
"""

from __future__ import annotations

import numba

from impl.certified.append_loops import widened
from impl.certified.combine_loops import combine_sample, refer_to
from impl.certified.interface import RENEWAL
from impl.certified.rest_loops import second_bound
from impl.kernels.factor_loops import sums_everywhere


@numba.njit(cache=True, nogil=True)
def rescreened_rows(slot, known, by_unit, change, inner, inputs, table, exact, changes):
    """How many rows of a sample are not certified, from the first on, or all where they are due for a new order.

    Units beside the rows that are not certified become rows. Where a reference would be cheaper by now, or there is no
    room, the input becomes one: making room would keep all other samples waiting. −1 where that is not enough.
    Writes the bounds at radius 0 and (D h)_r of all units.
    Also returns how many multiply-adds with D it took, and how many references came: 0 or 1.
    """
    units, values, places = inputs
    rho, place, limit, references = known.norms[slot], known.row_place[slot], by_unit.limit, 0
    vectors = change.left_counts, change.left_units, change.left_numbers
    products = sums_everywhere(*vectors, change.length, inner, changes) * change.vectors
    bound = combine_sample(slot, known, values, places, by_unit.terms)
    products += _exact(slot, known, by_unit, bound, changes, exact)
    while _doubtful_beside_rows(exact, rho, place, bound.radius, limit):
        if widened(slot, known, exact, bound.radius, limit, table) >= 0:
            break
        if references:
            return -1, products, references
        refer_to(slot, known, units, values, places, table)
        references = 1
        bound = combine_sample(slot, known, values, places, by_unit.terms)
        products += _exact(slot, known, by_unit, bound, changes, exact)
    count = known.row_count[slot]
    if known.excess[slot] > RENEWAL * count:
        return count, products, references
    rows, with_products = known.rows[slot], known.known_count[slot]
    known_products, row_products, radius = known.products[slot], known.row_products[slot], bound.radius
    for row in range(count - 1, -1, -1):
        unit = rows[row]
        if exact[unit] + rho[unit] * radius <= limit:
            continue
        if row < with_products:
            beside = by_unit.magnitudes[unit] * bound.looseness - (changes[unit] - by_unit.bias[unit])
            if second_bound(known_products, row_products[row], unit, beside, rho[unit], bound) <= limit:
                continue
        return row + 1, products, references
    return 0, products, references


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _exact(slot, known, by_unit, bound, changes, exact):
    """The bounds at radius 0; returns how many multiply-adds it took."""
    magnitudes, bias, looseness = by_unit.magnitudes, by_unit.bias, bound.looseness
    for unit in range(exact.size):
        exact[unit] = magnitudes[unit] * looseness - (changes[unit] - bias[unit])
    used = 2  # ρ and A
    for q in range(bound.coefficients.size):
        coefficient, product = bound.coefficients[q], known.products[slot, q]
        if coefficient != 0:
            used += 1
            for unit in range(exact.size):
                exact[unit] += coefficient * product[unit]
    return used * exact.size


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _doubtful_beside_rows(exact, rho, place, radius, limit):
    """Whether there are units beside the rows that are not certified."""
    doubtful = 0
    for unit in range(exact.size):  # not: what is not a number is not certified
        doubtful += (not exact[unit] + rho[unit] * radius <= limit) & (place[unit] < 0)
    return doubtful > 0
