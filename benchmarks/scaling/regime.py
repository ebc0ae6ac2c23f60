"""A change of regime on the way from narrow to wide: a cache outgrown, a switch of algorithm.

A power law above a floor is taken as the rule. If at some width the cost steps, or the slope breaks, then that rule
with one such step or break added fits better than noise between the rounds explains. All places are tried, and the
level is divided among them (Bonferroni). Precise rounds find a change in anything, so it must matter, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from benchmarks.scaling.power_law import fit_floored_power_law, floored_tangent
from benchmarks.scaling.rounds import Settled
from reference.contract.shapes import Bool, Float

FEWEST_WIDTHS_REGIME = 6  # three parameters of the rule, the change, and something left to tell them apart
#: How often a change is found where there is none, at most.
LEVEL = 0.05
#: What matters: a step of the cost by so much, a break of the exponent by so much.
LEAST_STEP = math.log(1.15)
LEAST_BREAK = 0.2

# A change must not be what the rule itself can bend into: so much of its square must be left beside the rule.
_LEAST_LEFT = 0.01


@dataclass(frozen=True)
class RegimeChange:
    """Where the law changes.

    Attributes:
        kind: "step" of the cost, "break" of the slope.
        low: The change lies between this width …
        high: … and this one; the same width for a break.
        size: Factor of the cost, or difference of the exponents beyond and before.
    """

    kind: str
    low: float
    high: float
    size: float

    def __str__(self) -> str:
        if self.kind == "step":
            return f"the cost steps by a factor of {self.size:.2f} between m = {self.low:.0f} and {self.high:.0f}"
        sign = "−" if self.size < 0.0 else "+"
        return f"the exponent changes by {sign}{abs(self.size):.2f} at m = {self.low:.0f}"


def regime_change(m: Float[np.ndarray, " widths"], settled: Settled) -> RegimeChange | None:
    """The change of regime that explains most, or None.

    Args:
        m: At least FEWEST_WIDTHS_REGIME widths, increasing.
        settled: From settle_rounds; None is the answer for fewer than three rounds.
    """
    found, explained, size = _changes(m, settled)
    if not found.any():
        return None
    best = int(np.where(found, explained, 0.0).argmax())
    if best < len(m) - 1:
        return RegimeChange("step", float(m[best]), float(m[best + 1]), float(np.exp(size[best])))
    place = float(m[best - len(m) + 2])
    return RegimeChange("break", place, place, float(size[best]))


def regime_changes_anywhere(m: Float[np.ndarray, " widths"], settled: Settled) -> Bool[np.ndarray, "*problems"]:
    """For every problem whether there is a change of regime."""
    anywhere: np.ndarray = np.any(_changes(m, settled)[0], axis=-1)
    return anywhere


def _changes(m: np.ndarray, settled: Settled) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For every problem and candidate whether it is a change, how much of the misfit it explains, and its size."""
    rounds, widths = settled.deviations.shape[-2:]
    x = np.log(m)
    steps = (np.arange(widths) > np.arange(widths - 1)[:, None]).astype(np.float64)
    breaks = np.maximum(x - x[1:-1, None], 0.0)
    candidates = np.concatenate([steps, breaks])
    least = np.repeat([LEAST_STEP, LEAST_BREAK], [len(steps), len(breaks)])
    problems = settled.typical.shape[:-1]
    if rounds < 3:
        nothing = np.zeros((*problems, len(candidates)))
        return nothing > 0.0, nothing, nothing
    tangent, fitted = floored_tangent(m, fit_floored_power_law(m, np.exp(settled.typical)))
    beside = np.eye(widths) - tangent @ np.linalg.pinv(tangent)  # projects onto what the rule cannot do
    left = candidates @ beside
    squares = (left * left).sum(axis=-1)
    whole = ((candidates - candidates.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    weights = left / np.where(squares > 0.0, squares, 1.0)[..., None]
    size = (weights * (settled.typical - fitted)[..., None, :]).sum(axis=-1)
    error = (settled.deviations @ np.swapaxes(weights, -1, -2)).std(axis=-2, ddof=1) / math.sqrt(rounds)
    certainty = np.abs(size) / np.maximum(error, np.finfo(np.float64).tiny)
    critical = stdtrit(rounds - 1, 1.0 - LEVEL / (2 * len(candidates)))
    found = (certainty > critical) & (np.abs(size) >= least) & (squares > _LEAST_LEFT * whole)
    return found, np.abs(size) * np.sqrt(squares), size
