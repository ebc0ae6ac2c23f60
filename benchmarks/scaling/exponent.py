"""The exponent of one phase of one implementation, from counted work and from raw seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.scaling.held_out import HeldOut, held_out
from benchmarks.scaling.interval import Interval, half_width
from benchmarks.scaling.power_law import (
    FEWEST_WIDTHS_FLOORED,
    LEAST_EXPONENT,
    MOST_EXPONENT,
    fit_floored_power_law,
    fit_power_law,
    floored_tangent,
    local_exponents,
)
from benchmarks.scaling.regime import FEWEST_WIDTHS_REGIME, RegimeChange, regime_change
from benchmarks.scaling.rounds import Settled, settle_rounds
from reference.contract.shapes import Float


@dataclass(frozen=True)
class TimeExponent:
    """The time exponent.

    Attributes:
        value: Slope of the log-log line through the typical costs.
        interval: Its 95 % interval over rounds.
        of_minimum: The same slope through the minima.
        floored: Exponent of the fit with a constant floor, NaN with fewer than four widths.
        floored_interval: Its interval.
        floor: That floor, in seconds.
        local: Slopes between neighbouring widths, through the typical costs.
        local_intervals: Their intervals.
        regime: Where the law changes on the way; None where nothing says so, or there are too few widths or rounds.
            If it does, no one exponent tells the story, and the intervals do not cover one.
        held_out: What the law fitted without the largest width makes of that one; None with too few widths.
    """

    value: float
    interval: Interval
    of_minimum: float
    floored: float
    floored_interval: Interval
    floor: float
    local: tuple[float, ...]
    local_intervals: tuple[Interval, ...]
    regime: RegimeChange | None
    held_out: HeldOut | None


class Estimate(NamedTuple):
    """Exponents with their intervals, one for each problem."""

    value: Float[np.ndarray, "*problems"]
    low: Float[np.ndarray, "*problems"]
    high: Float[np.ndarray, "*problems"]


def time_exponent(m: Float[np.ndarray, " widths"], seconds: Float[np.ndarray, "rounds widths"]) -> TimeExponent:
    """Fits seconds against m.

    Args:
        m: Widths, increasing.
        seconds: Raw samples, in whole rounds.

    Raises:
        ArgumentError: for fewer than three widths, or times that are not positive.
    """
    settled = settle_rounds(seconds)
    typical, plain = np.exp(settled.typical), plain_exponent(m, settled)
    floored, floored_interval, floor = float("nan"), Interval(float("nan"), float("nan")), float("nan")
    if len(m) >= FEWEST_WIDTHS_FLOORED:
        estimate = floored_exponent(m, settled)
        floored, floored_interval = float(estimate.value), Interval(float(estimate.low), float(estimate.high))
        floor = float(fit_floored_power_law(m, typical).floor)
    between = np.log(m[1:] / m[:-1])
    local = local_exponents(m, typical)
    halves = half_width(np.diff(settled.deviations, axis=-1).T / between[:, None])
    return TimeExponent(
        value=float(plain.value),
        interval=Interval(float(plain.low), float(plain.high)),
        of_minimum=float(fit_power_law(m, seconds.min(axis=0)).exponent),
        floored=floored,
        floored_interval=floored_interval,
        floor=floor,
        local=tuple(local.tolist()),
        local_intervals=tuple(
            Interval(float(slope - half), float(slope + half)) for slope, half in zip(local, halves, strict=True)
        ),
        regime=regime_change(m, settled) if len(m) >= FEWEST_WIDTHS_REGIME else None,
        held_out=held_out(m, typical),
    )


def plain_exponent(m: Float[np.ndarray, " widths"], settled: Settled) -> Estimate:
    """The slope of the line through the typical logarithms: every round has a slope of its own."""
    centred = np.log(m) - np.log(m).mean()
    value = fit_power_law(m, np.exp(settled.typical)).exponent
    half = half_width(settled.deviations @ (centred / (centred * centred).sum()))
    return Estimate(value, value - half, value + half)


def floored_exponent(m: Float[np.ndarray, " widths"], settled: Settled) -> Estimate:
    """The exponent above a constant floor.

    The fit is not linear in the typical logarithms, but nearly so for deviations of a few percent: its tangent gives
    every round an estimate. The interval is centred one Newton step from the fit, which is the fit itself unless the
    floor is held at zero, and is extended to hold the fit. Like the fit it stays among the exponents that a cost of
    training can have.
    """
    fit = fit_floored_power_law(m, np.exp(settled.typical))
    tangent, fitted = floored_tangent(m, fit)
    weights = np.linalg.pinv(tangent)[..., 2, :]
    centre = fit.exponent + (weights * (settled.typical - fitted)).sum(axis=-1)
    half = half_width((settled.deviations * weights[..., None, :]).sum(axis=-1))
    low, high = np.clip([centre - half, centre + half], LEAST_EXPONENT, MOST_EXPONENT)
    return Estimate(fit.exponent, np.minimum(low, fit.exponent), np.maximum(high, fit.exponent))


def work_exponent(m: Float[np.ndarray, " widths"], counts: Float[np.ndarray, " widths"]) -> float | None:
    """Fits counted work against m; None where some count is zero, since then there is no power law.

    Raises:
        ArgumentError: for fewer than three widths.
    """
    if np.min(counts) <= 0:
        return None
    return float(fit_power_law(m, counts).exponent)
