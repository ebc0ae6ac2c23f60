"""The width from which on one implementation is faster than another."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from benchmarks.scaling.bootstrap import Interval, interval, resampled_medians
from reference.contract.shapes import Float, Int


class Crossover(NamedTuple):
    """A crossover width.

    Attributes:
        m: The width; 0 where the fast one wins at every width measured (the crossover lies below them),
            infinity where it does not win at the largest (it lies above, if anywhere).
        interval: Its 95 % bootstrap interval over rounds, with ends of 0 and infinity likewise.
    """

    m: float
    interval: Interval


def crossover(
    m: Float[np.ndarray, " widths"],
    slow: Float[np.ndarray, "rounds widths"],
    fast: Float[np.ndarray, "rounds widths"],
    choices: Int[np.ndarray, "resamples rounds"],
) -> Crossover:
    """The width above which `fast` takes less time than `slow` at every width measured.

    Between the last width where it does not and the next, the logarithm of the ratio is taken as linear in log m.

    Args:
        m: Widths, increasing.
        slow: Seconds of the one that is to be beaten.
        fast: Seconds of the other, in the same rounds.
        choices: Resamples of the rounds.
    """
    value = _cross(m, np.median(slow, axis=0) / np.median(fast, axis=0))
    resampled = resampled_medians(slow, choices) / resampled_medians(fast, choices)
    return Crossover(value, interval(np.array([_cross(m, row) for row in resampled]), len(slow)))


def _cross(m: Float[np.ndarray, " widths"], ratio: Float[np.ndarray, " widths"]) -> float:
    losing = np.flatnonzero(ratio <= 1.0)
    if losing.size == 0:
        return 0.0
    last = int(losing[-1])
    if last == len(m) - 1:
        return math.inf
    x, y = np.log(m[last : last + 2]), np.log(ratio[last : last + 2])
    return float(np.exp(x[0] - y[0] * (x[1] - x[0]) / (y[1] - y[0])))
