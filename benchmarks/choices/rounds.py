"""Measures comparisons: windows of steps from the initial weights on, in random order within rounds.

A round holds one window of every choice in every setting. Each window starts from the same weights, because some
choices accumulate updates, and a later window would be another task. Only one implementation is alive at a time.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.choices.batches import load_batch
from benchmarks.choices.comparison import Comparison, Setting, Step
from benchmarks.contestant import Contestant
from benchmarks.visit import DAMPING, now
from reference.contract import Activation, Network, Problem
from reference.contract.arguments import affordable
from reference.initialization import random_network


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        comparisons: Of which choices, where.
        rounds: How often every window is timed.
        learning_rate: Of the Gauss-Newton steps.
        seed: Chooses samples, weights and the order within rounds.
        device: A torch device.
        dtype: "float32" or "float64".
    """

    comparisons: tuple[Comparison, ...]
    rounds: int
    learning_rate: float
    seed: int
    device: str
    dtype: str


@dataclass
class Outcome:
    """What was measured.

    Attributes:
        plan: What was asked for.
        windows: By (setting, choice) the steps of every complete round.
        problems: By setting the samples and targets.
        rounds: Complete ones; steps of an incomplete one are not kept.
        interrupted: Whether it was stopped before the last round.
    """

    plan: Plan
    windows: dict[tuple[Setting, str], list[list[Step]]]
    problems: dict[Setting, Problem]
    rounds: int = 0
    interrupted: bool = False


def compare(plan: Plan, progress: Callable[[str, int, int], None] = lambda *_: None) -> Outcome:
    """Measures; Ctrl-C ends it early with the rounds that are complete.

    Args:
        plan: What to measure.
        progress: Called with what is being done, the number of windows done and that of all.

    Raises:
        ArgumentError: for networks that exceed the memory, more samples than there are.
        KeyboardInterrupt: where not a single round was complete.
        SolveError: where a step fails.
    """
    visits = [
        (setting, choice)
        for comparison in plan.comparisons
        for setting in comparison.settings
        for choice in comparison.choices
    ]
    problems = {setting: load_batch(setting.batch, setting.n, seed=plan.seed) for setting, _ in visits}
    networks = _Networks(plan, problems)
    outcome = Outcome(plan, {(setting, choice.name): [] for setting, choice in visits}, problems)
    order = random.Random(plan.seed)
    total = plan.rounds * len(visits)
    for comparison in plan.comparisons:  # compilers and libraries start here, not under the clock
        least = min(comparison.settings, key=lambda setting: setting.n * setting.m)
        for choice in comparison.choices:
            _window(plan, choice, networks.of(least), problems[least], steps=1)
    for turn in range(plan.rounds):
        order.shuffle(visits)
        taken: dict[tuple[Setting, str], list[Step]] = {}
        try:
            for done, (setting, choice) in enumerate(visits, turn * len(visits)):
                progress(f"{setting.comparison}, n = {setting.n}, m = {setting.m}", done, total)
                steps = _window(plan, choice, networks.of(setting), problems[setting], steps=setting.window)
                taken[setting, choice.name] = steps
        except KeyboardInterrupt:
            if turn == 0:
                raise
            outcome.interrupted = True
            break
        for visit, steps in taken.items():
            outcome.windows[visit].append(steps)
        outcome.rounds += 1
    return outcome


class _Networks:
    """Initial networks: one for every width and depth; the threshold is no matter of the weights."""

    def __init__(self, plan: Plan, problems: dict[Setting, Problem]):
        self._plan, self._kept = plan, dict[tuple[int, int], Network]()
        self._inputs = next(iter(problems.values())).X.shape[1]
        itemsize = 4 if plan.dtype == "float32" else 8
        sizes = {
            (setting.m, setting.depth): itemsize * (setting.m * self._inputs + (setting.depth - 1) * setting.m**2)
            for setting in problems
        }
        # Beside them one implementation with a copy of its own is alive, and while it is built another.
        affordable("widths", sum(sizes.values()) + 2 * max(sizes.values()))

    def of(self, setting: Setting) -> Network:
        key = setting.m, setting.depth
        if key not in self._kept:
            self._kept[key] = random_network(
                self._inputs, [setting.m] * setting.depth, seed=self._plan.seed, dtype=self._plan.dtype
            )
        return replace(self._kept[key], activation=Activation(b=setting.b))


def _window(plan: Plan, choice: Contestant, network: Network, problem: Problem, *, steps: int) -> list[Step]:
    """Builds the implementation, and times so many steps of it one by one."""
    implementation = choice.factory(network, device=plan.device, dtype=plan.dtype)
    taken: list[Step] = []
    enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(steps):
            begin = now(plan.device)
            report = implementation.step(
                problem.X, problem.y, method="gauss_newton", learning_rate=plan.learning_rate, damping=DAMPING
            )
            taken.append(Step(now(plan.device) - begin, report))
    finally:
        if enabled:
            gc.enable()
    return taken
