"""Rounds of costs with a known exponent and known disturbances, to try estimators on.

A trial is what a sweep would have measured: rounds that visit all widths in random order, one sample after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reference.contract.shapes import Float

#: Nine widths from 512 to 8192, as a sweep has them.
WIDTHS = np.array([512, 724, 1024, 1448, 2048, 2896, 4096, 5792, 8192], dtype=np.float64)


@dataclass(frozen=True)
class Disturbances:
    """What stands between a power law and its samples.

    Attributes:
        noise: Standard deviation of every sample's logarithm.
        floor: A constant cost beside the power, in units of the power at the second width.
        drift: Standard deviation of a random walk's step from one sample to the next, on the logarithm, beside a
            swing of ±20 % with a period of about 14 rounds.
        outliers: Share of samples that take 1.5 to 10 times as long.
        cache: Ratio of the costs beyond and within a cache, drawn for every trial between the two numbers. The cache
            holds the m × m weights up to a width that is drawn from the middle half of the widths; of a wider
            network's weights it holds a part.
    """

    noise: float = 0.05
    floor: float = 0.0
    drift: float = 0.0
    outliers: float = 0.0
    cache: tuple[float, float] = (1.0, 1.0)


def synthetic_rounds(
    exponent: float,
    disturbances: Disturbances,
    *,
    trials: int,
    rounds: int,
    generator: np.random.Generator,
    widths: Float[np.ndarray, " widths"] = WIDTHS,
) -> Float[np.ndarray, "trials rounds widths"]:
    """Draws trials of rounds.

    Args:
        exponent: The true one.
        disturbances: What is added.
        trials: How many sweeps.
        rounds: Of each.
        generator: Draws everything.
        widths: m, increasing.
    """
    cost = (widths / widths[0]) ** exponent
    cost = disturbances.floor * cost[1] + cost * _misses(widths, disturbances.cache, trials, generator)
    logs = np.log(cost)[:, None, :] + disturbances.noise * generator.standard_normal((trials, rounds, len(widths)))
    if disturbances.drift > 0.0:
        logs = logs + _drift(disturbances.drift, logs.shape, generator)
    struck = generator.random(logs.shape) < disturbances.outliers
    samples: np.ndarray = np.exp(logs) * np.where(struck, generator.uniform(1.5, 10.0, logs.shape), 1.0)
    return samples


def _misses(widths: np.ndarray, cache: tuple[float, float], trials: int, generator: np.random.Generator) -> np.ndarray:
    """By what factor reading costs more than from the cache, (trials, widths)."""
    quarter = len(widths) // 4
    holds = np.exp(generator.uniform(np.log(widths[quarter]), np.log(widths[-1 - quarter]), (trials, 1)))
    outside = np.maximum(1.0 - (holds / widths) ** 2, 0.0)
    factor: np.ndarray = 1.0 + (generator.uniform(*cache, (trials, 1)) - 1.0) * outside
    return factor


def _drift(step: float, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    trials, rounds, widths = shape
    length = rounds * widths
    walk = np.cumsum(step * generator.standard_normal((trials, length)), axis=1)
    swing = 0.2 * np.sin(np.arange(length) / 20.0 + generator.uniform(0.0, 2.0 * np.pi, (trials, 1)))
    places = np.argsort(generator.random(shape), axis=2) + np.arange(rounds)[:, None] * widths
    drift: np.ndarray = np.take_along_axis(walk + swing, places.reshape(trials, length), axis=1).reshape(shape)
    return drift
