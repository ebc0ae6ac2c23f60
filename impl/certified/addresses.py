"""Arrays by their addresses: so one compiled loop takes as many layers as a network has.

As arguments, a tuple of layers would be another type for every depth, and some 60 arrays a layer would be unpacked at
every call. Whoever writes a table sees to it that the arrays live, and stay where they are, for as long as it is used.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic

Place = tuple[int, int, int, int]


def place_of(array: np.ndarray) -> Place:
    """Where a contiguous array of up to three dimensions is: its address, and its shape."""
    if array.ndim > 3:
        raise ValueError(f"array: expected at most three dimensions, got {array.ndim}")
    if not array.flags.c_contiguous:
        raise ValueError(f"array: expected a contiguous one, got strides {array.strides}")
    shape: tuple[int, ...] = (*array.shape, 0, 0, 0)
    return array.__array_interface__["data"][0], shape[0], shape[1], shape[2]


def _from_integer(typing_context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), generate


_pointer: Any = intrinsic(_from_integer)  # an integer as a pointer


@numba.njit(cache=True, nogil=True)
def vector(place, dtype):
    """The array at a place, of one dimension."""
    return numba.carray(_pointer(place[0]), (place[1],), dtype)


@numba.njit(cache=True, nogil=True)
def matrix(place, dtype):
    """The array at a place, of two."""
    return numba.carray(_pointer(place[0]), (place[1], place[2]), dtype)


@numba.njit(cache=True, nogil=True)
def tensor(place, dtype):
    """The array at a place, of three."""
    return numba.carray(_pointer(place[0]), (place[1], place[2], place[3]), dtype)
