"""The width from which on one implementation is faster than another."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from benchmarks.scaling.interval import Interval, half_width
from benchmarks.scaling.rounds import settle_columns
from reference.contract.shapes import Float

_PLACES = 32  # between neighbouring widths, at which the interval is computed


class Crossover(NamedTuple):
    """A crossover width.

    Attributes:
        m: The width; 0 where the fast one wins at every width measured (the crossover lies below them),
            infinity where it does not win at the largest (it lies above, if anywhere).
        interval: Its 95 % interval, with ends of 0 and infinity likewise; NaN for a single round.
    """

    m: float
    interval: Interval


def crossover(
    m: Float[np.ndarray, " widths"],
    slow: Float[np.ndarray, "rounds widths"],
    fast: Float[np.ndarray, "rounds widths"],
) -> Crossover:
    """The width above which `fast` takes less time than `slow` at every width measured.

    Between neighbouring widths the logarithm of the ratio is taken as linear in log m, in every round, and so has an
    interval at every width. That of the crossover is read off it the other way: from where on the ratio's low end
    exceeds 1, and from where on its high end does.

    Args:
        m: Widths, increasing.
        slow: Seconds of the one that is to be beaten.
        fast: Seconds of the other, in the same rounds.

    Raises:
        ArgumentError: for times that are not positive.
    """
    settled = settle_columns(np.asarray(slow) / np.asarray(fast))
    value = _cross(m, settled.typical)
    if len(slow) < 2:
        return Crossover(value, Interval(math.nan, math.nan))
    between = _between(len(m))
    x = between @ np.log(m)
    ratio, half = between @ settled.typical, half_width(between @ settled.deviations.T)
    low, high = (_cross(np.exp(x), end) for end in (ratio + half, ratio - half))
    return Crossover(value, Interval(low, high))


def _between(widths: int) -> np.ndarray:
    """Weights that interpolate values at the widths: at each of them, and at places between neighbours."""
    places = np.linspace(0.0, widths - 1.0, (widths - 1) * _PLACES + 1)
    weights: np.ndarray = np.maximum(1.0 - np.abs(places[:, None] - np.arange(widths)), 0.0)
    return weights


def _cross(m: Float[np.ndarray, " widths"], log_ratio: Float[np.ndarray, " widths"]) -> float:
    losing = np.flatnonzero(log_ratio <= 0.0)
    if losing.size == 0:
        return 0.0
    last = int(losing[-1])
    if last == len(m) - 1:
        return math.inf
    x, y = np.log(m[last : last + 2]), log_ratio[last : last + 2]
    return float(np.exp(x[0] - y[0] * (x[1] - x[0]) / (y[1] - y[0])))
