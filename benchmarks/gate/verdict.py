"""The verdict on all quantities, with its exit status and a short reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from benchmarks.gate.quantity import Finding, Quantity


class Verdict(Enum):
    """What is said of head; the value is the command's exit status. 2 is left to bad arguments."""

    SAME = 0
    WORSE = 1
    BROKEN = 3
    INCONCLUSIVE = 4
    BETTER = 5


class BrokenError(Exception):
    """A version that cannot be measured, or that computes something else."""


@dataclass(frozen=True)
class Judgement:
    """A verdict and its reason.

    Attributes:
        verdict: One of five.
        reason: In words.
    """

    verdict: Verdict
    reason: str


def judge(quantities: Sequence[Quantity]) -> Judgement:
    """One quantity that is worse makes head worse; better ones do not make up for it.

    Args:
        quantities: All of them.
    """
    by = {finding: [quantity for quantity in quantities if quantity.finding is finding] for finding in Finding}
    still_open = [quantity for quantity in by[Finding.OPEN] if not quantity.alarm_only or quantity.beyond]
    if by[Finding.WORSE]:
        return Judgement(Verdict.WORSE, f"worse: {_told(by[Finding.WORSE])}")
    if still_open:
        return Judgement(Verdict.INCONCLUSIVE, f"too noisy to tell: {_told(still_open)}")
    if by[Finding.BETTER]:
        return Judgement(Verdict.BETTER, f"better: {_told(by[Finding.BETTER])}")
    return Judgement(Verdict.SAME, "no cost differs by more than its margin")


def _told(quantities: Sequence[Quantity], most: int = 3) -> str:
    """Exponents first, then the largest, by how far they are beyond their margins."""
    ranked = sorted(
        quantities,
        key=lambda quantity: (quantity.unit != "exponent", -abs(quantity.value) / (quantity.margin or 1e-9)),
    )
    told = "; ".join(f"{quantity.implementation}, {quantity}" for quantity in ranked[:most])
    return told + (f"; and {len(ranked) - most} more" if len(ranked) > most else "")
