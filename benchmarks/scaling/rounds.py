"""What rounds of samples say: a typical cost for every column, and how far each round is from it.

A round holds one sample of every column (a width, or a step of a window), taken close together in time. Costs are
handled as logarithms, since what disturbs a machine multiplies them. Three things are told apart: what is typical
of a column, what all columns of a round share (drift: the machine was slower for a while), and the rest. Rest that
sticks out is pulled in (Huber), so that an interrupt in one sample moves the result little. What is estimated is then
linear in the typical logarithms, every round has an estimate of its own, and their scatter gives the interval
(benchmarks/scaling/interval.py).

Arrays may have leading axes, one problem each: the calibration solves thousands at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reference.contract import ArgumentError
from reference.contract.shapes import Float

#: Rest beyond so many standard deviations is pulled in: 5 % of normal rest, for almost no loss of precision.
CLIP = 2.0
#: With fewer rounds the scatter within a column cannot tell what sticks out.
FEWEST_TO_CLIP = 5
#: Standard deviation over median absolute deviation, of normal rest.
_NORMAL_SCALE = 1.4826
_SWEEPS = 6


@dataclass(frozen=True)
class Settled:
    """Rounds, settled.

    Attributes:
        typical: Of every column the location of its logarithms.
        deviations: Of every round from that, without what its columns share. For weights g that sum to 0 over the
            columns, the rounds' own estimates of g · typical are g · typical + deviations @ g; where nothing was
            taken as shared, for all weights.
    """

    typical: Float[np.ndarray, "*problems columns"]
    deviations: Float[np.ndarray, "*problems rounds columns"]


def settle_rounds(samples: Float[np.ndarray, "*problems rounds columns"]) -> Settled:
    """Settles costs whose rounds share their drift: for differences between columns, such as slopes.

    Args:
        samples: Positive costs.

    Raises:
        ArgumentError: for costs that are not positive and finite.
    """
    return _settle(_logarithms(samples), shared=True)


def settle_columns(samples: Float[np.ndarray, "*problems rounds columns"]) -> Settled:
    """Settles columns each for itself, such as ratios of costs of the same round, in which drift has cancelled.

    Args:
        samples: Positive numbers.

    Raises:
        ArgumentError: for numbers that are not positive and finite.
    """
    return _settle(_logarithms(samples), shared=False)


def _logarithms(samples: np.ndarray) -> np.ndarray:
    samples = np.asarray(samples, dtype=np.float64, order="C")  # sums round in one way, whatever the layout was
    if samples.ndim < 2 or samples.shape[-2] == 0:
        raise ArgumentError("samples", "rounds of samples, (…, rounds, columns)", f"shape {samples.shape}")
    if not (np.isfinite(samples).all() and (samples > 0.0).all()):
        raise ArgumentError("samples", "positive finite numbers", f"{samples.min()} to {samples.max()}")
    return np.log(samples)


def _settle(logs: np.ndarray, *, shared: bool) -> Settled:
    rounds = logs.shape[-2]
    if rounds < FEWEST_TO_CLIP:
        column = logs.mean(axis=-2, keepdims=True)
        rest = logs - column
        row = rest.mean(axis=-1, keepdims=True) if shared else 0.0
        return Settled(column[..., 0, :], rest - row)
    column, row = np.median(logs, axis=-2, keepdims=True), np.zeros((*logs.shape[:-1], 1))
    if shared:  # from the first on, so that a factor which a round has in common moves no column against another
        column = np.median(logs - np.median(logs, axis=-1, keepdims=True), axis=-2, keepdims=True)
        row = np.median(logs - column, axis=-1, keepdims=True)
        row = row - np.median(row, axis=-2, keepdims=True)
        column = np.median(logs - row, axis=-2, keepdims=True)
    for _ in range(_SWEEPS):
        reach = CLIP * _scale(logs - row - column)
        column = column + _clipped(logs - row - column, reach).mean(axis=-2, keepdims=True)
        if shared:
            row = row + _clipped(logs - row - column, reach).mean(axis=-1, keepdims=True)
    rest = logs - row - column
    # A Huber location moves with the samples that are not pulled in: the scatter of a mean, over their share.
    share = (np.abs(rest) <= reach).mean(axis=-2, keepdims=True)
    return Settled(column[..., 0, :], _clipped(rest, reach) / share)


def _scale(rest: np.ndarray) -> np.ndarray:
    """A standard deviation for every column, halfway between its own and that of all: few rounds tell little."""
    size = np.abs(rest)
    own = np.median(size, axis=-2, keepdims=True) * np.sqrt(rest.shape[-2] / (rest.shape[-2] - 1.0))
    pooled = np.median(size, axis=(-2, -1), keepdims=True)
    scale: np.ndarray = _NORMAL_SCALE * np.sqrt((own**2 + pooled**2) / 2.0)
    return scale


def _clipped(rest: np.ndarray, reach: np.ndarray) -> np.ndarray:
    clipped: np.ndarray = np.clip(rest, -reach, reach)
    return clipped
