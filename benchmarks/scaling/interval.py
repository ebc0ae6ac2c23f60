"""Confidence intervals over whole rounds.

Every round has an estimate of its own (benchmarks/scaling/rounds.py). What disturbs the machine disturbs a round as a
whole, so rounds, not samples, are what counts as independent, and Student's interval over their estimates is that of
the mean. It covers noise within a run only: not caches, not the choice of widths. Percentiles of
bootstrapped medians, the usual recipe, never leave the range of the samples, which with three rounds holds the truth in
75 % of cases. What these intervals cover is measured by `python -m benchmarks calibrate`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from reference.contract.shapes import Float

COVERAGE = 0.95


class Interval(NamedTuple):
    """A confidence interval; NaN where there was only one round to judge by."""

    low: float
    high: float


def half_width(
    estimates: Float[np.ndarray, "*problems rounds"], coverage: float = COVERAGE
) -> Float[np.ndarray, "*problems"]:
    """Half the width of Student's interval for the mean of the rounds' estimates; NaN for a single round.

    Args:
        estimates: One for each round, up to a constant.
        coverage: Of the interval.
    """
    rounds = estimates.shape[-1]
    if rounds < 2:
        return np.full(estimates.shape[:-1], np.nan)
    error = estimates.std(axis=-1, ddof=1) / np.sqrt(rounds)
    half: np.ndarray = np.asarray(stdtrit(rounds - 1, (1.0 + coverage) / 2.0) * error)
    return half
