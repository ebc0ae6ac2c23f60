"""From the findings of a run to what its files hold: scaling.json as of any sweep, and what a device has beside it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks import analysis
from benchmarks.contestant import DENSE, Contestant
from benchmarks.device.plan import Findings, Limits, Plan
from benchmarks.scaling.power_law import FEWEST_WIDTHS
from benchmarks.sweep import Measurement
from benchmarks.sweep import Plan as SweepPlan
from benchmarks.visit import Training, Visit
from reference.contract import PHASES, Problem

SCHEMA = 1


def whole_widths(plan: Plan, findings: Findings) -> tuple[int, ...]:
    """The widths at which every implementation has taken a whole window."""
    return tuple(m for m in plan.widths if all(findings.visits.get((name, m)) for name in plan.implementations))


def as_measurement(plan: Plan, findings: Findings, problem: Problem) -> Measurement:
    """The sweep as of `benchmarks measure`: the widths that are whole, and the rounds that all of them have."""
    widths = whole_widths(plan, findings)
    points = [(name, m) for name in plan.implementations for m in widths]
    rounds = min((len(findings.visits[point]) for point in points), default=0)
    training = Training(
        problem, plan.iterations, plan.learning_rate, plan.device, plan.dtype, method=plan.method, tf32=plan.tf32
    )
    swept = SweepPlan(training, widths, plan.depth, plan.seed, plan.rounds, plan.budget, 0.0)
    return Measurement(
        swept,
        tuple(plan.implementations),
        {point: sorted(findings.visits[point], key=lambda visit: visit.round)[:rounds] for point in points},
        {point: findings.memory[point].extra for point in points},
        rounds,
        findings.ended_by,
    )


def scaling(plan: Plan, findings: Findings, problem: Problem, contestants: list[Contestant]) -> dict[str, Any] | None:
    """The contents of scaling.json; None for too few whole widths."""
    measurement = as_measurement(plan, findings, problem)
    if len(measurement.plan.widths) < FEWEST_WIDTHS:
        return None
    environment = {**findings.environment, "others_before": None, "others_meanwhile": None}
    return analysis.analyse(measurement, contestants, environment)


def device_document(plan: Plan, findings: Findings, sweep: dict[str, Any] | None) -> dict[str, Any]:
    """The contents of cuda.json (benchmarks/README.md describes them).

    Args:
        plan: What was to be done.
        findings: What was found so far.
        sweep: The contents of scaling.json, where there are any.
    """
    widest = max((m for _, m in findings.visits), default=None)
    limits = findings.limits
    measured = [(name, m) for m in plan.widths for name in plan.implementations if findings.visits.get((name, m))]
    return {
        "schema": SCHEMA,
        "rehearsal": plan.device.partition(":")[0] == "cpu",
        "environment": findings.environment,
        "plan": asdict(plan),
        "seconds": findings.seconds,
        "ended_by": findings.ended_by,
        "trouble": [trouble._asdict() for trouble in findings.trouble],
        "parity": findings.parity,
        "counters": findings.counters,
        "limits": None if limits is None else {**limits._asdict(), "bandwidth": limits.bandwidth},
        "alive_at_once": 1,
        "together_bytes": together_bytes(plan, findings),
        "points": [_point(findings, name, m) for name, m in measured],
        "partial": [_partial(visit) for visit in findings.partial],
        "speedups": None if sweep is None else sweep["speedups"],
        "crossover": None if sweep is None else sweep["crossover"],
        "phases": {
            name: {"m": m, "phases": phase_figures(findings.visits[name, m], limits)}
            for name, m in measured
            if m == widest
        },
    }


def together_bytes(plan: Plan, findings: Findings) -> int | None:
    """What all implementations would hold at once at the largest width, where each takes its turn; None if unknown."""
    memory = [findings.memory.get((name, plan.widths[-1])) for name in plan.implementations]
    held = [figures.held for figures in memory if figures is not None and figures.held is not None]
    return sum(held) if held and len(held) == len(plan.implementations) else None


def phase_figures(visits: list[Visit], limits: Limits | None) -> dict[str, dict[str, float | None]]:
    """By phase, and of the iteration: seconds and counted bytes, amortized and between anchors, and the bytes' time.

    Between anchors are the iterations that took none; where there are none such, their figures are None.
    """
    anchors = np.array([count for visit in visits for count in visit.anchors])
    return {phase: _phase(visits, phase, anchors == 0, limits) for phase in (*PHASES, "iteration")}


def _phase(visits: list[Visit], phase: str, between: np.ndarray, limits: Limits | None) -> dict[str, float | None]:
    seconds = np.array([second for visit in visits for second in visit.seconds.get(phase, [])])
    parts = PHASES if phase == "iteration" else (phase,)
    moved = sum(np.array([count.bytes for visit in visits for count in visit.work.get(part, [])]) for part in parts)
    figures: dict[str, float | None] = {}
    for name, chosen in (("amortized", np.full(len(between), True)), ("between_anchors", between)):
        known = bool(chosen.any()) and len(seconds) == len(between)
        counted = known and np.shape(moved) == between.shape
        figures[f"{name}_seconds"] = float(seconds[chosen].mean()) if known else None
        mean_bytes = float(np.asarray(moved)[chosen].mean()) if counted else None
        figures[f"{name}_bytes"] = mean_bytes
        figures[f"{name}_bytes_seconds"] = (
            None if mean_bytes is None or limits is None else mean_bytes / limits.bandwidth
        )
    return figures


def share_of_limit(visits: list[Visit], limits: Limits | None) -> float | None:
    """Which share of the time of an iteration it would take at the device's limits: of each phase, bytes or products.

    Args:
        visits: Of a dense implementation: all that it moves and multiplies goes through memory and products.
        limits: Of the device.
    """
    if limits is None or not all(visit.work for visit in visits):
        return None
    least = 0.0
    for phase in PHASES:
        counts = analysis.phase_counts(visits, phase)
        if counts is not None:
            least += max(counts.bytes / limits.bandwidth, counts.multiply_adds / limits.multiply_adds)
    return least / float(np.mean([second for visit in visits for second in visit.seconds["iteration"]]))


def _point(findings: Findings, name: str, m: int) -> dict[str, Any]:
    visits, memory = findings.visits[name, m], findings.memory.get((name, m))
    means = [float(np.mean(visit.seconds["iteration"])) for visit in visits]
    return {
        "m": m,
        "implementation": name,
        "learning_rate": visits[0].learning_rate,
        "rounds": len(visits),
        "seconds": means,
        "median_iteration_seconds": float(np.median([np.median(visit.seconds["iteration"]) for visit in visits])),
        "construction_seconds": [visit.construction for visit in visits],
        "anchors": sum(visits[0].anchors),
        "folds": sum(visits[0].folds),
        "losses": [visits[0].losses[0], visits[0].losses[-1]] if visits[0].losses else [],
        "memory": None if memory is None else memory._asdict(),
        "share_of_limit": share_of_limit(visits, findings.limits) if name == DENSE else None,
        "notes": list(dict.fromkeys(note for visit in visits for note in visit.notes)),
    }


def _partial(visit: Visit) -> dict[str, Any]:
    seconds = visit.seconds.get("iteration", [])
    return {
        "m": visit.m,
        "implementation": visit.implementation,
        "round": visit.round,
        "iterations": len(seconds),
        "median_iteration_seconds": float(np.median(seconds)) if seconds else None,
    }
