"""The largest width held out: what the others say of it. An exponent that cannot predict is only a slope."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmarks.scaling.power_law import (
    FEWEST_WIDTHS,
    FEWEST_WIDTHS_FLOORED,
    fit_floored_power_law,
    fit_power_law,
)
from reference.contract.shapes import Float


class HeldOut(NamedTuple):
    """The cost at the largest width, and what is predicted from the others.

    Attributes:
        m: That width.
        measured: Its typical cost.
        plain: Predicted by the power law through the others.
        floored: By the one with a floor; NaN with fewer than five widths in all.
    """

    m: float
    measured: float
    plain: float
    floored: float

    @property
    def plain_error(self) -> float:
        """What was measured over what the power law predicts, less 1."""
        return self.measured / self.plain - 1.0

    @property
    def floored_error(self) -> float:
        """Likewise for the one with a floor."""
        return self.measured / self.floored - 1.0


def held_out(m: Float[np.ndarray, " widths"], cost: Float[np.ndarray, " widths"]) -> HeldOut | None:
    """Predicts the cost at the largest width from the others; None where there are too few for a fit.

    Args:
        m: Widths, increasing.
        cost: Positive costs.
    """
    others, target = m[:-1], float(m[-1])
    if len(others) < FEWEST_WIDTHS:
        return None
    line = fit_power_law(others, cost[:-1])
    plain, floored = float(line.factor * target**line.exponent), float("nan")
    if len(others) >= FEWEST_WIDTHS_FLOORED:
        law = fit_floored_power_law(others, cost[:-1])
        floored = float(law.floor + law.factor * target**law.exponent)
    return HeldOut(target, float(cost[-1]), plain, floored)
