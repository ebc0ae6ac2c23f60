"""Confidence intervals by bootstrap over whole rounds.

A round holds one sample of every width and every implementation, taken close together in time. What disturbs
the machine disturbs the round, so rounds, not samples, are what is drawn with replacement. The interval covers
sampling noise only: not caches, not the choice of widths.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reference.contract.arguments import array, whole_number
from reference.contract.shapes import Float, Int

RESAMPLES = 2000
COVERAGE = 0.95


class Interval(NamedTuple):
    """A confidence interval; NaN where there was only one round to draw from."""

    low: float
    high: float


def round_choices(rounds: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Int[np.ndarray, "resamples rounds"]:
    """Which rounds each resample is made of. What is to be compared must be drawn with the same choices."""
    whole_number("rounds", rounds, 1)
    whole_number("resamples", resamples, 1)
    return np.random.default_rng(seed).integers(rounds, size=(resamples, rounds))


def resampled_medians(
    samples: Float[np.ndarray, "rounds widths"], choices: Int[np.ndarray, "resamples rounds"]
) -> Float[np.ndarray, "resamples widths"]:
    """For every resample the median over its rounds, width by width."""
    samples = array("samples", samples, (choices.shape[1], None), "float64")
    medians: np.ndarray = np.median(samples[choices], axis=1)
    return medians


def interval(estimates: Float[np.ndarray, " resamples"], rounds: int, coverage: float = COVERAGE) -> Interval:
    """The percentile interval of resampled estimates.

    Args:
        estimates: One estimate a resample; infinities stand for "beyond what was measured".
        rounds: How many rounds they were drawn from.
        coverage: Of the interval.
    """
    if rounds < 2:
        return Interval(float("nan"), float("nan"))
    outside = (1.0 - coverage) / 2.0
    # An order statistic, not an interpolation between two: one of them may be infinite.
    low = np.quantile(estimates, outside, method="inverted_cdf")
    high = np.quantile(estimates, 1.0 - outside, method="inverted_cdf")
    return Interval(float(low), float(high))
