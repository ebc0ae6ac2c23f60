"""A sweep over the width: all implementations at all widths, one window of iterations at a time, in random order.

Rounds interleave widths and implementations, so that a machine that slows down slows all of them down. Every raw
sample is kept, in a journal as soon as it is taken, and a sweep that was cut off goes on from there. Rounds are added
until the exponents are as precise as asked for, or the time is used up.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from benchmarks.contestant import DENSE, Contestant, as_stored
from benchmarks.journal import Journal
from benchmarks.learning_rate import settled
from benchmarks.memory import extra_memory
from benchmarks.scaling import plain_exponent, ratios, settle_rounds
from benchmarks.visit import Training, Visit, step, visit
from reference.contract import Network
from reference.contract.arguments import affordable
from reference.initialization import random_network

#: Fewer rounds than these are taken only where time runs out; two are taken in any case.
FEWEST_ROUNDS = 5
FEWEST_ROUNDS_IN_TIME = 2
#: Iterations over which memory is followed, at most.
MEMORY_WINDOW = 8

_WARM_UP_ITERATIONS = 2


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        training: What is trained at every width.
        widths: m, all layers alike; increasing.
        depth: L.
        seed: Chooses weights and the order within rounds.
        rounds: How often every implementation is visited at every width, at most.
        budget: Seconds after which no further round is begun.
        precision: Rounds end when every time exponent of an iteration is known to ± this.
    """

    training: Training
    widths: tuple[int, ...]
    depth: int
    seed: int
    rounds: int
    budget: float
    precision: float


@dataclass
class Measurement:
    """A sweep's outcome.

    Attributes:
        plan: What was asked for.
        names: The implementations.
        visits: By (name, m), one for each complete round, in their order; those of an incomplete round are in the
            journal only.
        extra_memory: By (name, m) the peak bytes of an iteration beyond what was held before it.
        rounds: Complete ones.
        ended_by: "rounds", "precision", "budget" or "interruption".
    """

    plan: Plan
    names: tuple[str, ...]
    visits: dict[tuple[str, int], list[Visit]]
    extra_memory: dict[tuple[str, int], int] = field(default_factory=dict)
    rounds: int = 0
    ended_by: str = "interruption"

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before it was done."""
        return self.ended_by == "interruption"


def sweep(
    plan: Plan,
    contestants: Sequence[Contestant],
    journal: Journal,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Measurement:
    """Measures; Ctrl-C ends it early with the rounds that are complete.

    Args:
        plan: What to measure.
        contestants: Whom.
        journal: Where every sample goes; what it holds already is not measured again. Its end is for the caller to
            write, when the results are on disk.
        progress: Called with what is being done, the number of things done and that of all.

    Raises:
        ArgumentError: for networks that together exceed the memory, and whatever the factories refuse.
        KeyboardInterrupt: where not a single round was complete.
        SolveError: where a step fails.
    """
    check_memory(plan)
    points = [(contestant, m) for contestant in contestants for m in plan.widths]
    measurement = Measurement(
        plan, tuple(contestant.name for contestant in contestants), {(who.name, m): [] for who, m in points}
    )
    taken, spent = dict[tuple[int, str, int], Visit](), dict[tuple[int, str, int], float]()
    for entry in journal.entries:
        if entry["kind"] == "visit":
            known = Visit.of_plain(entry["visit"])
            taken[known.round, known.implementation, known.m] = known
            spent[known.round, known.implementation, known.m] = entry["elapsed"]
    elapsed = 0.0  # as if nothing had cut the sweep off: round by round, of those in the journal, too
    networks = _Networks(plan, contestants)
    try:
        _warm_up(plan, contestants, networks)
        for number in range(plan.rounds):
            begin = elapsed
            for place, (contestant, m) in enumerate(_order(plan, points, number)):
                key = number, contestant.name, m
                progress(f"round {number + 1}", number * len(points) + place, (plan.rounds + 1) * len(points))
                if key not in taken:
                    started = time.perf_counter()
                    taken[key] = visit(networks.training(m), contestant, networks.of(m), number)
                    spent[key] = time.perf_counter() - started
                    journal.append({"kind": "visit", "elapsed": spent[key], "visit": taken[key].plain()})
                elapsed += spent[key]
            for contestant, m in points:
                measurement.visits[contestant.name, m].append(taken[number, contestant.name, m])
            measurement.rounds = number + 1
            ended_by = _ended_by(measurement, elapsed, elapsed - begin)
            if ended_by is not None:
                break
        for done, (name, m, peak) in enumerate(_memory(plan, points, networks, journal)):
            measurement.extra_memory[name, m] = peak
            progress("memory", plan.rounds * len(points) + done, (plan.rounds + 1) * len(points))
        measurement.ended_by = ended_by or "rounds"
    except KeyboardInterrupt:
        if measurement.rounds == 0:
            raise
    return measurement


class _Networks:
    """Initial networks, one for every width, drawn when first asked for, that all contestants can hold.

    With them come the learning rates of their training; the first contestant says which are stable.
    """

    def __init__(self, plan: Plan, contestants: Sequence[Contestant]):
        self._plan, self._contestants, self._judge = plan, contestants, contestants[0]
        self._kept, self._trainings = dict[int, Network](), dict[int, Training]()

    def of(self, m: int) -> Network:
        if m not in self._kept:
            plan = self._plan
            inputs = plan.training.problem.X.shape[1]
            drawn = random_network(inputs, [m] * plan.depth, seed=plan.seed, dtype=plan.training.dtype)
            self._kept[m] = as_stored(drawn, self._contestants)
        return self._kept[m]

    def training(self, m: int) -> Training:
        if m not in self._trainings:
            training = self._plan.training
            if isinstance(training.learning_rate, str):
                built = self._judge.factory(self.of(m), device=training.device, dtype=training.dtype)
                training = settled(training, built)
            self._trainings[m] = training
        return self._trainings[m]


def _warm_up(plan: Plan, contestants: Sequence[Contestant], networks: _Networks) -> None:
    """Compilers and libraries start here, not under the clock."""
    for contestant in contestants:
        implementation = contestant.factory(
            networks.of(plan.widths[0]), device=plan.training.device, dtype=plan.training.dtype
        )
        for _ in range(_WARM_UP_ITERATIONS):
            step(networks.training(plan.widths[0]), implementation)
    gc.freeze()  # each visit collects garbage, which would walk through all that the libraries hold


def _order(plan: Plan, points: Sequence[tuple[Contestant, int]], number: int) -> list[tuple[Contestant, int]]:
    """The same for a round however often the sweep is resumed."""
    order = list(points)
    random.Random(f"{plan.seed} {number}").shuffle(order)
    return order


def _ended_by(measurement: Measurement, elapsed: float, last_round: float) -> str | None:
    """Whether the sweep ends after the round just completed, and why."""
    plan = measurement.plan
    if measurement.rounds >= plan.rounds:
        return "rounds"
    if measurement.rounds >= FEWEST_ROUNDS_IN_TIME and elapsed + last_round > plan.budget:
        return "budget"
    if measurement.rounds >= FEWEST_ROUNDS and _precise(measurement):
        return "precision"
    return None


def _precise(measurement: Measurement) -> bool:
    """Whether every exponent of an iteration is known to the plan's precision, and every final ratio to 5 %."""
    m = np.array(measurement.plan.widths, dtype=np.float64)
    seconds = {name: iteration_seconds(measurement, name) for name in measurement.names}
    for samples in seconds.values():
        exponent = plain_exponent(m, settle_rounds(samples))
        if float(exponent.high - exponent.low) > 2.0 * measurement.plan.precision:
            return False
    for name in measurement.names:
        widest = ratios(seconds[DENSE], seconds[name])[-1]
        if widest.interval.high > 1.05 * widest.value:
            return False
    return True


def iteration_seconds(measurement: Measurement, name: str) -> np.ndarray:
    """Amortized seconds of an iteration, (rounds, widths): the mean over each window."""
    return np.array(
        [
            [np.mean(taken.seconds["iteration"]) for taken in measurement.visits[name, m]]
            for m in measurement.plan.widths
        ]
    ).T


def _memory(
    plan: Plan, points: Sequence[tuple[Contestant, int]], networks: _Networks, journal: Journal
) -> Iterator[tuple[str, int, int]]:
    known = {
        (entry["implementation"], entry["m"]): entry["bytes"] for entry in journal.entries if entry["kind"] == "memory"
    }
    for contestant, m in points:
        if (contestant.name, m) not in known:
            known[contestant.name, m] = peak = window_memory(networks.training(m), contestant, networks.of(m))
            journal.append({"kind": "memory", "implementation": contestant.name, "m": m, "bytes": peak})
        yield contestant.name, m, known[contestant.name, m]


def window_memory(training: Training, contestant: Contestant, network: Network) -> int:
    """Peak bytes beyond what is held between iterations, over the first iterations but the very first."""
    implementation = contestant.factory(network, device=training.device, dtype=training.dtype)
    one = partial(step, training, implementation)
    one()

    def window() -> None:
        for _ in range(min(training.iterations, MEMORY_WINDOW)):
            one()

    return extra_memory(window, training.device)


def check_memory(plan: Plan) -> None:
    """Raises ArgumentError for networks that do not fit: all of them are kept, and an implementation beside them."""
    itemsize = 4 if plan.training.dtype == "float32" else 8
    inputs = plan.training.problem.X.shape[1]
    sizes = [itemsize * (m * inputs + (plan.depth - 1) * m * m) for m in plan.widths]
    affordable("widths", sum(sizes) + 2 * max(sizes))
