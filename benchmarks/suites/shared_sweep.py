"""One interleaved sweep of every device, which all trackers read.

asv refuses anything but a positive float, and takes less for better. So ratios are those of times, ours over dense;
what an implementation does not have is NaN, which asv shows as missing; and what is zero or negative, as the exponent
of a cost that does not grow, is tracked as the least value that is worth telling from it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from . import settings
from .conditions import refuse_changes

#: The least values tracked. Small ones are noise, of which asv's ratios would make steps.
LEAST_EXPONENT = 0.1
LEAST_SECONDS = 1e-6
LEAST_BYTES = 1.0

#: By device what benchmarks.analysis found, and the share of the processors that other processes had meanwhile.
Documents = dict[str, dict[str, Any]]


class SharedSweep:
    """What all trackers have in common. The parameters of each begin with the device and the implementation."""

    version = settings.VERSION
    timeout = 60

    def setup_cache(self) -> Documents:
        """Measures and analyses; asv calls it once in a run."""
        # Imported here, as the processes of the trackers, hundreds of them, would import torch only to read a number.
        import torch

        refuse_changes()
        available = [device for device in settings.DEVICES if device != "cuda" or torch.cuda.is_available()]
        return {device: _measured(device) for device in available}

    setup_cache.timeout = 300 + len(settings.DEVICES) * 2 * settings.BUDGET  # type: ignore[attr-defined]

    def setup(self, documents: Documents, device: str, name: str, *_: Any) -> None:
        """Skips a device that torch cannot use, and fails where the numbers would be those of wrong answers."""
        if device not in documents:
            raise NotImplementedError(f"torch cannot use {device} here")
        points = documents[device]["implementations"][name]["points"]
        wrong = [point["m"] for point in points if not point["agreement"]["agrees"]]
        if wrong:
            raise RuntimeError(f"{name} disagrees with the dense rival at m = {', '.join(map(str, wrong))}")


def tracked(value: float | None, least: float) -> float:
    """A number as asv takes it.

    Args:
        value: None or NaN where there is none.
        least: What is returned in place of anything below it; positive.
    """
    return math.nan if value is None or math.isnan(value) else max(float(value), least)


def point(documents: Documents, device: str, name: str, m: int) -> dict[str, Any] | None:
    """What is known of an implementation at one width; None where the device's sweep has no such width."""
    points: list[dict[str, Any]] = documents[device]["implementations"][name]["points"]
    return next((entry for entry in points if entry["m"] == m), None)


def _measured(device: str) -> dict[str, Any]:
    from benchmarks.analysis import analyse
    from benchmarks.contestant import load_contestants
    from benchmarks.environment import environment
    from benchmarks.journal import open_journal
    from benchmarks.load import LoadMeter
    from benchmarks.sweep import Plan, sweep
    from benchmarks.visit import Training
    from reference.contract import load_problem

    problem = load_problem("digits", settings.SAMPLES)
    training = Training(problem, settings.ITERATIONS, settings.LEARNING_RATE, device, "float32")
    widths, rounds, budget = settings.WIDTHS[device], settings.ROUNDS, settings.BUDGET
    plan = Plan(training, widths, settings.DEPTH, seed=0, rounds=rounds, budget=budget, precision=0.0)
    sources = [f"{name}={source}" for name, source in settings.IMPLEMENTATIONS.items()]
    contestants = load_contestants(sources, dtype=training.dtype)
    folder = Path.cwd() / device  # of a temporary folder: asv chooses one for the run
    folder.mkdir()
    journal, meter = open_journal(folder, {}, fresh=True), LoadMeter()
    try:
        measurement = sweep(plan, contestants, journal)
    finally:
        journal.close()
    others = meter.others()
    document = {**analyse(measurement, contestants, environment(device)), "others_meanwhile": others}
    # asv pickles it. Plain types alone are read without an import: torch's version is a string of torch's own.
    plain: dict[str, Any] = json.loads(json.dumps(document))
    return plain
