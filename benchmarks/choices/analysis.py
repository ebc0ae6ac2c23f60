"""From windows of steps to what choices.json holds: typical times, ratios to the best, verdicts, break-even points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.agreement import losses_agree
from benchmarks.choices.comparison import Comparison, Measure, Setting, Step
from benchmarks.choices.rounds import Outcome
from benchmarks.scaling import crossover, half_width, ratios, settle_columns
from benchmarks.visit import DAMPING
from reference.contract import PHASES
from reference.contract.shapes import Float

SCHEMA = 1


def analyse(outcome: Outcome, environment: dict[str, Any]) -> dict[str, Any]:
    """The contents of choices.json (benchmarks/README.md describes them).

    Args:
        outcome: With at least one complete round.
        environment: From benchmarks.environment.
    """
    plan = outcome.plan
    return {
        "schema": SCHEMA,
        "environment": environment,
        "problem": {
            "dtype": plan.dtype,
            "method": "gauss_newton",
            "learning_rate": plan.learning_rate,
            "damping": DAMPING,
            "seed": plan.seed,
            "rounds": outcome.rounds,
            "rounds_asked_for": plan.rounds,
            "interrupted": outcome.interrupted,
        },
        "comparisons": {comparison.name: _comparison(outcome, comparison) for comparison in plan.comparisons},
    }


def _comparison(outcome: Outcome, comparison: Comparison) -> dict[str, Any]:
    return {
        "title": comparison.title,
        "note": comparison.note,
        "baseline": comparison.choices[0].name,
        "axis": comparison.axis,
        "choices": {choice.name: choice.source for choice in comparison.choices},
        "measures": {measure.name: measure.title for measure in comparison.measures},
        "settings": [_setting(outcome, comparison, setting) for setting in comparison.settings],
        "break_even": _break_even(outcome, comparison),
    }


def _setting(outcome: Outcome, comparison: Comparison, setting: Setting) -> dict[str, Any]:
    entries: dict[str, dict[str, Any]] = {
        choice.name: _choice(outcome, comparison, setting, choice.name) for choice in comparison.choices
    }
    for measure in comparison.measures:
        for name, estimate in _estimates(outcome, comparison, setting, measure).items():
            entries[name]["measures"][measure.name] = estimate
    deciding = comparison.measures[0].name
    estimates = {name: entry["measures"][deciding] for name, entry in entries.items()}
    fastest = min(estimates, key=lambda name: float(estimates[name]["value"]))
    return {
        **setting._asdict(),
        "fastest": fastest,
        # Those that the noise does not tell apart from the fastest: with a single round, all of them.
        "as_fast": [
            name
            for name, estimate in estimates.items()
            if name != fastest and (estimate["ratio"]["low"] is None or estimate["ratio"]["low"] <= 1.0)
        ],
        "choices": entries,
    }


def _estimates(
    outcome: Outcome, comparison: Comparison, setting: Setting, measure: Measure
) -> dict[str, dict[str, Any]]:
    """For every choice what is typical of the rounds and its ratio to the least one, with intervals."""
    names = [choice.name for choice in comparison.choices]
    samples = np.stack([_samples(outcome, setting, name, measure) for name in names], axis=1)
    settled = settle_columns(samples)
    halves = half_width(settled.deviations.T)
    best = np.repeat(samples[:, [int(settled.typical.argmin())]], len(names), axis=1)
    return {
        name: {
            "seconds": samples[:, column].tolist(),
            "value": float(np.exp(typical)),
            **_ends(float(np.exp(typical - half)), float(np.exp(typical + half))),
            "ratio": {"value": ratio.value, **_ends(*ratio.interval)},
        }
        for column, (name, typical, half, ratio) in enumerate(
            zip(names, settled.typical, halves, ratios(samples, best), strict=True)
        )
    }


def _choice(outcome: Outcome, comparison: Comparison, setting: Setting, name: str) -> dict[str, Any]:
    """What is the same in every round is taken from the first."""
    rounds = outcome.windows[setting, name]
    first = [step.report for step in rounds[0]]
    active = [count for report in first for count in report.active_counts]
    return {
        "measures": {},
        "multiply_adds": {
            phase: _mean([report.work[phase].multiply_adds for report in first if phase in report.work])
            for phase in PHASES
        },
        "measured_multiply_adds": _mean([comparison.work(report, name) for report in first]),
        "seconds": {
            "iteration": [[step.seconds for step in steps] for steps in rounds],
            **{
                phase: [
                    [step.report.work[phase].seconds for step in steps if phase in step.report.work] for steps in rounds
                ]
                for phase in PHASES
            },
        },
        "losses": [_finite(report.loss) for report in first],
        "agreement": _agreement(outcome, comparison, setting, name),
        "active_share": float(np.mean(active)) / setting.m if active else None,
        "dead_samples": len(first[0].dead_samples),
        "folds": sum(report.folds for report in first),
        "recompressions": sum(report.recompressions for report in first),
        "ranks": list(first[-1].ranks),
        "solve": _solve(rounds[0]),
    }


def _solve(steps: Sequence[Step]) -> dict[str, Any]:
    """Of the first step, since later ones are other systems; of the backward error the worst, and all notes."""
    first, reports = steps[0].report, [step.report.solve for step in steps if step.report.solve is not None]
    notes = list(dict.fromkeys(note for step in steps for note in step.report.notes))
    if not reports:
        return {"solved_by": first.solver, "notes": notes}
    return {
        "solved_by": first.solver,
        "iterations": reports[0].iterations,
        "condition_before": _finite(reports[0].condition_before),
        "condition_after": _finite(reports[0].condition_after),
        "backward_error": _finite(max(report.backward_error for report in reports)),
        "tolerance": reports[0].tolerance,
        "notes": notes,
    }


def _agreement(outcome: Outcome, comparison: Comparison, setting: Setting, name: str) -> dict[str, Any]:
    """The worst over the rounds."""
    baseline = comparison.choices[0].name
    compared = [
        losses_agree(
            [step.report.loss for step in ours],
            [step.report.loss for step in theirs],
            outcome.problems[setting].y,
            m=setting.m,
            depth=setting.depth,
            dtype=outcome.plan.dtype,
        )
        for ours, theirs in zip(outcome.windows[setting, name], outcome.windows[setting, baseline], strict=True)
    ]
    worst = max(compared, key=lambda agreement: agreement.deviation)
    return {"agrees": worst.agrees, "deviation": _finite(worst.deviation), "step": worst.step}


def _break_even(outcome: Outcome, comparison: Comparison) -> list[dict[str, Any]]:
    """For settings that differ along the axis only: where each choice begins, or ceases, to beat the baseline."""
    lines: dict[Setting, list[Setting]] = {}
    for setting in comparison.settings:
        fixed_part = setting._replace(n=0) if comparison.axis == "n" else setting._replace(m=0)
        lines.setdefault(fixed_part, []).append(setting)
    baseline, *others = (choice.name for choice in comparison.choices)
    found = []
    for line in lines.values():
        line.sort(key=lambda setting: getattr(setting, comparison.axis))
        axis = [getattr(setting, comparison.axis) for setting in line]
        fixed = {key: value for key, value in line[0]._asdict().items() if key not in (comparison.axis, "comparison")}
        for name in others:
            theirs, base = (
                np.stack([_samples(outcome, setting, who, comparison.measures[0]) for setting in line], axis=1)
                for who in (name, baseline)
            )
            point = _point(np.array(axis, dtype=np.float64), base, theirs)
            found.append({**fixed, comparison.axis: axis, "choice": name, **point})
    return found


def _point(
    axis: Float[np.ndarray, " points"],
    baseline: Float[np.ndarray, "rounds points"],
    choice: Float[np.ndarray, "rounds points"],
) -> dict[str, Any]:
    """The ratios along the axis, and where the choice wins: throughout, from, up to some point, or nowhere."""
    begins, ceases = crossover(axis, baseline, choice), crossover(axis, choice, baseline)
    if math.isfinite(begins.m):
        where, point = ("from" if begins.m > 0.0 else "throughout"), begins
    else:
        where, point = ("up to" if ceases.m > 0.0 else "nowhere"), ceases
    at = point.m if 0.0 < point.m < math.inf else None
    ends = (end if 0.0 < end < math.inf else None for end in point.interval)
    return {
        "ratios": [{"value": ratio.value, **_ends(*ratio.interval)} for ratio in ratios(baseline, choice)],
        "wins": where,
        "at": at,
        **dict(zip(("low", "high"), ends, strict=True)),
    }


def _samples(outcome: Outcome, setting: Setting, name: str, measure: Measure) -> Float[np.ndarray, " rounds"]:
    return np.array([measure.of(steps, name) for steps in outcome.windows[setting, name]], dtype=np.float64)


def _mean(numbers: Sequence[int]) -> int | None:
    return round(sum(numbers) / len(numbers)) if numbers else None


def _ends(low: float, high: float) -> dict[str, float | None]:
    return {"low": _finite(low), "high": _finite(high)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
