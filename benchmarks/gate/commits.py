"""From paired windows of two versions to quantities: time, exponents, spikes, counted work, memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.agreement import losses_agree, outputs_agree
from benchmarks.contestant import DENSE
from benchmarks.gate.alternate import Evidence, Pair, Plan
from benchmarks.gate.quantity import (
    EXPONENT_MARGIN,
    MEMORY_MARGIN,
    SPIKE_MARGIN,
    TIME_MARGIN,
    Quantity,
    exact,
    timed,
)
from benchmarks.gate.verdict import BrokenError
from benchmarks.scaling import settle_columns
from benchmarks.visit import Visit
from reference.contract import PHASES
from reference.contract.shapes import Float

#: Bytes that Python's own objects may come to, by chance.
SLACK_BYTES = 2**16


def quantities(plan: Plan, evidence: Evidence) -> list[Quantity]:
    """All that base and head are compared by, as far as it is measured.

    Args:
        plan: What was measured.
        evidence: What came of it.
    """
    found: list[Quantity] = []
    for (name, m), pair in evidence.firsts().items():
        found += _counted(name, m, *pair)
    for (name, m), peaks in evidence.memory.items():
        found += _memory(name, m, *peaks)
    for name in plan.timed if evidence.stages else ():
        found += _timed(plan, evidence, name)
    return found


def check_results(plan: Plan, evidence: Evidence, y: Float[np.ndarray, "n 1"]) -> None:
    """A fast wrong answer is no result.

    Args:
        plan: What was measured.
        evidence: What came of it.
        y: Targets.

    Raises:
        BrokenError: where base and head, or head and the dense rival, compute something else.
    """
    for (name, m), (base, head) in evidence.firsts().items():
        if m in evidence.dense:
            _check(plan, y, base, evidence.dense[m], f"base: {name}", f"the {DENSE} rival")
            _check(plan, y, head, evidence.dense[m], f"head: {name}", f"the {DENSE} rival")
        _check(plan, y, head, base, f"head: {name}", "base")


def slower_phases(evidence: Evidence, name: str, m: int) -> dict[str, float]:
    """By phase how many times as long head takes, in the median: to say where the time goes, not to judge by.

    Args:
        evidence: With a stage at least.
        name: Of a timed implementation.
        m: A width.
    """
    pairs = [pair for stage in evidence.pairs(name, m) for pair in stage]
    return {
        phase: float(np.median([sum(head.seconds[phase]) / sum(base.seconds[phase]) for base, head in pairs]))
        for phase in PHASES
        if all(phase in visit.seconds and sum(visit.seconds[phase]) > 0.0 for pair in pairs for visit in pair)
    }


def _timed(plan: Plan, evidence: Evidence, name: str) -> Iterator[Quantity]:
    """Amortized iterations width by width, their exponents, and what must not hide in an amortized iteration."""
    amortized = {m: _stages_of(evidence.pairs(name, m), _amortized) for m in plan.widths}
    for m, differences in amortized.items():
        yield timed(name, f"iteration at m = {m}", differences, TIME_MARGIN)
    if len(plan.widths) > 2:
        x = np.log(np.array(plan.widths, dtype=np.float64))
        weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
        slopes = [np.stack(stage, axis=1) @ weights for stage in zip(*amortized.values(), strict=True)]
        yield timed(name, "exponent of an iteration", slopes, EXPONENT_MARGIN, unit="exponent")
    for m in plan.widths:
        windows = _stages_of(evidence.pairs(name, m), _mean)
        yield timed(name, f"mean iteration at m = {m}, outliers included", windows, TIME_MARGIN, alarm_only=True)
        spikes = _stages_of(evidence.pairs(name, m), _slowest)
        yield timed(name, f"slowest iteration of a window at m = {m}", spikes, SPIKE_MARGIN, alarm_only=True)


def _stages_of(stages: Sequence[Sequence[Pair]], statistic: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
    """For every round log head − log base of a statistic of all rounds' windows, stage by stage."""
    pairs = [pair for stage in stages for pair in stage]
    base, head = (np.array([pair[side].seconds["iteration"] for pair in pairs]) for side in (0, 1))
    difference = statistic(head) - statistic(base)
    return np.split(difference, np.cumsum([len(stage) for stage in stages])[:-1])


def _amortized(seconds: Float[np.ndarray, "rounds iterations"]) -> Float[np.ndarray, " rounds"]:
    """Logarithms of the windows' means, where an iteration that sticks out among its like is pulled in.

    Its like are the iterations of the same number in the other rounds: they do the same, since every window starts
    from the same weights. So a fold, an anchor or a hidden pass stays what it is, and an interrupt does not.
    """
    settled = settle_columns(seconds)
    logs: np.ndarray = np.log(np.exp(settled.typical + settled.deviations).mean(axis=1))
    return logs


def _mean(seconds: Float[np.ndarray, "rounds iterations"]) -> Float[np.ndarray, " rounds"]:
    """Logarithms of the windows' plain means."""
    logs: np.ndarray = np.log(seconds.mean(axis=1))
    return logs


def _slowest(seconds: Float[np.ndarray, "rounds iterations"]) -> Float[np.ndarray, " rounds"]:
    """Logarithms of the iteration whose number is typically the slowest."""
    logs: np.ndarray = np.log(seconds[:, int(settle_columns(seconds).typical.argmax())])
    return logs


def _counted(name: str, m: int, base: Visit, head: Visit) -> Iterator[Quantity]:
    """Counted work and events of a window."""
    if base.work and not head.work:
        raise BrokenError(f"head counts no work: {name} at m = {m}")
    for phase in PHASES if base.work else ():
        for kind, words in (("multiply_adds", "multiply-adds"), ("bytes", "bytes")):
            before, after = (sum(getattr(counts, kind) for counts in visit.work[phase]) for visit in (base, head))
            yield exact(name, f"counted {words} of {phase} at m = {m}", before, after)
    for event in ("anchors", "folds", "recompressions"):
        yield exact(name, f"{event} in a window at m = {m}", sum(getattr(base, event)), sum(getattr(head, event)))


def _memory(name: str, m: int, base: dict[str, int], head: dict[str, int]) -> Iterator[Quantity]:
    for kind in ("iteration", "construction"):
        before, after = base[kind] + SLACK_BYTES, head[kind] + SLACK_BYTES
        yield exact(name, f"extra memory of {kind} at m = {m}", before, after, MEMORY_MARGIN)


def _check(plan: Plan, y: np.ndarray, visit: Visit, other: Visit, who: str, whom: str) -> None:
    depth, dtype = plan.depth, plan.dtype
    found = [losses_agree(visit.losses, other.losses, y, m=visit.m, depth=depth, dtype=dtype)]
    if visit.outputs and other.outputs:
        steps = len(visit.losses)
        found.append(outputs_agree(visit.outputs, other.outputs, y, step=steps, m=visit.m, depth=depth, dtype=dtype))
    worst = max(found, key=lambda agreement: agreement.deviation)
    if not worst.agrees:
        by = "beyond all bounds" if math.isinf(worst.deviation) else f"by {worst.deviation:.2g} times the tolerance"
        raise BrokenError(f"{who} at m = {visit.m} differs from {whom} at step {worst.step} {by}")
