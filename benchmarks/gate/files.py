"""From two files of results to quantities. Two runs share no rounds: what they share is the dense rival.

Every round of a run times the dense rival beside the implementation. Their ratio does not depend on what the machine
did in that hour, and little on which machine it was. So times are compared relative to the rival's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.analysis import SCHEMA
from benchmarks.gate.quantity import EXPONENT_MARGIN, MEMORY_MARGIN, TIME_MARGIN, Quantity, exact, unpaired
from benchmarks.gate.verdict import BrokenError
from reference.contract import PHASES, ArgumentError

#: Of `problem` in scaling.json, what must be the same.
SAME = (
    *("data", "samples", "dimension", "depth", "dtype", "method", "learning_rate", "damping", "seed"),
    *("widths", "iterations"),
)
#: Of `environment`, what is worth a remark.
REMARKED = ("cpu", "cores", "threads", "device", "torch", "blas")


def read_results(argument: str, name: str) -> dict[str, Any]:
    """A scaling.json.

    Args:
        argument: For the error message.
        name: The file's.

    Raises:
        ArgumentError: for a file that is missing or is none of this schema.
    """
    try:
        document = json.loads(Path(name).read_text(encoding="utf-8"))
        schema = document["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArgumentError(argument, "a scaling.json", f"{name!r} ({error})") from None
    if schema != SCHEMA or "implementations" not in document:
        raise ArgumentError(argument, f"a scaling.json of schema {SCHEMA}", f"{name!r} of schema {schema!r}")
    result: dict[str, Any] = document
    return result


def quantities(base: dict[str, Any], head: dict[str, Any]) -> list[Quantity]:
    """All that two results are compared by.

    Args:
        base: Contents of a scaling.json.
        head: Of another, of the same problem.

    Raises:
        ArgumentError: for results of different problems, or without an implementation in common.
        BrokenError: where an implementation of head disagrees with the dense rival.
    """
    for key in SAME:
        before, after = base["problem"].get(key), head["problem"].get(key)
        if before != after:
            raise ArgumentError("HEAD", f"results of the same problem: {key} = {before!r}", repr(after))
    rival = base["baseline"]
    names = [name for name in base["implementations"] if name in head["implementations"] and name != rival]
    if not names:
        raise ArgumentError("HEAD", f"an implementation among {', '.join(base['implementations'])}", "others only")
    return [quantity for name in names for quantity in _of(base, head, name, rival)]


def remarks(base: dict[str, Any], head: dict[str, Any]) -> list[str]:
    """Conditions that differ."""
    return [
        f"{key} differs: {base['environment'].get(key)} and {head['environment'].get(key)}"
        for key in REMARKED
        if base["environment"].get(key) != head["environment"].get(key)
    ]


def _of(base: dict[str, Any], head: dict[str, Any], name: str, rival: str) -> Iterator[Quantity]:
    before, after = (_relative(document, name, rival) for document in (base, head))
    widths = base["problem"]["widths"]
    for column, m in enumerate(widths):
        what = f"iteration at m = {m}, relative to {rival}"
        yield unpaired(name, what, before[:, column], after[:, column], TIME_MARGIN)
    x = np.log(np.array(widths, dtype=np.float64))
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    what = f"exponent of an iteration, relative to {rival}"
    yield unpaired(name, what, before @ weights, after @ weights, EXPONENT_MARGIN, unit="exponent")
    points = (document["implementations"][name]["points"] for document in (base, head))
    for one, other in zip(*points, strict=True):
        if not other["agreement"]["agrees"]:
            raise BrokenError(f"head: {name} at m = {other['m']} differs from {rival}")
        yield from _point(name, one, other)


def _point(name: str, base: dict[str, Any], head: dict[str, Any]) -> Iterator[Quantity]:
    m = base["m"]
    for phase in PHASES:
        for kind, words in (("multiply_adds", "multiply-adds"), ("bytes", "bytes")):
            before, after = (point["phases"][phase][kind] for point in (base, head))
            if before is not None and after is not None:
                yield exact(name, f"counted {words} of {phase} at m = {m}", before, after)
    for event in ("anchors", "folds", "recompressions"):
        yield exact(name, f"{event} in a window at m = {m}", base[event], head[event])
    before, after = (point["extra_memory_bytes"] for point in (base, head))
    if before is not None and after is not None:
        yield exact(name, f"extra memory of iteration at m = {m}", before, after, MEMORY_MARGIN)


def _relative(document: dict[str, Any], name: str, rival: str) -> np.ndarray:
    """Logarithms of the times over the rival's, (rounds, widths)."""
    times = (
        np.array([point["phases"]["iteration"]["seconds"] for point in document["implementations"][who]["points"]]).T
        for who in (name, rival)
    )
    ours, theirs = times
    logs: np.ndarray = np.log(ours / theirs)
    return logs
