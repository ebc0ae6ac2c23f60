"""Tests that are valid for every sample size: exact laws, or inequalities where the law is not known.

A p-value p here satisfies P(p ≤ a) ≤ a for every a under the null hypothesis, not only in the limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from reference.contract.shapes import Float

#: A float, or an array of them.
Number = float | np.ndarray


def at_least(count: Number, trials: int, rate: Number) -> np.ndarray:
    """P(Bin(trials, rate) ≥ count)."""
    count = np.asarray(count, dtype=float)
    tail = special.bdtrc(np.maximum(count - 1, 0), trials, np.minimum(rate, 1.0))
    return np.where(count <= 0, 1.0, np.where(np.asarray(rate) >= 1.0, 1.0, tail))


def at_most(count: Number, trials: int, rate: Number) -> np.ndarray:
    """P(Bin(trials, rate) ≤ count)."""
    return np.asarray(special.bdtr(np.asarray(count, dtype=float), trials, rate))


def critical_count(trials: int, rate: float, p: float) -> int:
    """The least count with P(Bin(trials, rate) ≥ count) ≤ p: counts from there on are rejected."""
    return int(np.argmax(at_least(np.arange(trials + 2), trials, rate) <= p))


def binomial_miss(trials: int, rate: float, p: float, true_rate: float) -> float:
    """How often a larger true rate passes the one-sided test of `rate` at p."""
    return float(at_most(critical_count(trials, rate, p) - 1, trials, true_rate))


def binomial_p(count: Number, trials: int, rate: float) -> np.ndarray:
    """Two-sided: the count is binomial with this rate."""
    return np.minimum(1.0, 2 * np.minimum(at_least(count, trials, rate), at_most(count, trials, rate)))


def normal_p(z: Number) -> np.ndarray:
    """Two-sided: z is standard normal."""
    return np.asarray(2 * special.ndtr(-np.abs(z)))


def chi_square_p(statistic: Number, degrees: int) -> np.ndarray:
    """Two-sided: the statistic is χ² with so many degrees of freedom."""
    return np.minimum(1.0, 2 * np.minimum(special.chdtr(degrees, statistic), special.chdtrc(degrees, statistic)))


def distribution_p(values: Float[np.ndarray, " draws"]) -> float:
    """The values are standard normal: Kolmogorov's distance, by the inequality of Dvoretzky, Kiefer and Wolfowitz.

    P(D ≥ t) ≤ 2·exp(−2·N·t²), with Massart's constant (Annals of Probability 18(3), 1990).
    """
    count, expected = len(values), special.ndtr(np.sort(values))
    steps = np.arange(count + 1) / count
    distance = max(np.max(steps[1:] - expected), np.max(expected - steps[:-1]))
    return float(min(1.0, 2 * np.exp(-2 * count * distance**2)))


@dataclass(frozen=True)
class MedianOfMeans:
    """Tests a mean by the median of the means of groups; of the law only the variance is known.

    Where the variance is at most V and the true mean μ, the mean of a group exceeds μ + t with a probability of at most
    1/(1 + t²·size/V) (Cantelli's inequality), and the median of an odd number of groups only if more than half of them
    do, which is binomial.

    Attributes:
        groups: An odd number.
        size: Draws in a group.
    """

    groups: int
    size: int

    @property
    def draws(self) -> int:
        """How many in all."""
        return self.groups * self.size

    def median(self, draws: Float[np.ndarray, " draws *shape"]) -> Float[np.ndarray, "*shape"]:
        """The median of the groups' means."""
        return np.asarray(np.median(draws.reshape(self.groups, self.size, *draws.shape[1:]).mean(axis=1), axis=0))

    def p(self, distance: Number) -> np.ndarray:
        """Two-sided, from |median − μ|/√V."""
        return np.minimum(1.0, 2 * self._tail(distance))

    def distance(self, p: float) -> float:
        """The |median − μ|/√V that has this p-value."""
        rate = special.bdtri(self._half - 1, self.groups, 1 - p / 2) if p > 1e-12 else 0.0
        return float(np.sqrt((1 / rate - 1) / self.size))

    def miss(self, effect: float, p: float, variance: float = 1.0) -> float:
        """How often a p-value above p is seen, at most.

        Args:
            effect: |true mean − claimed mean|/√V.
            p: The rejected p-values end here.
            variance: The true variance over V, at most.
        """
        return float(self._tail(max(effect - self.distance(p), 0.0) / np.sqrt(variance)))

    @property
    def _half(self) -> int:
        return (self.groups + 1) // 2

    def _tail(self, distance: Number) -> np.ndarray:
        return at_least(self._half, self.groups, 1 / (1 + np.square(distance) * self.size))
