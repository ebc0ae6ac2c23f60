"""The exponent of one phase of one implementation, from counted work and from raw seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.scaling.bootstrap import Interval, interval, resampled_medians, round_choices
from benchmarks.scaling.power_law import (
    FEWEST_WIDTHS_FLOORED,
    fit_floored_power_law,
    fit_power_law,
    local_exponents,
)
from reference.contract.shapes import Float, Int


@dataclass(frozen=True)
class TimeExponent:
    """The time exponent.

    Attributes:
        value: Slope of the log-log line through the medians over the rounds.
        interval: Its 95 % bootstrap interval over rounds.
        of_minimum: The same slope through the minima.
        floored: Exponent of the fit with a constant floor, NaN with fewer than four widths.
        floored_interval: Its interval.
        floor: That floor, in seconds.
        local: Slopes between neighbouring widths, through the medians.
    """

    value: float
    interval: Interval
    of_minimum: float
    floored: float
    floored_interval: Interval
    floor: float
    local: tuple[float, ...]


def time_exponent(
    m: Float[np.ndarray, " widths"],
    seconds: Float[np.ndarray, "rounds widths"],
    choices: Int[np.ndarray, "resamples rounds"] | None = None,
) -> TimeExponent:
    """Fits seconds against m.

    Args:
        m: Widths, increasing.
        seconds: Raw samples, in whole rounds.
        choices: Resamples of the rounds, by default round_choices(rounds).

    Raises:
        ArgumentError: for fewer than three widths, or times that are not positive.
    """
    rounds = len(seconds)
    choices = round_choices(rounds) if choices is None else choices
    medians, resampled = np.median(seconds, axis=0), resampled_medians(seconds, choices)
    floored, floored_interval, floor = float("nan"), Interval(float("nan"), float("nan")), float("nan")
    if len(m) >= FEWEST_WIDTHS_FLOORED:
        fit = fit_floored_power_law(m, medians)
        floored, floor = float(fit.exponent), float(fit.floor)
        floored_interval = interval(fit_floored_power_law(m, resampled).exponent, rounds)
    return TimeExponent(
        value=float(fit_power_law(m, medians).exponent),
        interval=interval(fit_power_law(m, resampled).exponent, rounds),
        of_minimum=float(fit_power_law(m, seconds.min(axis=0)).exponent),
        floored=floored,
        floored_interval=floored_interval,
        floor=floor,
        local=tuple(local_exponents(m, medians).tolist()),
    )


def work_exponent(m: Float[np.ndarray, " widths"], counts: Float[np.ndarray, " widths"]) -> float | None:
    """Fits counted work against m; None where some count is zero, since then there is no power law.

    Raises:
        ArgumentError: for fewer than three widths.
    """
    if np.min(counts) <= 0:
        return None
    return float(fit_power_law(m, counts).exponent)
