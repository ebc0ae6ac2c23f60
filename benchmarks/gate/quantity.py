"""One compared quantity, its margin, and what its interval says.

A difference counts only where its interval lies beyond a margin on an absolute scale: a logarithm of a ratio, or a
difference of exponents. "Not significantly different" is no reason to pass and "significantly different" none to fail.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from benchmarks.scaling import half_width, settle_columns
from reference.contract.shapes import Float

#: log(1.05): an iteration that takes 5 % longer.
TIME_MARGIN = math.log(1.05)
#: An exponent larger by so much.
EXPONENT_MARGIN = 0.05
#: log(1.25): the slowest iteration of a window, by its number.
SPIKE_MARGIN = math.log(1.25)
#: log(1.10): peak memory.
MEMORY_MARGIN = math.log(1.10)


class Finding(Enum):
    """What is found of one quantity."""

    SAME = "same"
    WORSE = "worse"
    BETTER = "better"
    OPEN = "open"


@dataclass(frozen=True)
class Quantity:
    """A cost, head's against base's.

    Attributes:
        implementation: Whose.
        name: In words, as in "iteration at m = 4096".
        unit: "ratio" where `value` is a logarithm of one, "exponent" where it is a difference, "count" of a
            ratio that is exact.
        value: The difference, positive where head costs more.
        low: End of its interval …
        high: … and the other; the value itself where it is exact.
        margin: Beyond which it matters.
        parts: Its value in independent parts of the measurement: they must agree on what is said to differ.
        alarm_only: It may say that head is worse or better, but need not be decided.
    """

    implementation: str
    name: str
    unit: str
    value: float
    low: float
    high: float
    margin: float
    parts: tuple[float, ...] = ()
    alarm_only: bool = False

    @property
    def finding(self) -> Finding:
        """Whether it differs by more than the margin, does not, or cannot be told yet."""
        if self.low > self.margin and self._confirmed(1.0):
            return Finding.WORSE
        if self.high < -self.margin and self._confirmed(-1.0):
            return Finding.BETTER
        if -self.margin <= self.low and self.high <= self.margin:
            return Finding.SAME
        return Finding.OPEN

    @property
    def beyond(self) -> bool:
        """Whether its interval lies beyond the margin, confirmed or not."""
        return self.low > self.margin or self.high < -self.margin

    def _confirmed(self, sign: float) -> bool:
        """What is counted needs no confirmation; of what is timed, all parts must say the same."""
        if self.unit == "count":
            return True
        return len(self.parts) > 1 and all(sign * part > self.margin for part in self.parts)

    def __str__(self) -> str:
        if self.unit == "exponent":
            return f"{self.name}: {self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"
        ends = (math.exp(end) for end in (self.value, self.low, self.high))
        shown = "{:.3f}× [{:.3f}, {:.3f}]".format(*ends)
        return f"{self.name}: {shown.partition(' ')[0] if self.unit == 'count' else shown}"


def timed(
    implementation: str,
    name: str,
    differences: Sequence[Float[np.ndarray, " _"]],
    margin: float,
    *,
    unit: str = "ratio",
    alarm_only: bool = False,
) -> Quantity:
    """A quantity from the differences of paired rounds.

    Args:
        implementation: Whose.
        name: In words.
        differences: One array for each stage of the measurement, a difference for each of its rounds.
        margin: Beyond which it matters.
        unit: Of the difference.
        alarm_only: See Quantity.
    """
    value, half = _located(np.concatenate(differences))
    parts = tuple(_located(stage)[0] for stage in differences)
    return Quantity(implementation, name, unit, value, value - half, value + half, margin, parts, alarm_only)


def unpaired(
    implementation: str,
    name: str,
    base: Float[np.ndarray, " base_rounds"],
    head: Float[np.ndarray, " head_rounds"],
    margin: float,
    *,
    unit: str = "ratio",
) -> Quantity:
    """A quantity from rounds of two separate runs: the widths of their intervals add up as standard errors do.

    Args:
        implementation: Whose.
        name: In words.
        base: Logarithms or exponents, one for each round of the one run.
        head: Of the other.
        margin: Beyond which it matters.
        unit: Of the difference.
    """
    (before, one), (after, other) = _located(base), _located(head)
    value, half = after - before, math.hypot(one, other)
    halves = zip(np.array_split(base, 2), np.array_split(head, 2), strict=True)
    parts = tuple(_located(after)[0] - _located(before)[0] for before, after in halves if len(before) and len(after))
    return Quantity(implementation, name, unit, value, value - half, value + half, margin, parts)


def exact(implementation: str, name: str, base: float, head: float, margin: float = 0.0) -> Quantity:
    """A counted quantity: deterministic, so that the least difference counts, or memory, which has a margin.

    Args:
        implementation: Whose.
        name: In words.
        base: The count before.
        head: The count after.
        margin: Beyond which it matters.
    """
    if base == head:
        value = 0.0
    elif base == 0 or head == 0:
        value = math.inf if head > base else -math.inf
    else:
        value = math.log(head / base)
    return Quantity(implementation, name, "count", value, value, value, margin)


def _located(differences: np.ndarray) -> tuple[float, float]:
    """Location and half-width of the interval."""
    settled = settle_columns(np.exp(differences)[:, None])
    half = float(half_width(settled.deviations[:, 0]))
    return float(settled.typical[0]), half if math.isfinite(half) else math.inf
