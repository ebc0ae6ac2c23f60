"""How often the estimators are right, on synthetic rounds whose truth is known.

An interval that claims 95 % is held to 93 to 97 % of the trials in every setting where its model is true. Where a
cache makes any single exponent wrong, the change of regime must be found instead, and must not be found elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.scaling.crossover import crossover
from benchmarks.scaling.exponent import Estimate, floored_exponent, plain_exponent
from benchmarks.scaling.ratio import ratios
from benchmarks.scaling.regime import LEVEL, regime_changes_anywhere
from benchmarks.scaling.rounds import settle_rounds
from benchmarks.scaling.synthetic import WIDTHS, Disturbances, synthetic_rounds

EXPONENTS = (1.0, 1.5, 1.75, 2.0)
SETTINGS = {
    "5 % noise": Disturbances(),
    "floor": Disturbances(floor=1.0),
    "drift": Disturbances(drift=0.03),
    "outliers": Disturbances(outliers=0.05),
    "floor, drift and outliers": Disturbances(floor=1.0, drift=0.03, outliers=0.05),
    "cache break": Disturbances(cache=(1.5, 3.0)),
}
LEAST_COVERAGE, MOST_COVERAGE = 0.93, 0.97
LEAST_FOUND = 0.95

_MEETING = 1500.0  # where the two costs of the crossover meet


@dataclass(frozen=True)
class Figure:
    """One share of trials, and what it must be.

    Attributes:
        share: Of the trials.
        low: It must be at least this …
        high: … and at most this.
    """

    share: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether it is as it must be."""
        return self.low <= self.share <= self.high


@dataclass(frozen=True)
class Row:
    """One setting of the calibration.

    Attributes:
        setting: Its name.
        exponent: The true exponent.
        figures: By what is counted: "plain", "floored", "regime", "ratio", "crossover"; without those that the
            setting does not put to the test.
        plain_half: Median half-width of the plain exponent's interval.
        floored_half: Of the floored one's.
    """

    setting: str
    exponent: float
    figures: dict[str, Figure]
    plain_half: float
    floored_half: float

    @property
    def holds(self) -> bool:
        """Whether all its figures are as they must be."""
        return all(figure.holds for figure in self.figures.values())


def calibrate(*, trials: int, rounds: int, seed: int) -> Iterator[Row]:
    """Tries every setting with every exponent.

    Args:
        trials: Sweeps for each; the shares' standard error is √(0.05·0.95/trials).
        rounds: Of each sweep.
        seed: Determines everything.
    """
    for number, (name, disturbances) in enumerate(SETTINGS.items()):
        for exponent in EXPONENTS:
            generator = np.random.default_rng([seed, number, round(100 * exponent)])
            yield _row(name, disturbances, exponent, trials, rounds, generator)


def _row(
    name: str, disturbances: Disturbances, exponent: float, trials: int, rounds: int, generator: np.random.Generator
) -> Row:
    samples = synthetic_rounds(exponent, disturbances, trials=trials, rounds=rounds, generator=generator)
    settled = settle_rounds(samples)
    plain, floored = plain_exponent(WIDTHS, settled), floored_exponent(WIDTHS, settled)
    changes = float(regime_changes_anywhere(WIDTHS, settled).mean())
    figures = {}
    if disturbances.cache != (1.0, 1.0):
        figures["regime"] = Figure(changes, LEAST_FOUND, 1.0)
    else:
        figures["regime"] = Figure(changes, 0.0, LEVEL)
        figures["floored"] = _coverage(_covers(floored, exponent))
        if disturbances.floor == 0.0:
            figures["plain"] = _coverage(_covers(plain, exponent))
            rival = samples * _rival(samples.shape, disturbances.noise, generator)
            figures["ratio"], figures["crossover"] = _against(rival, samples)
    return Row(name, exponent, figures, _half(plain), _half(floored))


def _rival(shape: tuple[int, ...], noise: float, generator: np.random.Generator) -> np.ndarray:
    """What a rival takes in the same rounds, as a factor: faster below one width, slower above."""
    factor: np.ndarray = np.sqrt(WIDTHS / _MEETING) * np.exp(noise * generator.standard_normal(shape))
    return factor


def _against(slow: np.ndarray, fast: np.ndarray) -> tuple[Figure, Figure]:
    truth, middle = np.sqrt(WIDTHS / _MEETING), len(WIDTHS) // 2
    ratio_covers, crossover_covers = [], []
    for one, other in zip(slow, fast, strict=True):
        low, high = ratios(one, other)[middle].interval
        ratio_covers.append(low <= truth[middle] <= high)
        low, high = crossover(WIDTHS, one, other).interval
        crossover_covers.append(low <= _MEETING <= high)
    return _coverage(np.array(ratio_covers)), _coverage(np.array(crossover_covers))


def _covers(estimate: Estimate, truth: float) -> np.ndarray:
    covers: np.ndarray = (estimate.low <= truth) & (truth <= estimate.high)
    return covers


def _coverage(covers: np.ndarray) -> Figure:
    return Figure(float(covers.mean()), LEAST_COVERAGE, MOST_COVERAGE)


def _half(estimate: Estimate) -> float:
    return float(np.median(estimate.high - estimate.low)) / 2.0
