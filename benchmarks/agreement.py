"""Whether implementations computed the same thing: a fast wrong answer is no result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.contestant import DENSE
from benchmarks.sweep import Measurement
from reference.contract.shapes import Float

UNIT_ROUNDOFF = {"tf32": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}


@dataclass(frozen=True)
class Agreement:
    """How far an implementation's losses are from those of the one it is held against, at one width.

    Attributes:
        deviation: The largest deviation over the steps, in units of its tolerance: agreement means at most 1.
        step: At which step, counted from 0; after the last one it is the outputs that deviate.
        tolerance: Of the last step.
    """

    deviation: float
    step: int
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether every step's loss is within tolerance; a loss that is not a number is not."""
        return self.deviation <= 1.0


def agreement(measurement: Measurement, name: str, m: int) -> Agreement:
    """Compares every window with the dense rival's of the same round: the loss of every step, the final outputs."""
    plan = measurement.plan
    compared = []
    for ours, dense in zip(measurement.visits[name, m], measurement.visits[DENSE, m], strict=True):
        y, dtype = plan.training.problem.y, "tf32" if plan.training.tf32 else plan.training.dtype
        compared.append(losses_agree(ours.losses, dense.losses, y, m=m, depth=plan.depth, dtype=dtype))
        if ours.outputs and dense.outputs:
            steps = len(dense.losses)
            compared.append(
                outputs_agree(ours.outputs, dense.outputs, y, step=steps, m=m, depth=plan.depth, dtype=dtype)
            )
    return max(compared, key=lambda one: one.deviation)


def losses_agree(
    losses: Sequence[float],
    expected: Sequence[float],
    y: Float[np.ndarray, "n 1"],
    *,
    m: int,
    depth: int,
    dtype: str,
) -> Agreement:
    """Compares ‖r‖ = √(2·loss) of every step, with another implementation's from the same initial weights.

    The tolerance at step t, relative to ‖y‖ + ‖r‖, is (t + 1)·2^(L+2)·√m·u, with u the unit roundoff. Sums of m
    rounded products are off by about √m·u; a layer passes a relative error on with a factor below 2 (the norm map
    of the shifted ReLU has slope 3.6 for squares, reference/README.md, section 1), forward as well as
    backward, where the Gauss-Newton solve meets both; the weights carry the errors of all t steps before. A forgotten
    layer or a wrong sign changes ‖r‖ by tens of percent within a step or two.

    Args:
        losses: Of the one in question, step by step.
        expected: Of the other.
        y: Targets.
        m: The width of all layers.
        depth: L.
        dtype: In which both compute.
    """
    ours, theirs = (np.sqrt(2.0 * np.asarray(values, dtype=np.float64)) for values in (losses, expected))
    steps = np.arange(1, len(theirs) + 1)
    tolerance = steps * _unit(m, depth, dtype) * (float(np.linalg.norm(y)) + theirs)
    deviation = np.nan_to_num(np.abs(ours - theirs) / tolerance, nan=math.inf)
    worst = int(deviation.argmax())
    return Agreement(float(deviation[worst]), worst, float(tolerance[-1]))


def outputs_agree(
    outputs: Sequence[float],
    expected: Sequence[float],
    y: Float[np.ndarray, "n 1"],
    *,
    step: int,
    m: int,
    depth: int,
    dtype: str,
) -> Agreement:
    """Compares the outputs f(x_i) after some steps with another implementation's, in norm.

    The tolerance is that of ‖r‖ after as many steps (losses_agree): outputs are what residuals are made of.

    Args:
        outputs: Of the one in question, sample by sample.
        expected: Of the other.
        y: Targets.
        step: Steps taken.
        m: The width of all layers.
        depth: L.
        dtype: In which both compute.
    """
    ours, theirs = (np.asarray(values, dtype=np.float64) for values in (outputs, expected))
    size = float(np.linalg.norm(y)) + float(np.linalg.norm(theirs - np.asarray(y, dtype=np.float64).ravel()))
    tolerance = (step + 1) * _unit(m, depth, dtype) * size
    deviation = float(np.linalg.norm(ours - theirs)) / tolerance if ours.shape == theirs.shape else math.inf
    return Agreement(deviation if math.isfinite(deviation) else math.inf, step, tolerance)


def _unit(m: int, depth: int, dtype: str) -> float:
    return float(UNIT_ROUNDOFF[dtype] * 2.0 ** (depth + 2) * math.sqrt(m))
