"""From raw samples to what scaling.json holds: exponents, ratios, crossovers, agreement, in plain JSON types."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.agreement import agreement
from benchmarks.contestant import DENSE, Contestant
from benchmarks.scaling import (
    Interval,
    crossover,
    local_exponents,
    ratios,
    round_choices,
    sparse_exponents,
    time_exponent,
    work_exponent,
)
from benchmarks.sweep import ALL_PHASES, DAMPING, Measurement, Plan, Record
from reference.contract import PHASES

SCHEMA = 1


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
        "problem": {
            "data": plan.problem.name,
            "samples": plan.problem.X.shape[0],
            "dimension": plan.problem.X.shape[1],
            "depth": plan.depth,
            "dtype": plan.dtype,
            "method": "gauss_newton",
            "learning_rate": plan.learning_rate,
            "damping": DAMPING,
            "seed": plan.seed,
            "widths": list(plan.widths),
            "rounds": measurement.rounds,
            "rounds_asked_for": plan.rounds,
            "interrupted": measurement.interrupted,
        },
        "implementations": {
            contestant.name: {
                "factory": contestant.source,
                "points": [_point(measurement, contestant.name, m) for m in plan.widths],
                "exponents": {phase: _exponents(measurement, contestant.name, phase) for phase in ALL_PHASES},
            }
            for contestant in contestants
        },
        "baseline": DENSE,
        "speedup": ratio_of[rivals[0]]["by_width"] if rivals else {},
        "speedups": {name: ratio_of[name]["by_width"] for name in rivals},
        "crossover": {name: ratio_of[name]["crossover"] for name in rivals},
        "theory": {
            phase: {"work": exponent}
            for phase, exponent in sparse_exponents(np.array(plan.widths, float), plan.problem.X.shape[0]).items()
        },
    }


def _point(measurement: Measurement, name: str, m: int) -> dict[str, Any]:
    record = measurement.records[name, m]
    compared = agreement(measurement, name, m)
    return {
        "m": m,
        "phases": {
            phase: {
                "seconds": record.seconds[phase],
                "median": float(np.median(record.seconds[phase])) if record.seconds[phase] else None,
                "minimum": min(record.seconds[phase], default=None),
                **_counts(record, phase, square=False),
                "square_layers": _counts(record, phase, square=True),
            }
            for phase in ALL_PHASES
        },
        "losses": [_finite(loss) for loss in record.losses],
        "agreement": {
            "agrees": compared.agrees,
            "deviation": None if math.isinf(compared.deviation) else compared.deviation,
            "step": compared.step,
        },
        "extra_memory_bytes": record.extra_memory,
        "weight_matrix_bytes": m * m * (4 if measurement.plan.dtype == "float32" else 8),
    }


def _counts(record: Record, phase: str, *, square: bool) -> dict[str, int | None]:
    """Mean counts over the timed iterations, of the whole network or of its m × m layers only.

    The layers ℓ ≥ 2 are m × m. The first (m × d) and the readout are linear in m and would spoil the exponent of
    an m × m layer. The solve belongs to no layer: the whole iteration keeps it.
    """
    if phase == "iteration":
        parts = [_counts(record, part, square=square and part != "solve") for part in PHASES]
        return {key: _sum([part[key] for part in parts]) for key in ("multiply_adds", "bytes")}
    counts = [
        (count.multiply_adds, count.bytes)
        for work in record.work[phase]
        for layer, count in work.layers.items()
        if not square or layer >= 2
    ]
    iterations = len(record.work[phase])
    if iterations == 0:
        return {"multiply_adds": None, "bytes": None}
    return {
        "multiply_adds": round(sum(adds for adds, _ in counts) / iterations),
        "bytes": round(sum(moved for _, moved in counts) / iterations),
    }


def _sum(values: Sequence[int | None]) -> int | None:
    return None if any(value is None for value in values) else sum(value for value in values if value is not None)


def _exponents(measurement: Measurement, name: str, phase: str) -> dict[str, Any]:
    plan = measurement.plan
    records = [measurement.records[name, m] for m in plan.widths]
    return {"work": _work_exponents(plan, records, phase), "time": _time_exponents(plan, records, phase)}


def _work_exponents(plan: Plan, records: Sequence[Record], phase: str) -> dict[str, Any]:
    """`value` is of the multiply-adds of the m × m layers; the solve has none and stands for itself."""
    m = np.array(plan.widths, dtype=np.float64)
    if phase == "solve":
        square = [_counts(record, phase, square=False) for record in records]
    else:
        square = [_counts(record, phase, square=True) for record in records]
    whole = [_counts(record, phase, square=False) for record in records]
    if plan.depth == 1 and phase != "solve":  # there is no m × m layer
        square = [{"multiply_adds": None, "bytes": None} for _ in records]

    def fitted(counts: Sequence[dict[str, int | None]], key: str) -> float | None:
        values = [count[key] for count in counts]
        return None if None in values else work_exponent(m, np.array(values, dtype=np.float64))

    adds = [count["multiply_adds"] for count in square]
    value = fitted(square, "multiply_adds")
    return {
        "value": value,
        "bytes": fitted(square, "bytes"),
        "whole": fitted(whole, "multiply_adds"),
        "whole_bytes": fitted(whole, "bytes"),
        "local": None if value is None else local_exponents(m, np.array(adds, dtype=np.float64)).tolist(),
    }


def _time_exponents(plan: Plan, records: Sequence[Record], phase: str) -> dict[str, Any]:
    if not all(record.seconds[phase] and min(record.seconds[phase]) > 0.0 for record in records):
        missing = {"value": None, "low": None, "high": None}  # the implementation does not report this phase
        return {**missing, "of_minimum": None, "floored": {**missing, "floor_seconds": None}, "local": None}
    seconds = np.array([record.seconds[phase] for record in records]).T
    fit = time_exponent(np.array(plan.widths, dtype=np.float64), seconds)
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
    }


def _against_dense(measurement: Measurement, name: str) -> dict[str, Any]:
    """Speed-up by width and crossover, both of the whole iteration."""
    widths = measurement.plan.widths
    dense, theirs = (
        np.array([measurement.records[who, m].seconds["iteration"] for m in widths]).T for who in (DENSE, name)
    )
    choices = round_choices(measurement.rounds)
    point = crossover(np.array(widths, dtype=np.float64), dense, theirs, choices)
    where = "below the widths measured" if point.m == 0.0 else "in range"
    return {
        "by_width": {
            str(m): {"value": ratio.value, **_ends(ratio.interval)}
            for m, ratio in zip(widths, ratios(dense, theirs, choices), strict=True)
        },
        "crossover": {
            "m": point.m if 0.0 < point.m < math.inf else None,
            "where": where if point.m < math.inf else "none in range",
            **_ends(point.interval),
        },
    }


def _ends(interval: Interval) -> dict[str, float | None]:
    """Both ends; None where there is none: a single round, or beyond the widths measured."""
    return {"low": _finite(interval.low), "high": _finite(interval.high)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
