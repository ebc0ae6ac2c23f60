"""Comparisons that say which number is wrong, by how much, and against which bound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from properties.replay import Replay
from properties.rounding import Bounded
from reference.contract.shapes import Bool, Float


class Mismatch(AssertionError):
    """An implementation's result that no rounding explains."""


def assert_close(what: str, axes: Sequence[str], got: Float[np.ndarray, ...], expected: Bounded) -> None:
    """Compares within the bound, element by element.

    Args:
        what: What is compared, for the message.
        axes: The names of the axes, for the message: ("sample", "output").
        got: The implementation's array.
        expected: The oracle's, with bounds.

    Raises:
        Mismatch: naming the worst element.
    """
    got = _same_shape(what, got, expected.value.shape)
    off = np.abs(got.astype(np.float64) - expected.value)
    bad = ~(off <= expected.error)  # NaN is bad
    if not bad.any():
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(bad, np.nan_to_num(off / expected.error, nan=np.inf, posinf=np.inf), -1.0)
    worst = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
    raise Mismatch(
        f"{what}: {int(bad.sum())} of {bad.size} elements off; worst at {_where(axes, worst)}: expected "
        f"{expected.value[worst]:.17g}, got {got[worst]:.17g}, error {off[worst]:.3g}, "
        f"bound {expected.error[worst]:.3g}"
    )


def assert_identical(what: str, axes: Sequence[str], got: np.ndarray, expected: np.ndarray) -> None:
    """Compares bit for bit (0 and −0 are the same number).

    Raises:
        Mismatch: naming the first element that differs.
    """
    got = _same_shape(what, got, expected.shape)
    bad = got != expected
    if bad.any():
        first = tuple(np.argwhere(bad)[0])
        raise Mismatch(
            f"{what}: {int(bad.sum())} of {bad.size} elements differ where all numbers are exact; first at "
            f"{_where(axes, first)}: expected {expected[first]!r}, got {got[first]!r}"
        )


def assert_masks(got: Sequence[Bool[np.ndarray, "n _"]], oracle: Replay) -> None:
    """Compares active sets outside the rounding band.

    `oracle` must have been replayed with the masks in question, so that layer ℓ is judged on the decisions
    taken in the layers before it.

    Raises:
        Mismatch: naming layer, sample, unit and margin.
    """
    if len(got) != len(oracle.masks):
        raise Mismatch(f"active_sets: expected {len(oracle.masks)} layers, got {len(got)}")
    for layer, (mask, agreed, margin) in enumerate(zip(got, oracle.masks, oracle.margins, strict=True), start=1):
        _same_shape(f"active_sets, layer {layer}", mask, agreed.shape)
        if np.asarray(mask).dtype != np.bool_:
            raise Mismatch(f"active_sets, layer {layer}: expected dtype bool, got {np.asarray(mask).dtype}")
        bad = mask != agreed
        if bad.any():
            sample, unit = np.argwhere(bad)[0]
            state = "active" if agreed[sample, unit] else "inactive"
            raise Mismatch(
                f"active_sets, layer {layer}: {int(bad.sum())} units differ outside the rounding band; first at "
                f"sample {sample}, unit {unit}: expected {state}, margin z − τ = {margin[sample, unit]:.6g}"
            )


def _same_shape(what: str, got: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    got = np.asarray(got)
    if got.shape != shape:
        raise Mismatch(f"{what}: expected shape {shape}, got {got.shape}")
    return got


def _where(axes: Sequence[str], index: Sequence[np.integer | int]) -> str:
    return ", ".join(f"{axis} {int(i)}" for axis, i in zip(axes, index, strict=True))
