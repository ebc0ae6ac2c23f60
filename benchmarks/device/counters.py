"""Counted work on the device against the CPU's: the same problem must count the same, step by step, layer by layer."""

from __future__ import annotations

from typing import Any

from benchmarks.contestant import Contestant
from benchmarks.visit import Training, step
from reference.contract import Network, StepReport

MOST_DIFFERENCES = 10


def compare_counts(training: Training, contestant: Contestant, network: Network, device: str) -> dict[str, Any]:
    """Takes the same steps on the CPU and on the device.

    In float64 no unit is so near its threshold that the two would decide it differently, and what is counted are sizes
    of index sets: so every count must be equal.

    Args:
        training: Its iterations are taken; its device is not read.
        contestant: Whom to compare.
        network: Initial weights.
        device: The device that is held against the CPU.

    Returns:
        In plain JSON types: the steps, whether all counts are equal, the multiply-adds by phase, and the first
        differences.
    """
    here, there = (contestant.factory(network, device=where, dtype=training.dtype) for where in ("cpu", device))
    differences: list[dict[str, Any]] = []
    totals: dict[str, dict[str, int]] = {}
    for number in range(training.iterations):
        cpu, other = step(training, here), step(training, there)
        for key, expected in (counted := _counts(cpu)).items():
            if _counts(other).get(key) != expected:
                differences.append({"step": number, "what": key, "cpu": expected, "device": _counts(other).get(key)})
        differences += [{"step": number, "what": key, "cpu": None} for key in _counts(other).keys() - counted.keys()]
        for name, report in (("cpu", cpu), ("device", other)):
            for phase, work in report.work.items():
                of_phase = totals.setdefault(phase, {"cpu": 0, "device": 0})
                of_phase[name] += work.multiply_adds
    return {
        "implementation": contestant.name,
        "m": network.widths[-1],
        "dtype": training.dtype,
        "steps": training.iterations,
        "equal": not differences,
        "multiply_adds": totals,
        "differences": differences[:MOST_DIFFERENCES],
    }


def _counts(report: StepReport) -> dict[str, int]:
    counted = {
        f"{what} of {phase}, layer {layer}": getattr(work, what)
        for phase, of_phase in report.work.items()
        for layer, work in of_phase.layers.items()
        for what in ("multiply_adds", "bytes")
    }
    return counted | {name: getattr(report, name) for name in ("anchors", "folds", "recompressions")}
