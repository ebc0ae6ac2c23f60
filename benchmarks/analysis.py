"""From raw samples to what scaling.json holds: exponents, ratios, crossovers, agreement, in plain JSON types."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.agreement import agreement
from benchmarks.contestant import DENSE, Contestant
from benchmarks.scaling import (
    Interval,
    TimeExponent,
    crossover,
    local_exponents,
    ratios,
    sparse_exponents,
    sparse_work,
    time_exponent,
    work_exponent,
)
from benchmarks.sweep import Measurement, Plan
from benchmarks.visit import DAMPING, Counts, Visit
from reference.contract import PHASES

SCHEMA = 2

#: The phases of a sweep: construction, the phases of a step, and the step as a whole.
ALL_PHASES = ("initialization", *PHASES, "iteration")


def analyse(measurement: Measurement, contestants: Sequence[Contestant], environment: dict[str, Any]) -> dict[str, Any]:
    """The contents of scaling.json (benchmarks/README.md describes them key by key).

    Args:
        measurement: A sweep with at least one complete round.
        contestants: Whom it measured.
        environment: From benchmarks.environment.
    """
    plan = measurement.plan
    rivals = [contestant.name for contestant in contestants if contestant.name != DENSE]
    ratio_of = {name: _against_dense(measurement, name) for name in rivals}
    return {
        "schema": SCHEMA,
        "environment": environment,
        "problem": _problem(measurement),
        "implementations": {
            contestant.name: {
                "factory": contestant.source,
                "points": [_point(measurement, contestant.name, m) for m in plan.widths],
                "exponents": {phase: _exponents(measurement, contestant.name, phase) for phase in ALL_PHASES},
                "memory_exponent": _memory_exponent(measurement, contestant.name),
            }
            for contestant in contestants
        },
        "baseline": DENSE,
        "speedup": ratio_of[rivals[0]]["by_width"] if rivals else {},
        "speedups": {name: ratio_of[name]["by_width"] for name in rivals},
        "speedups_between_spikes": {name: ratio_of[name]["between_spikes"] for name in rivals},
        "crossover": {name: ratio_of[name]["crossover"] for name in rivals},
        "theory": _theory(plan),
    }


def phase_windows(visit: Visit, phase: str) -> list[float]:
    """The seconds of a phase, one for each iteration of the visit's window; empty where it is not reported."""
    return [visit.construction] if phase == "initialization" else visit.seconds.get(phase, [])


def phase_counts(visits: Sequence[Visit], phase: str) -> Counts | None:
    """Mean counts of a phase over the windows' iterations, None where nothing is counted.

    The solve belongs to no layer: for the whole iteration it counts among the m × m layers, too.
    """
    if phase == "iteration":
        parts = {part: phase_counts(visits, part) for part in PHASES}
        known = [part for part in parts.values() if part is not None]
        solve = parts["solve"]
        if solve is None or len(known) < len(parts):
            return None
        adds, moved, square_adds, square_moved = (sum(values) for values in zip(*known, strict=True))
        square_adds += solve.multiply_adds - solve.square_multiply_adds
        return Counts(adds, moved, square_adds, square_moved + solve.bytes - solve.square_bytes)
    if phase == "initialization":
        counts = [visit.construction_work for visit in visits if visit.construction_work is not None]
    else:
        counts = [count for visit in visits for count in visit.work.get(phase, [])]
    return Counts(*(round(sum(values) / len(counts)) for values in zip(*counts, strict=True))) if counts else None


def _problem(measurement: Measurement) -> dict[str, Any]:
    plan = measurement.plan
    return {
        "data": plan.training.problem.name,
        "samples": plan.training.problem.X.shape[0],
        "dimension": plan.training.problem.X.shape[1],
        "depth": plan.depth,
        "dtype": plan.training.dtype,
        "method": plan.training.method,
        "learning_rate": plan.training.learning_rate,
        "damping": DAMPING,
        "seed": plan.seed,
        "widths": list(plan.widths),
        "iterations": plan.training.iterations,
        "rounds": measurement.rounds,
        "rounds_asked_for": plan.rounds,
        "ended_by": measurement.ended_by,
        "interrupted": measurement.interrupted,
    }


def _point(measurement: Measurement, name: str, m: int) -> dict[str, Any]:
    visits, compared = measurement.visits[name, m], agreement(measurement, name, m)
    return {
        "m": m,
        "learning_rate": visits[0].learning_rate,
        "phases": {phase: _phase(visits, phase) for phase in ALL_PHASES},
        "losses": [_finite(loss) for loss in visits[0].losses],
        "agreement": {
            "agrees": compared.agrees,
            "deviation": _finite(compared.deviation),
            "step": compared.step,
        },
        "anchors": sum(visits[0].anchors),
        "folds": sum(visits[0].folds),
        "recompressions": sum(visits[0].recompressions),
        "notes": list(dict.fromkeys(note for visit in visits for note in visit.notes)),
        "extra_memory_bytes": measurement.extra_memory.get((name, m)),
        "weight_matrix_bytes": m * m * (4 if measurement.plan.training.dtype == "float32" else 8),
    }


def _phase(visits: Sequence[Visit], phase: str) -> dict[str, Any]:
    windows = [window for window in (phase_windows(visit, phase) for visit in visits) if window]
    counts = phase_counts(visits, phase)
    seconds = [float(np.mean(window)) for window in windows]
    return {
        "seconds": seconds,
        "median": float(np.median(seconds)) if seconds else None,
        "minimum": min(seconds, default=None),
        "window_median": float(np.median([np.median(window) for window in windows])) if windows else None,
        "window_maximum": float(np.median([max(window) for window in windows])) if windows else None,
        "multiply_adds": None if counts is None else counts.multiply_adds,
        "bytes": None if counts is None else counts.bytes,
        "square_layers": {
            "multiply_adds": None if counts is None else counts.square_multiply_adds,
            "bytes": None if counts is None else counts.square_bytes,
        },
    }


def _exponents(measurement: Measurement, name: str, phase: str) -> dict[str, Any]:
    plan = measurement.plan
    visits = [measurement.visits[name, m] for m in plan.widths]
    return {"work": _work_exponents(plan, visits, phase), "time": _time_exponents(plan, visits, phase)}


def _work_exponents(plan: Plan, visits: Sequence[Sequence[Visit]], phase: str) -> dict[str, Any]:
    """`value` is of the multiply-adds of the m × m layers; the solve has none and stands for itself."""
    m = np.array(plan.widths, dtype=np.float64)
    counts = [phase_counts(of_width, phase) for of_width in visits]
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return dict.fromkeys(("value", "bytes", "whole", "whole_bytes", "local"))
    whole_adds, whole_bytes, adds, moved = np.array(known, dtype=np.float64).T
    if phase == "solve":
        adds, moved = whole_adds, whole_bytes
    elif plan.depth == 1:  # there is no m × m layer
        adds = moved = np.zeros_like(adds)
    value = work_exponent(m, adds)
    return {
        "value": value,
        "bytes": work_exponent(m, moved),
        "whole": work_exponent(m, whole_adds),
        "whole_bytes": work_exponent(m, whole_bytes),
        "local": None if value is None else local_exponents(m, adds).tolist(),
    }


def _time_exponents(plan: Plan, visits: Sequence[Sequence[Visit]], phase: str) -> dict[str, Any]:
    samples = [[_mean(phase_windows(visit, phase)) for visit in of_width] for of_width in visits]
    if not all(seconds > 0.0 for of_width in samples for seconds in of_width):
        missing = {"value": None, "low": None, "high": None}  # the implementation does not report this phase
        nothing = dict.fromkeys(("of_minimum", "local", "local_low", "local_high", "regime", "held_out"))
        return {**missing, "floored": {**missing, "floor_seconds": None}, **nothing}
    return time_exponent_document(time_exponent(np.array(plan.widths, dtype=np.float64), np.array(samples).T))


def time_exponent_document(fit: TimeExponent) -> dict[str, Any]:
    """A time exponent in plain JSON types."""
    return {
        "value": fit.value,
        **_ends(fit.interval),
        "of_minimum": fit.of_minimum,
        "floored": {
            "value": _finite(fit.floored),
            **_ends(fit.floored_interval),
            "floor_seconds": _finite(fit.floor),
        },
        "local": list(fit.local),
        "local_low": [_finite(interval.low) for interval in fit.local_intervals],
        "local_high": [_finite(interval.high) for interval in fit.local_intervals],
        "regime": None if fit.regime is None else {**asdict(fit.regime), "text": str(fit.regime)},
        "held_out": None
        if fit.held_out is None
        else {
            "m": fit.held_out.m,
            "measured": fit.held_out.measured,
            "plain": fit.held_out.plain,
            "plain_error": fit.held_out.plain_error,
            "floored": _finite(fit.held_out.floored),
            "floored_error": _finite(fit.held_out.floored_error),
        },
    }


def _memory_exponent(measurement: Measurement, name: str) -> dict[str, Any]:
    """Of the extra memory of an iteration."""
    widths = measurement.plan.widths
    peaks = [measurement.extra_memory.get((name, m), 0) for m in widths]
    if min(peaks) <= 0:  # interrupted, or nothing extra
        return {"value": None, "local": None}
    m, cost = np.array(widths, dtype=np.float64), np.array(peaks, dtype=np.float64)
    return {"value": work_exponent(m, cost), "local": local_exponents(m, cost).tolist()}


def _against_dense(measurement: Measurement, name: str) -> dict[str, Any]:
    """Speed-ups by width and crossover, of the whole iteration."""
    widths = measurement.plan.widths
    mean, middle = (
        {
            who: np.array([[of(visit.seconds["iteration"]) for visit in measurement.visits[who, m]] for m in widths]).T
            for who in (DENSE, name)
        }
        for of in (np.mean, np.median)
    )
    point = crossover(np.array(widths, dtype=np.float64), mean[DENSE], mean[name])
    where = "below the widths measured" if point.m == 0.0 else "in range"
    return {
        "by_width": _by_width(widths, mean[DENSE], mean[name]),
        "between_spikes": _by_width(widths, middle[DENSE], middle[name]),
        "crossover": {
            "m": point.m if 0.0 < point.m < math.inf else None,
            "where": where if point.m < math.inf else "none in range",
            **_ends(point.interval),
        },
    }


def _by_width(widths: Sequence[int], dense: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    return {
        str(m): {"value": ratio.value, **_ends(ratio.interval)}
        for m, ratio in zip(widths, ratios(dense, theirs), strict=True)
    }


def _theory(plan: Plan) -> dict[str, Any]:
    m, samples = np.array(plan.widths, dtype=np.float64), plan.training.problem.X.shape[0]
    exponents = sparse_exponents(m, samples)
    return {
        phase: {"work": exponents[phase], "local": local_exponents(m, work).tolist()}
        for phase, work in sparse_work(m, samples).items()
    }


def _ends(interval: Interval) -> dict[str, float | None]:
    """Both ends; None where there is none: a single round, or beyond the widths measured."""
    return {"low": _finite(interval.low), "high": _finite(interval.high)}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
