"""Comparisons that say which number is wrong, by how much, and against which bound."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np

from properties.tolerances.replay import Replay
from properties.tolerances.rounding import Bounded
from reference.contract.shapes import Bool, Float

#: Of masks that differ at many units, so many are named.
NAMED_UNITS = 10


class Mismatch(AssertionError):
    """An implementation's result that no rounding explains.

    Attributes:
        difference: The element that shows it, None where the result is wrong as a whole.
        units: Units whose masks differ, at most NAMED_UNITS.
    """

    def __init__(self, message: str, difference: Difference | None = None, units: Sequence[UnitDifference] = ()):
        super().__init__(message)
        self.difference = difference
        self.units = tuple(units)


class OraclesDisagree(Exception):
    """Two oracles differ by more than their bounds allow: no implementation is to blame."""


@dataclass(frozen=True)
class Difference:
    """One element of a result, and how far it is from where it should be.

    Attributes:
        what: The quantity, as in "left factor, layer 2".
        layer: ℓ, None where the quantity belongs to no layer.
        index: The element by the names of its axes: sample, output, unit, input, row, column.
        expected: The oracle's number, in float64.
        got: The implementation's.
        error: |got − expected|.
        bound: What rounding explains; 0 where all numbers are exact.
        wrong: How many elements of the array are off.
        size: Of how many.
    """

    what: str
    layer: int | None
    index: dict[str, int]
    expected: float
    got: float
    error: float
    bound: float
    wrong: int
    size: int

    @property
    def error_over_bound(self) -> float:
        """Above 1; infinite where the bound is 0, or got is NaN or infinite."""
        ratio = self.error / self.bound if self.bound > 0 else math.inf
        return math.inf if math.isnan(ratio) else ratio


@dataclass(frozen=True)
class UnitDifference:
    """One unit whose mask is wrong.

    Attributes:
        layer: ℓ.
        sample: i.
        unit: Its index in the layer.
        expected: Whether it is active.
        got: What the implementation says.
        margin: z − τ, of the oracle.
        band: Either mask is legal where |z − τ| is at most this.
    """

    layer: int
    sample: int
    unit: int
    expected: bool
    got: bool
    margin: float
    band: float

    def __str__(self) -> str:
        expected, got = ("active" if state else "inactive" for state in (self.expected, self.got))
        return (
            f"sample {self.sample}, unit {self.unit}: expected {expected}, got {got}, "
            f"margin z − τ = {self.margin:.6g}, rounding band {self.band:.3g}"
        )


@dataclass(frozen=True)
class Comparison:
    """What was compared: a label, the implementation's array and the oracle's."""

    what: str
    got: np.ndarray
    expected: np.ndarray


_record: ContextVar[list[Comparison] | None] = ContextVar("record", default=None)


@contextmanager
def recorded() -> Iterator[list[Comparison]]:
    """Keeps every comparison made inside; the last one is the one that failed, where one did."""
    comparisons: list[Comparison] = []
    token = _record.set(comparisons)
    try:
        yield comparisons
    finally:
        _record.reset(token)


def assert_close(what: str, axes: Sequence[str], got: Float[np.ndarray, ...], expected: Bounded) -> None:
    """Compares within the bound, element by element.

    Args:
        what: What is compared; a layer is named by ", layer 2" in it.
        axes: The names of the axes: ("sample", "output").
        got: The implementation's array.
        expected: The oracle's, with bounds.

    Raises:
        Mismatch: naming the worst element.
    """
    got = _numbers(what, got, expected.value.shape)
    _note(what, got, expected.value)
    off = np.abs(got.astype(np.float64) - expected.value)
    bad = ~(off <= expected.error)  # NaN is bad
    if not bad.any():
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(bad, np.nan_to_num(off / expected.error, nan=np.inf, posinf=np.inf), -1.0)
    worst = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
    difference = _difference(what, axes, worst, got, expected.value, float(expected.error[worst]), bad)
    raise Mismatch(
        f"{what}: {difference.wrong} of {bad.size} elements off; worst at {_where(axes, worst)}: expected "
        f"{expected.value[worst]:.17g}, got {got[worst]:.17g}, error {difference.error:.3g}, "
        f"bound {difference.bound:.3g}, error over bound {difference.error_over_bound:.3g}",
        difference,
    )


def assert_identical(what: str, axes: Sequence[str], got: np.ndarray, expected: np.ndarray) -> None:
    """Compares bit for bit (0 and −0 are the same number).

    Raises:
        Mismatch: naming the first element that differs.
    """
    got = _numbers(what, got, expected.shape)
    _note(what, got, expected)
    bad = got != expected
    if bad.any():
        first = tuple(np.argwhere(bad)[0])
        difference = _difference(what, axes, first, got, expected, 0.0, bad)
        raise Mismatch(
            f"{what}: {difference.wrong} of {bad.size} elements differ where all numbers are exact; first at "
            f"{_where(axes, first)}: expected {expected[first].item()!r}, got {got[first].item()!r}, "
            f"error {difference.error:.3g}, bound 0",
            difference,
        )


def assert_masks(got: Sequence[Bool[np.ndarray, "n _"]], oracle: Replay) -> None:
    """Compares active sets outside the rounding band.

    `oracle` must have been replayed with the masks in question, so that layer ℓ is judged on the decisions
    taken in the layers before it.

    Raises:
        Mismatch: naming layer, sample, unit, margin and band of the first units that differ.
    """
    if len(got) != len(oracle.masks):
        raise Mismatch(f"active_sets: expected {len(oracle.masks)} layers, got {len(got)}")
    for layer, (mask, agreed) in enumerate(zip(got, oracle.masks, strict=True), start=1):
        what = f"active_sets, layer {layer}"
        mask = _same_shape(what, mask, agreed.shape)  # noqa: PLW2901  the same mask, checked
        if mask.dtype != np.bool_:
            raise Mismatch(f"{what}: expected dtype bool, got {mask.dtype}")
        _note(what, mask, agreed)
        bad = mask != agreed
        if bad.any():
            units = [_unit(layer, int(i), int(r), mask, oracle) for i, r in np.argwhere(bad)[:NAMED_UNITS]]
            first = tuple(np.argwhere(bad)[0])
            difference = _difference(what, ("sample", "unit"), first, mask, agreed, 0.0, bad)
            raise Mismatch(
                f"{what}: {difference.wrong} of {bad.size} units differ outside the rounding band; first at {units[0]}",
                difference,
                units,
            )


def _unit(layer: int, sample: int, unit: int, mask: Bool[np.ndarray, "n m"], oracle: Replay) -> UnitDifference:
    return UnitDifference(
        layer,
        sample,
        unit,
        expected=bool(oracle.masks[layer - 1][sample, unit]),
        got=bool(mask[sample, unit]),
        margin=float(oracle.margins[layer - 1][sample, unit]),
        band=float(oracle.bands[layer - 1][sample, unit]),
    )


def _difference(
    what: str,
    axes: Sequence[str],
    where: Sequence[np.integer | int],
    got: np.ndarray,
    expected: np.ndarray,
    bound: float,
    bad: Bool[np.ndarray, ...],
) -> Difference:
    layer = re.search(r"\blayer (\d+)", what)
    a, b = float(got[tuple(where)]), float(expected[tuple(where)])
    return Difference(
        what,
        int(layer[1]) if layer else None,
        {axis: int(i) for axis, i in zip(axes, where, strict=True)},
        expected=b,
        got=a,
        error=abs(a - b),
        bound=bound,
        wrong=int(bad.sum()),
        size=int(bad.size),
    )


def _note(what: str, got: np.ndarray, expected: np.ndarray) -> None:
    comparisons = _record.get()
    if comparisons is not None:
        comparisons.append(Comparison(what, got.copy(), expected.copy()))


def _same_shape(what: str, got: object, shape: tuple[int, ...]) -> np.ndarray:
    if not isinstance(got, np.ndarray | np.generic | float | int):
        raise Mismatch(f"{what}: expected a NumPy array of shape {shape}, got {type(got).__name__} {got!r:.60}")
    got = np.asarray(got)
    if got.shape != shape:
        raise Mismatch(f"{what}: expected shape {shape}, got {got.shape}")
    return got


def _numbers(what: str, got: object, shape: tuple[int, ...]) -> np.ndarray:
    got = _same_shape(what, got, shape)
    if got.dtype.kind not in "biuf":
        raise Mismatch(f"{what}: expected real numbers, got dtype {got.dtype}")
    return got


def _where(axes: Sequence[str], index: Sequence[np.integer | int]) -> str:
    return ", ".join(f"{axis} {int(i)}" for axis, i in zip(axes, index, strict=True))
