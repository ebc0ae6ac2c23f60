"""The comparisons: which choices, in which settings, and what of their steps is compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.choices.batches import BATCHES
from benchmarks.contestant import DENSE, DENSE_FACTORY, Contestant, load_contestant
from reference.contract import StepReport

#: The choices of each comparison; the first is the one that the others are held against.
WEIGHTS = (
    f"{DENSE}={DENSE_FACTORY}",
    "eager=impl:factory?forward=gather&weights=eager",
    "lazy, folding=impl:factory?forward=gather&weights=lazy&maintenance=fold",
    "lazy, keeping=impl:factory?forward=gather&weights=lazy&maintenance=keep",
    "lazy, recompressing=impl:factory?forward=gather&weights=lazy&maintenance=recompress",
    "certified=impl:factory?forward=certified",
)
SOLVERS = (
    "cholesky=impl:factory?forward=gather&solver=cholesky",
    "cg=impl:factory?forward=gather&solver=cg",
    "cg + TensorSRHT=impl:factory?forward=gather&solver=sketched-cg",
    "cg + TensorSketch=impl:factory?forward=gather&solver=sketched-cg-tensor-sketch",
)
EXACT = "exact Gram"
GRAM = (
    f"{EXACT}=impl:factory?forward=gather&solver=cholesky",
    "TensorSRHT=impl:factory?forward=gather&solver=sketched-cg",
    "TensorSketch=impl:factory?forward=gather&solver=sketched-cg-tensor-sketch",
)

# The second step's loss shows what the first one's solve did; nothing accumulates, and so more steps show no more.
SOLVER_STEPS = 2

# With the default threshold a third layer leaves samples dead, whose eigenvalue is the damping: no batch would be
# well-conditioned.
SOLVER_DEPTH = 2


class Setting(NamedTuple):
    """Where choices are compared.

    Attributes:
        comparison: The comparison's name.
        batch: One of BATCHES.
        n: Samples.
        m: The width of all layers.
        depth: L.
        b: The threshold parameter; None stands for √(0.4·ln m).
        window: Steps, from the initial weights on, that are timed together.
    """

    comparison: str
    batch: str
    n: int
    m: int
    depth: int
    b: float | None
    window: int


class Step(NamedTuple):
    """One timed step: seconds of the whole, and its report."""

    seconds: float
    report: StepReport


@dataclass(frozen=True)
class Measure:
    """One number of a window of steps, smaller is better.

    Attributes:
        name: In files.
        title: In tables.
        of: Computes it, from the steps and the name of the choice.
    """

    name: str
    title: str
    of: Callable[[Sequence[Step], str], float]


@dataclass(frozen=True)
class Comparison:
    """Choices that do the same thing, and what is compared of them.

    Attributes:
        name: In files.
        title: Of its tables.
        note: What is included in the measures.
        choices: The first is what the others are held against.
        settings: Where.
        axis: "n" or "m": along it break-even points are sought.
        measures: In seconds; the first decides which choice is the fastest.
        work: Multiply-adds of one step that go with the first measure, from its report and the name of the choice.
    """

    name: str
    title: str
    note: str
    choices: tuple[Contestant, ...]
    settings: tuple[Setting, ...]
    axis: str
    measures: tuple[Measure, ...]
    work: Callable[[StepReport, str], int]


def weights_comparison(
    widths: Sequence[int],
    samples: Sequence[int],
    thresholds: Sequence[float | None],
    depth: int,
    window: int,
    dtype: str,
) -> Comparison:
    """Eager against lazy weights under each maintenance, certified passes, and the dense rival, over m, n and b."""
    return Comparison(
        "weights",
        "Weights: an iteration, over a window that holds the maintenance",
        f"the window is {window} iterations from the initial weights on; its mean amortizes folds, recompressions and "
        "anchors, its maximum shows them; certified weights are lazy ones under certified forward passes, all others "
        "take the gather pass",
        _loaded(WEIGHTS, dtype),
        tuple(
            Setting("weights", "digits", n, m, depth, b, window) for n in samples for b in thresholds for m in widths
        ),
        "m",
        (
            Measure("mean", "mean, ms", lambda steps, _: float(np.mean([step.seconds for step in steps]))),
            Measure("median", "median, ms", lambda steps, _: float(np.median([step.seconds for step in steps]))),
            Measure("maximum", "maximum, ms", lambda steps, _: max(step.seconds for step in steps)),
        ),
        lambda report, _: sum(work.multiply_adds for work in report.work.values()),
    )


def solver_comparison(width: int, samples: Sequence[int], depth: int, dtype: str) -> Comparison:
    """Cholesky, conjugate gradients, and these preconditioned by either sketch, over n and on both batches."""
    return Comparison(
        "solver",
        "Solver: the Gauss–Newton system of a step",
        "the solve of cg with a sketch includes drawing the sketch, forming S Jᵀ, its QR factorization and an estimate "
        "of the condition number κ; the exact Gram matrix is formed for every solver; steps are those of conjugate "
        "gradients, error is the backward error",
        _loaded(SOLVERS, dtype),
        tuple(
            Setting("solver", batch, n, width, min(depth, SOLVER_DEPTH), None, SOLVER_STEPS)
            for batch in BATCHES
            for n in samples
        ),
        "n",
        (
            Measure("gram_and_solve", "gram+solve, ms", lambda steps, _: _seconds(steps, "gram", "solve")),
            Measure("solve", "solve, ms", lambda steps, _: _seconds(steps, "solve")),
        ),
        lambda report, _: sum(report.work[phase].multiply_adds for phase in ("gram", "solve") if phase in report.work),
    )


def gram_comparison(widths: Sequence[int], samples: Sequence[int], depth: int, dtype: str) -> Comparison:
    """The exact Gram matrix against sketches of the Jacobian, over n and m."""
    return Comparison(
        "gram",
        "Gram: the exact matrix against a sketch S Jᵀ of 8n rows",
        "work is that of forming the matrix or the sketch alone; time is the gram phase for the exact matrix, but for "
        "a sketch the whole solve phase, QR factorization and conjugate gradients included: a bound from above",
        _loaded(GRAM, dtype),
        tuple(
            Setting("gram", "digits", n, m, min(depth, SOLVER_DEPTH), None, SOLVER_STEPS)
            for n in samples
            for m in widths
        ),
        "m",
        (Measure("form", "time, ms", lambda steps, choice: _seconds(steps, "gram" if choice == EXACT else "solve")),),
        _forming,
    )


def _forming(report: StepReport, choice: str) -> int:
    """A sketch of the factors is counted for the layers that they belong to, what is solved with it for none."""
    phase = report.work.get("gram" if choice == EXACT else "solve")
    return 0 if phase is None else sum(work.multiply_adds for layer, work in phase.layers.items() if layer > 0)


def _seconds(steps: Sequence[Step], *phases: str) -> float:
    """The median over the steps of what the phases take together."""
    return float(np.median([sum(step.report.work[phase].seconds for phase in phases) for step in steps]))


def _loaded(choices: Sequence[str], dtype: str) -> tuple[Contestant, ...]:
    return tuple(load_contestant(choice, dtype=dtype) for choice in choices)
