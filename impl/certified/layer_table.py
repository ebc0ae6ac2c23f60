"""One layer of a course as compiled loops find it: the arrays in a table by address, and the numbers beside them.

The order is that of the fields in views.py: the arrays of Views, RestViews, UnitViews, ChangeViews, W⁰, FoundViews.
"""

from __future__ import annotations

import numba
import numpy as np

from impl.certified.addresses import matrix, tensor, vector
from impl.certified.views import ChangeViews, FoundViews, RestViews, UnitViews, Views

KNOWN = 0
REST = KNOWN + len(Views._fields)
BY_UNIT = REST + len(RestViews._fields)
BIAS, MAGNITUDES, DRIFT = range(BY_UNIT, BY_UNIT + 3)
CHANGE = DRIFT + 1
RIGHT, LEFT, LEFT_COUNTS, LEFT_UNITS, CHANGE_TABLE = CHANGE, CHANGE + 3, CHANGE + 6, CHANGE + 7, CHANGE + 8
WEIGHTS = CHANGE_TABLE + 1
FOUND = WEIGHTS + 1
PLACES = FOUND + len(FoundViews._fields)

# The numbers.
LARGEST_DRIFT, TERMS, LIMIT, THRESHOLD, SAMPLES, VECTORS, LENGTH, SHIFT, SCALE = range(9)
NUMBERS = 9


@numba.njit(cache=True, nogil=True)
def known_at(table, like):
    """Views of a layer; `like` is an array of its dtype."""
    real = like.dtype
    return Views(
        tensor(table[KNOWN], real),
        matrix(table[KNOWN + 1], real),
        matrix(table[KNOWN + 2], real),
        tensor(table[KNOWN + 3], real),
        matrix(table[KNOWN + 4], np.int32),
        matrix(table[KNOWN + 5], np.int32),
        matrix(table[KNOWN + 6], np.uint32),
        matrix(table[KNOWN + 7], np.uint32),
        vector(table[KNOWN + 8], np.int64),
        vector(table[KNOWN + 9], np.int64),
        vector(table[KNOWN + 10], np.int64),
        vector(table[KNOWN + 11], np.int64),
        vector(table[KNOWN + 12], np.int64),
        vector(table[KNOWN + 13], np.int64),
        vector(table[KNOWN + 14], np.int64),
        vector(table[KNOWN + 15], real),
        vector(table[KNOWN + 16], np.int64),
        vector(table[KNOWN + 17], np.int64),
        vector(table[KNOWN + 18], np.int64),
    )


@numba.njit(cache=True, nogil=True)
def rest_at(table, like):
    """RestViews."""
    real = like.dtype
    return RestViews(
        vector(table[REST], np.bool_),
        matrix(table[REST + 1], real),
        matrix(table[REST + 2], real),
        matrix(table[REST + 3], real),
        matrix(table[REST + 4], np.float64),
        matrix(table[REST + 5], np.uint32),
        vector(table[REST + 6], np.int64),
        matrix(table[REST + 7], real),
        matrix(table[REST + 8], real),
        matrix(table[REST + 9], np.float64),
        vector(table[REST + 10], np.float64),
        vector(table[REST + 11], np.float64),
        vector(table[REST + 12], np.float64),
        vector(table[REST + 13], np.int64),
    )


@numba.njit(cache=True, nogil=True)
def by_unit_at(table, numbers, like):
    """UnitViews."""
    number = like.dtype.type
    return UnitViews(
        vector(table[BY_UNIT], like.dtype),
        vector(table[BY_UNIT + 1], like.dtype),
        vector(table[BY_UNIT + 2], np.float64),
        numbers[LARGEST_DRIFT],
        int(numbers[TERMS]),
        number(numbers[LIMIT]),
        number(numbers[THRESHOLD]),
    )


@numba.njit(cache=True, nogil=True)
def change_at(table, numbers, like):
    """ChangeViews."""
    real = like.dtype
    return ChangeViews(
        vector(table[CHANGE], np.int32),
        vector(table[CHANGE + 1], np.uint64),
        vector(table[CHANGE + 2], real),
        vector(table[CHANGE + 3], np.int32),
        vector(table[CHANGE + 4], np.uint64),
        vector(table[CHANGE + 5], real),
        vector(table[LEFT_COUNTS], np.int64),
        matrix(table[LEFT_UNITS], np.uint32),
        int(numbers[SAMPLES]),
        int(numbers[VECTORS]),
        int(numbers[LENGTH]),
        matrix(table[CHANGE_TABLE], real),
    )


@numba.njit(cache=True, nogil=True)
def weights_at(table, like):
    """(W⁰)ᵀ."""
    return matrix(table[WEIGHTS], like.dtype)


@numba.njit(cache=True, nogil=True)
def found_at(table, like):
    """FoundViews."""
    real = like.dtype
    return FoundViews(
        matrix(table[FOUND], np.int64),
        matrix(table[FOUND + 1], np.uint32),
        matrix(table[FOUND + 2], real),
        matrix(table[FOUND + 3], real),
        matrix(table[FOUND + 4], np.uint32),
        tensor(table[FOUND + 5], real),
    )
