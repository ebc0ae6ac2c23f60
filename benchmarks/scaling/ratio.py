"""How many times faster one implementation is than another, width by width."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmarks.scaling.interval import Interval, half_width
from benchmarks.scaling.rounds import settle_columns
from reference.contract.shapes import Float


class Ratio(NamedTuple):
    """A ratio of typical costs and its 95 % interval over rounds."""

    value: float
    interval: Interval


def ratios(slow: Float[np.ndarray, "rounds widths"], fast: Float[np.ndarray, "rounds widths"]) -> list[Ratio]:
    """The ratio of `slow` to `fast` for every width: every round has one of its own, in which drift has cancelled.

    Args:
        slow: Seconds of the one.
        fast: Seconds of the other, in the same rounds.

    Raises:
        ArgumentError: for times that are not positive.
    """
    settled = settle_columns(np.asarray(slow) / np.asarray(fast))
    halves = half_width(settled.deviations.T)
    return [
        Ratio(float(np.exp(value)), Interval(float(np.exp(value - half)), float(np.exp(value + half))))
        for value, half in zip(settled.typical, halves, strict=True)
    ]
