"""The files of a comparison of choices: choices.json, choices.csv with the raw samples, choices.md with the tables."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from benchmarks.choices.rounds import Outcome
from benchmarks.choices.tables import markdown
from benchmarks.files import write_atomically
from reference.contract import PHASES

CSV_COLUMNS = (
    *("comparison", "batch", "n", "m", "depth", "b", "window"),
    *("choice", "round", "step", "phase", "seconds", "multiply_adds"),
)


def write(document: dict[str, Any], outcome: Outcome, folder: Path) -> list[Path]:
    """Writes the three files, each as a whole or not at all.

    Args:
        document: From benchmarks.choices.analysis.
        outcome: Its raw samples.
        folder: Where; it exists.

    Returns:
        The files' paths.
    """
    contents = {
        "choices.json": json.dumps(document, indent=1, allow_nan=False) + "\n",
        "choices.csv": _raw_samples(outcome),
        "choices.md": markdown(document),
    }
    paths = [folder / name for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        write_atomically(path, content.encode())
    return paths


def _raw_samples(outcome: Outcome) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for (setting, choice), rounds in outcome.windows.items():
        for turn, steps in enumerate(rounds):
            for number, step in enumerate(steps):
                where = (*setting, choice, turn, number)  # an empty b is the default threshold
                adds = sum(work.multiply_adds for work in step.report.work.values())
                writer.writerow((*where, "iteration", repr(step.seconds), adds))
                for phase in PHASES:
                    if phase in step.report.work:
                        work = step.report.work[phase]
                        writer.writerow((*where, phase, repr(work.seconds), work.multiply_adds))
    return text.getvalue()
