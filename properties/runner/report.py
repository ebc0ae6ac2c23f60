"""The result of a run, as text and as JSON (the fields are told in properties/README.md)."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from properties.runner.run import Outcome
from properties.runner.subject import Subject

#: Of the JSON; a field that changes its meaning, or is taken away, raises it.
SCHEMA = 1


def outcome_lines(outcome: Outcome) -> list[str]:
    """One line, and below it why it was skipped, failed or is disputed."""
    state = "FAILED" if outcome.state == "failed" else outcome.state
    line = f"  {state:8} {outcome.name} ({outcome.examples} cases, {outcome.seconds:.1f} s"
    if outcome.seconds_to_failure is not None:
        line += f"; first failure at case {outcome.examples_to_failure}, after {outcome.seconds_to_failure:.1f} s"
    below = [outcome.skipped] if outcome.skipped else []
    if outcome.disputed:
        below.append(f"the oracles disagree, and no implementation is blamed: {outcome.disputed}")
    if outcome.record:
        below += str(outcome.record).splitlines()
    return [line + ")", *(f"           {text}" for text in below)]


def counts(subject: Subject, outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many properties ended how, and what no bound could judge."""
    states = Counter(outcome.state for outcome in outcomes)
    return {state: states[state] for state in ("passed", "failed", "skipped", "disputed")} | {
        "units": subject.units,
        "ambiguous_units": subject.ambiguous_units,
        "steps": subject.steps,
        "open_steps": subject.unresolved_steps,
    }


def count_lines(counted: dict[str, int]) -> list[str]:
    """The counts as text; the last line has passed, failed and skipped."""
    lines = [
        f"ambiguous units {counted['ambiguous_units']} of {counted['units']}; "
        f"Gauss–Newton steps that rounding leaves open {counted['open_steps']} of {counted['steps']}"
    ]
    if counted["disputed"]:
        lines.append(f"{counted['disputed']} disputed: the oracles disagree, and no implementation is blamed")
    return [*lines, f"{counted['passed']} passed, {counted['failed']} failed, {counted['skipped']} skipped"]


def as_data(
    header: dict[str, Any], subject: Subject, outcomes: Sequence[Outcome], *, seconds: float, interrupted: bool
) -> dict[str, Any]:
    """The whole run as plain data."""
    return {
        "schema": SCHEMA,
        "header": header,
        "interrupted": interrupted,
        "seconds": seconds,
        "counts": counts(subject, outcomes),
        "outcomes": [
            {
                "property": outcome.name,
                "state": outcome.state,
                "examples": outcome.examples,
                "seconds": outcome.seconds,
                "examples_to_failure": outcome.examples_to_failure,
                "seconds_to_failure": outcome.seconds_to_failure,
                "skipped": outcome.skipped,
                "disputed": outcome.disputed,
                "failure": outcome.record.as_data() if outcome.record else None,
            }
            for outcome in outcomes
        ],
    }


def write_json(path: str, data: dict[str, Any]) -> None:
    """Writes to a file, whole or not at all, or to standard output where the path is "-".

    Infinities and NaN, which JSON has not, become the strings "Infinity", "-Infinity" and "NaN".
    """
    text = json.dumps(_finite(data), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if path == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    target = Path(path)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
