"""Whether implementations computed the same thing: a fast wrong answer is no result."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.contestant import DENSE
from benchmarks.sweep import Measurement

UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}


@dataclass(frozen=True)
class Agreement:
    """How far an implementation's losses are from the dense ones, at one width.

    Attributes:
        deviation: The largest deviation over the steps, in units of its tolerance: agreement means at most 1.
        step: At which step, counted from 0.
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
    """Compares ‖r‖ = √(2·loss) of every step, with the dense rival's from the same initial weights.

    The tolerance at step t, relative to ‖y‖ + ‖r‖, is (t + 1)·2^(L+2)·√m·u, with u the unit roundoff. Sums of m
    rounded products are off by about √m·u; a layer passes a relative error on with a factor below 2 (the norm map
    of the shifted ReLU has slope 3.6 for squares, reference/README.md, section 1), forward as well as
    backward, where the Gauss-Newton solve meets both; the weights carry the errors of all t steps before. A forgotten
    layer or a wrong sign changes ‖r‖ by tens of percent within a step or two.
    """
    plan = measurement.plan
    ours, dense = (
        np.sqrt(2.0 * np.asarray(measurement.records[who, m].losses, dtype=np.float64)) for who in (name, DENSE)
    )
    unit = UNIT_ROUNDOFF[plan.dtype] * 2.0 ** (plan.depth + 2) * math.sqrt(m)
    scale = float(np.linalg.norm(plan.problem.y)) + dense
    tolerance = np.arange(1, len(dense) + 1) * unit * scale
    deviation = np.nan_to_num(np.abs(ours - dense) / tolerance, nan=math.inf)
    worst = int(deviation.argmax())
    return Agreement(float(deviation[worst]), worst, float(tolerance[-1]))
