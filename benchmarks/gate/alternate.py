"""Two versions measured in turn: window by window, in the same rounds, in fresh processes stage by stage.

Whatever the machine does hits both sides alike. A process has luck of its own, good or bad, from where its memory
lies; so every stage starts processes anew, and stages must agree on what is said to differ.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contestant import DENSE, DENSE_FACTORY
from benchmarks.gate.version import Version, together
from benchmarks.visit import Visit

#: Up to this width the dense rival takes the same steps, for the losses and outputs to be right.
WIDEST_DENSE = 2048
#: Up to this width memory is followed, and what is not timed is counted: building wider networks takes long.
WIDEST_COUNTED = 4096

Pair = tuple[Visit, Visit]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """What to measure of both versions.

    Attributes:
        timed: Implementations to be timed: name and factory.
        counted: Implementations of which only work, events and memory are compared.
        widths: m, increasing.
        iterations: Of a window.
        rounds: Of a stage.
        data: Name of the problem.
        samples: n.
        depth: L.
        learning_rate: Of the Gauss-Newton steps.
        seed: Chooses samples, weights and the order within rounds.
        device: A torch device.
        dtype: "float32" or "float64".
        threads: CPU threads, None for torch's own choice.
    """

    timed: dict[str, str]
    counted: dict[str, str]
    widths: tuple[int, ...]
    iterations: int
    rounds: int
    data: str
    samples: int
    depth: int
    learning_rate: float
    seed: int
    device: str
    dtype: str
    threads: int | None


@dataclass
class Evidence:
    """What was measured so far, always base first.

    Attributes:
        stages: Of each stage, by (name, m), the paired windows of its rounds.
        counted: By (name, m) one pair of windows, not timed.
        dense: By m the dense rival's window.
        memory: By (name, m) the peaks by kind.
    """

    stages: list[dict[tuple[str, int], list[Pair]]] = field(default_factory=list)
    counted: dict[tuple[str, int], Pair] = field(default_factory=dict)
    dense: dict[int, Visit] = field(default_factory=dict)
    memory: dict[tuple[str, int], tuple[dict[str, int], dict[str, int]]] = field(default_factory=dict)

    def pairs(self, name: str, m: int) -> list[list[Pair]]:
        """The timed windows, stage by stage."""
        return [stage[name, m] for stage in self.stages]

    def firsts(self) -> dict[tuple[str, int], Pair]:
        """One pair of windows of every (name, m), to read what is the same in all of them."""
        timed = {point: pairs[0] for stage in self.stages[:1] for point, pairs in stage.items()}
        return timed | self.counted


def measure(plan: Plan, folders: tuple[Path, Path], progress: Progress = lambda *_: None) -> Iterator[Evidence]:
    """Yields the same evidence after what is deterministic has been counted, and then after every stage.

    Args:
        plan: What to measure.
        folders: Of base and head.
        progress: Called with what is being done, the number of things done and that of all.

    Raises:
        BrokenError: where a version fails.
    """
    evidence = Evidence()
    order = random.Random(plan.seed)
    _count(plan, folders, evidence, progress)
    yield evidence
    while True:
        stage: dict[tuple[str, int], list[Pair]] = {(name, m): [] for name in plan.timed for m in plan.widths}
        versions = _start(plan, folders, plan.widths)
        try:
            for number in range(plan.rounds):
                for place, (name, m) in enumerate(order.sample(list(stage), len(stage))):
                    progress(f"stage {len(evidence.stages) + 1}", number * len(stage) + place, plan.rounds * len(stage))
                    stage[name, m].append(_pair(versions, name, m, order))
        finally:
            _stop(versions)
        evidence.stages.append(stage)
        yield evidence


def _count(plan: Plan, folders: tuple[Path, Path], evidence: Evidence, progress: Progress) -> None:
    """What is deterministic: both sides work at the same time."""
    widths = [m for m in plan.widths if m <= WIDEST_COUNTED]
    versions = _start(plan, folders, widths)
    points = [(name, m) for name in (*plan.timed, *plan.counted) for m in widths]
    try:
        for done, (name, m) in enumerate(points):
            progress("counting", done, len(points))
            request = {"implementation": name, "m": m, "round": 0}
            base, head = (Visit.of_plain(reply) for reply in together(versions, {"do": "visit", **request}))
            evidence.counted[name, m] = base, head
            before, after = together(versions, {"do": "memory", **request})
            evidence.memory[name, m] = before, after
        for m in (m for m in plan.widths if m <= WIDEST_DENSE):
            reply = versions[1].ask({"do": "visit", "implementation": DENSE, "m": m, "round": 0})
            evidence.dense[m] = Visit.of_plain(reply)
    finally:
        _stop(versions)


def _pair(versions: tuple[Version, Version], name: str, m: int, order: random.Random) -> Pair:
    """A window of each, in random order."""
    taken: dict[str, Visit] = {}
    for version in order.sample(versions, 2):
        reply = version.ask({"do": "visit", "implementation": name, "m": m, "round": 0})
        taken[version.side] = Visit.of_plain(reply)
    return taken["base"], taken["head"]


def _start(plan: Plan, folders: tuple[Path, Path], widths: Sequence[int]) -> tuple[Version, Version]:
    """A process for each side, ready, with the initial weights of some widths drawn."""
    setting: dict[str, Any] = {**asdict(plan), "draw": widths}
    setting["implementations"] = {DENSE: DENSE_FACTORY, **plan.timed, **plan.counted}
    base, head = (Version(side, folder, setting) for side, folder in zip(("base", "head"), folders, strict=True))
    versions = base, head
    try:
        for version in versions:
            version.receive()
    except BaseException:
        _stop(versions)
        raise
    return versions


def _stop(versions: tuple[Version, Version]) -> None:
    for version in versions:
        version.close()
