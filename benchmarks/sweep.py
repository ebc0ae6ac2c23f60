"""A sweep over the width: all implementations at all widths, one iteration at a time, in random order.

Rounds interleave widths and implementations, so that a machine that slows down slows all of them down. Every raw
sample is kept. Before each timed iteration the same implementation takes an untimed one, so that a narrow network
is not measured with the caches that a wide one left behind.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch

from benchmarks.contestant import Contestant
from benchmarks.memory import extra_memory
from reference.contract import PHASES, Implementation, PhaseWork, Problem, StepReport
from reference.contract.arguments import affordable
from reference.initialization import random_network

#: The phases of a sweep: construction, the phases of a step, and the step as a whole.
ALL_PHASES = ("initialization", *PHASES, "iteration")

WARM_UP_STEPS = 2
INITIALIZATIONS = 3
DAMPING = 1e-6


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        problem: Samples and targets.
        widths: m, all layers alike; increasing.
        depth: L.
        rounds: How often every implementation is timed at every width.
        learning_rate: Of the Gauss-Newton steps; their damping is 1e-6.
        seed: Chooses weights and the order within rounds.
        device: A torch device.
        dtype: "float32" or "float64".
    """

    problem: Problem
    widths: tuple[int, ...]
    depth: int
    rounds: int
    learning_rate: float
    seed: int
    device: str
    dtype: str


@dataclass
class Record:
    """What was measured of one implementation at one width, round by round.

    Attributes:
        seconds: By phase the raw samples; "initialization" has samples of its own, not one a round.
        work: By phase of a step the counted work of every timed iteration, and that of one construction.
        losses: Of every step, the untimed ones included: the same list for implementations that agree.
        extra_memory: Peak bytes of one iteration beyond the weights; None if not measured.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: {phase: [] for phase in ALL_PHASES})
    work: dict[str, list[PhaseWork]] = field(
        default_factory=lambda: {phase: [] for phase in ALL_PHASES if phase != "iteration"}
    )
    losses: list[float] = field(default_factory=list)
    extra_memory: int | None = None


@dataclass
class Measurement:
    """A sweep's outcome.

    Attributes:
        plan: What was asked for.
        names: The implementations.
        records: By (name, m).
        rounds: Complete rounds; samples of an incomplete one are not kept.
        interrupted: Whether it was stopped before the last round.
    """

    plan: Plan
    names: tuple[str, ...]
    records: dict[tuple[str, int], Record]
    rounds: int = 0
    interrupted: bool = False


def sweep(
    plan: Plan, contestants: Sequence[Contestant], progress: Callable[[str, int, int], None] = lambda *_: None
) -> Measurement:
    """Measures; Ctrl-C ends it early with the rounds that are complete.

    Args:
        plan: What to measure.
        contestants: Whom.
        progress: Called with what is being done, the number of things done and that of all.

    Raises:
        ArgumentError: for networks that together exceed the memory, and whatever the factories refuse.
        KeyboardInterrupt: where not a single round was complete.
        SolveError: where a step fails.
    """
    _check_memory(plan, contestants)
    names = tuple(contestant.name for contestant in contestants)
    measurement = Measurement(plan, names, {(name, m): Record() for name in names for m in plan.widths})
    total = len(plan.widths) * (2 + len(contestants) * plan.rounds)
    order = random.Random(plan.seed)
    networks = _initialize(plan, contestants, measurement, order, lambda done: progress("initialization", done, total))
    done = len(plan.widths)
    points = list(networks)
    try:
        for number in range(plan.rounds):
            samples = {}
            gc.collect()
            order.shuffle(points)
            for name, m in points:
                progress(f"round {number + 1} of {plan.rounds}", done, total)
                samples[name, m] = _visit(plan, networks[name, m])
                done += 1
            for point, (seconds, first, second) in samples.items():
                _keep(measurement.records[point], seconds, first, second)
            measurement.rounds += 1
        for index, m in enumerate(plan.widths, start=1):
            progress("memory", done + index, total)
            for name in names:
                record, network = measurement.records[name, m], networks[name, m]
                record.extra_memory = extra_memory(partial(_step, plan, network), plan.device)
    except KeyboardInterrupt:
        if measurement.rounds == 0:
            raise
        measurement.interrupted = True
    progress("done", total, total)
    return measurement


def _initialize(
    plan: Plan,
    contestants: Sequence[Contestant],
    measurement: Measurement,
    order: random.Random,
    progress: Callable[[int], None],
) -> dict[tuple[str, int], Implementation]:
    """Builds every implementation at every width, several times for the clock, and takes the warm-up steps."""
    built: dict[tuple[str, int], Implementation] = {}
    inputs = plan.problem.X.shape[1]
    for contestant in contestants:  # compilers and libraries start here, not under the clock
        contestant.factory(
            random_network(inputs, [plan.widths[0]] * plan.depth, seed=plan.seed, dtype=plan.dtype),
            device=plan.device,
            dtype=plan.dtype,
        )
    for done, m in enumerate(plan.widths):
        progress(done)
        network = random_network(inputs, [m] * plan.depth, seed=plan.seed, dtype=plan.dtype)
        turns = [contestant for contestant in contestants for _ in range(INITIALIZATIONS)]
        order.shuffle(turns)
        for contestant in turns:
            point = contestant.name, m
            built.pop(point, None)  # at most one copy of each is alive
            begin = now(plan.device)
            implementation = contestant.factory(network, device=plan.device, dtype=plan.dtype)
            measurement.records[point].seconds["initialization"].append(now(plan.device) - begin)
            built[point] = implementation
        for contestant in contestants:
            point = contestant.name, m
            work = getattr(built[point], "initialization", None)
            if isinstance(work, PhaseWork):
                measurement.records[point].work["initialization"].append(work)
            for _ in range(WARM_UP_STEPS):
                measurement.records[point].losses.append(_step(plan, built[point]).loss)
    return built


def _visit(plan: Plan, implementation: Implementation) -> tuple[float, StepReport, StepReport]:
    """An untimed iteration, then a timed one: seconds of the second, reports of both."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        first = _step(plan, implementation)
        begin = now(plan.device)
        second = _step(plan, implementation)
        return now(plan.device) - begin, first, second
    finally:
        if enabled:
            gc.enable()


def _keep(record: Record, seconds: float, first: StepReport, second: StepReport) -> None:
    record.losses += [first.loss, second.loss]
    record.seconds["iteration"].append(seconds)
    if not second.work:  # an implementation that counts nothing
        return
    for phase in PHASES:
        work = second.work.get(phase, PhaseWork())
        record.seconds[phase].append(work.seconds)
        record.work[phase].append(work)


def _step(plan: Plan, implementation: Implementation) -> StepReport:
    return implementation.step(
        plan.problem.X, plan.problem.y, method="gauss_newton", learning_rate=plan.learning_rate, damping=DAMPING
    )


def now(device: str) -> float:
    """The clock's time in seconds, when the device has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _check_memory(plan: Plan, contestants: Sequence[Contestant]) -> None:
    itemsize = 4 if plan.dtype == "float32" else 8
    inputs = plan.problem.X.shape[1]
    sizes = [itemsize * (m * inputs + (plan.depth - 1) * m * m) for m in plan.widths]
    # Every implementation holds a copy of its own, and the widest network itself is alive beside them.
    affordable("widths", sum(sizes) * len(contestants) + max(sizes))
