"""One visit of a sweep: an implementation is built and takes a window of iterations, each timed and counted.

Every window starts from the same weights, so that all rounds and implementations do the same thing, and so that work
put off (a fold, a recompression, a new certificate) comes where it comes in training: a window's mean is an amortized
cost, with the spikes in it.
"""

from __future__ import annotations

import gc
import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch

from benchmarks.contestant import Contestant
from reference.contract import PHASES, Network, PhaseWork, Problem, StepReport, capabilities_of

DAMPING = 1e-6


class Counts(NamedTuple):
    """Counted work of one phase of one iteration, over the whole network and over its m × m layers ℓ ≥ 2."""

    multiply_adds: int = 0
    bytes: int = 0
    square_multiply_adds: int = 0
    square_bytes: int = 0


@dataclass(frozen=True)
class Training:
    """What is trained, and how.

    Attributes:
        problem: Samples and targets.
        iterations: Of a window.
        learning_rate: Of the steps; "stable" until it is known for a network (benchmarks/learning_rate.py).
        device: A torch device.
        dtype: "float32" or "float64".
        method: Of the steps; the damping of Gauss-Newton is DAMPING.
        tf32: Whether products of float32 may be rounded to TF32, as CUDA can; whoever measures sets torch so.
    """

    problem: Problem
    iterations: int
    learning_rate: float | str
    device: str
    dtype: str
    method: str = "gauss_newton"
    tf32: bool = False


@dataclass(frozen=True)
class Visit:
    """What was measured.

    Attributes:
        round: In which round, counted from 0.
        implementation: Whose name.
        m: At which width.
        construction: Seconds of building the implementation from the network.
        construction_work: Its counted work, where it is reported.
        seconds: By phase, and for "iteration" as a whole, one for each iteration of the window; of phases that the
            implementation does not report, nothing.
        work: By phase the counts, one for each iteration; empty where nothing is counted.
        losses: Before each iteration.
        outputs: After the last one, sample by sample; empty where the implementation evaluates none.
        anchors: Of each iteration.
        folds: Of each iteration.
        recompressions: Of each iteration.
        learning_rate: Of the steps; None in samples from before it was kept.
        notes: What the steps reported beside the plain course, each note once.
    """

    round: int
    implementation: str
    m: int
    construction: float
    construction_work: Counts | None = None
    seconds: dict[str, list[float]] = field(default_factory=dict)
    work: dict[str, list[Counts]] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    outputs: list[float] = field(default_factory=list)
    anchors: list[int] = field(default_factory=list)
    folds: list[int] = field(default_factory=list)
    recompressions: list[int] = field(default_factory=list)
    learning_rate: float | None = None
    notes: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """In plain JSON types; numbers that are not finite become null."""
        plain = asdict(self)
        for key in ("losses", "outputs"):
            plain[key] = [value if math.isfinite(value) else None for value in plain[key]]
        return plain

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> Visit:
        """From plain JSON types."""
        counted = plain["construction_work"]
        numbers = {key: [math.nan if value is None else value for value in plain[key]] for key in ("losses", "outputs")}
        return cls(
            **{
                **plain,
                **numbers,
                "construction_work": None if counted is None else Counts(*counted),
                "work": {phase: [Counts(*counts) for counts in window] for phase, window in plain["work"].items()},
            }
        )


def visit(
    training: Training, contestant: Contestant, network: Network, number: int, *, deadline: float = math.inf
) -> Visit:
    """Builds the implementation, takes a window of iterations, and reports.

    Args:
        training: What is trained, and how.
        contestant: Whom to visit.
        network: Initial weights, all hidden layers of one width.
        number: Of the round.
        deadline: By time.perf_counter; the window ends before an iteration that would begin later.

    Raises:
        ArgumentError: for what the factory or the step refuses.
        SolveError: where a step fails.
    """
    device = training.device
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        begin = now(device)
        implementation = contestant.factory(network, device=device, dtype=training.dtype)
        built = now(device) - begin
        initial = getattr(implementation, "initialization", None)
        work = counts(initial) if isinstance(initial, PhaseWork) else None
        rate = float(training.learning_rate)
        taken = Visit(number, contestant.name, network.widths[-1], built, work, learning_rate=rate)
        for _ in range(training.iterations):
            begin = now(device)
            if begin > deadline:
                break
            report = step(training, implementation)
            _add(taken, now(device) - begin, report)
    finally:
        if enabled:
            gc.enable()
    if "forward" in capabilities_of(contestant.factory).operations and hasattr(implementation, "forward"):
        taken.outputs.extend(implementation.forward(training.problem.X).ravel().tolist())
    return taken


def step(training: Training, implementation: Any) -> StepReport:
    """One iteration."""
    report: StepReport = implementation.step(
        training.problem.X,
        training.problem.y,
        method=training.method,
        learning_rate=training.learning_rate,
        damping=DAMPING,
    )
    return report


def now(device: str) -> float:
    """The clock's time in seconds, when the device has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def counts(work: PhaseWork) -> Counts:
    """The layers ℓ ≥ 2 are m × m; the first (m × d) and the readout are linear in m."""
    square = [layer for number, layer in work.layers.items() if number >= 2]
    return Counts(
        work.multiply_adds,
        work.bytes,
        sum(layer.multiply_adds for layer in square),
        sum(layer.bytes for layer in square),
    )


def _add(taken: Visit, seconds: float, report: StepReport) -> None:
    taken.seconds.setdefault("iteration", []).append(seconds)
    taken.losses.append(float(report.loss))
    for number, total in (
        (report.anchors, taken.anchors),
        (report.folds, taken.folds),
        (report.recompressions, taken.recompressions),
    ):
        total.append(number)
    taken.notes.extend(note for note in dict.fromkeys(report.notes) if note not in taken.notes)
    if not report.work:  # an implementation that counts nothing
        return
    for phase in PHASES:
        work = report.work.get(phase, PhaseWork())
        taken.seconds.setdefault(phase, []).append(work.seconds)
        taken.work.setdefault(phase, []).append(counts(work))
