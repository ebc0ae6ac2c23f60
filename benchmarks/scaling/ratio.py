"""How many times faster one implementation is than another, width by width."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmarks.scaling.bootstrap import Interval, interval, resampled_medians
from reference.contract.shapes import Float, Int


class Ratio(NamedTuple):
    """A ratio of medians and its 95 % bootstrap interval over rounds."""

    value: float
    interval: Interval


def ratios(
    slow: Float[np.ndarray, "rounds widths"],
    fast: Float[np.ndarray, "rounds widths"],
    choices: Int[np.ndarray, "resamples rounds"],
) -> list[Ratio]:
    """Median of `slow` over median of `fast`, for every width; both resampled with the same rounds.

    Args:
        slow: Seconds of the one.
        fast: Seconds of the other, in the same rounds.
        choices: Resamples of the rounds.
    """
    values = np.median(slow, axis=0) / np.median(fast, axis=0)
    resampled = resampled_medians(slow, choices) / resampled_medians(fast, choices)
    return [Ratio(float(value), interval(column, len(slow))) for value, column in zip(values, resampled.T, strict=True)]
