"""Checks of arguments: one clear error that names the argument, what was expected and what came.

Nothing here computes; a check returns its value in the form that the caller works with, or raises.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

DTYPES = ("float32", "float64")

#: Narrower dtypes in which weights may be stored; what is computed from them is in one of DTYPES.
STORAGES = ("bfloat16",)


class ArgumentError(ValueError):
    """An argument outside its domain.

    Args:
        argument: The argument's name, as the caller wrote it.
        expected: Its domain, in words.
        got: What came instead, in words.
    """

    def __init__(self, argument: str, expected: str, got: str):
        super().__init__(f"{argument}: expected {expected}, got {got}")
        self.argument = argument


class SolveError(ArithmeticError):
    """A step that could not be computed; the network is what it was before the call."""


def one_of(argument: str, value: object, names: Iterable[str]) -> str:
    """Returns `value` if it is one of `names`."""
    names = tuple(names)
    if not isinstance(value, str) or value not in names:
        raise ArgumentError(argument, "one of " + ", ".join(names), repr(value))
    return value


def dtype_name(argument: str, value: object, names: Iterable[str] = DTYPES) -> str:
    """Returns the name of a dtype given as a name, a NumPy dtype or a torch dtype."""
    if isinstance(value, type | np.dtype):
        value = np.dtype(value).name
    return one_of(argument, str(value).removeprefix("torch."), names)


def whole_number(argument: str, value: Any, low: int, high: int | None = None) -> int:
    """Returns `value` as an int with low ≤ value ≤ high."""
    expected = f"a whole number of at least {low}" + ("" if high is None else f" and at most {high}")
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ArgumentError(argument, expected, repr(value))
    if value < low or (high is not None and value > high):
        raise ArgumentError(argument, expected, repr(value))
    return int(value)


def number(argument: str, value: Any, low: float, high: float = math.inf) -> float:
    """Returns `value` as a finite float with low ≤ value ≤ high."""
    expected = f"a finite number of at least {low:g}" + ("" if high == math.inf else f" and at most {high:g}")
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ArgumentError(argument, expected, repr(value)) from None
    if isinstance(value, bool | str) or not math.isfinite(result) or not low <= result <= high:
        raise ArgumentError(argument, expected, repr(value))
    return result


def tolerance(argument: str, value: Any) -> float:
    """Returns `value` as a float with 0 < value < 1."""
    result = number(argument, value, 0.0, 1.0)
    if not 0.0 < result < 1.0:
        raise ArgumentError(argument, "a number greater than 0 and less than 1", repr(value))
    return result


def array(argument: str, value: Any, shape: Sequence[int | None], dtype: str | None = None) -> np.ndarray:
    """Returns `value` as a finite, real, non-empty, C-contiguous array of the given shape.

    Args:
        argument: The argument's name.
        value: Anything that NumPy takes for an array of real numbers.
        shape: The expected shape; None stands for any length of at least one.
        dtype: The dtype to convert to; None keeps float32 and float64, and turns the rest into float64.

    Raises:
        ArgumentError: for another shape, entries that are not real numbers, or entries that are not
            finite after the conversion.
    """
    wanted = "(" + ", ".join("≥1" if length is None else str(length) for length in shape) + ")"
    if value is None:
        raise ArgumentError(argument, f"an array of shape {wanted}", "None")
    try:
        result = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError(argument, f"an array of shape {wanted}", f"{type(value).__name__} ({error})") from None
    if result.dtype.kind not in "fiu":
        raise ArgumentError(argument, "an array of real numbers", f"dtype {result.dtype}")
    fits = result.ndim == len(shape) and all(
        length >= 1 if want is None else length == want for length, want in zip(result.shape, shape, strict=True)
    )
    if not fits:
        raise ArgumentError(argument, f"shape {wanted}", f"shape {result.shape}")
    if dtype is None:
        dtype = result.dtype.name if result.dtype.name in DTYPES else "float64"
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(result, dtype=dtype)
    if any(stride < 0 for stride in result.strides):  # of an axis of length one: contiguous, but torch refuses it
        result = result.copy()
    finite = np.isfinite(result)
    if not finite.all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ArgumentError(argument, f"values finite in {dtype}", f"{result[where]} at index {where}")
    return result


def trained(argument: str, value: Any, depth: int) -> tuple[int, ...]:
    """Returns the numbers of the layers to train, increasing; None stands for all of 1 … depth."""
    if value is None:
        return tuple(range(1, depth + 1))
    expected = f"distinct layer numbers from 1 to {depth}, at least one"
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ArgumentError(argument, expected, repr(value))
    layers = list(value)
    if not layers or len(set(map(str, layers))) < len(layers):
        raise ArgumentError(argument, expected, repr(layers))
    return tuple(sorted(whole_number(argument, layer, 1, depth) for layer in layers))


def affordable(argument: str, needed: int, available: int | None = None) -> None:
    """Raises ArgumentError where `needed` bytes exceed the memory, before anything is allocated.

    Args:
        argument: The argument that asks for so much.
        needed: Bytes.
        available: Bytes of the device's memory; None reads the machine's physical memory.
    """
    if available is None:
        try:
            available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):  # no such figure on this system
            return
    if needed > available:
        raise ArgumentError(
            argument,
            f"a size that fits the memory ({available / 2**30:.1f} GiB)",
            f"one that takes {needed / 2**30:.1f} GiB",
        )
