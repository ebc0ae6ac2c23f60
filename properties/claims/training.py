"""Properties of a training step: the new weights, the report, several steps in a row."""

from __future__ import annotations

import numpy as np

from properties.cases.case import Case
from properties.cases.strategies import NAMED_CASES, cases
from properties.claims.steps import check_step, goes_on, take
from properties.runner.compare import Mismatch, assert_close
from properties.runner.registry import needs_methods, register
from properties.runner.subject import Subject
from properties.tolerances.loss_bounds import loss_bounds
from properties.tolerances.rounding import Arithmetic


@register(
    "step", "to_network", "active_sets", strategy=cases, examples=NAMED_CASES, unless=needs_methods("gradient_descent")
)
def gradient_descent_step_matches_the_oracle(subject: Subject, case: Case) -> None:
    """W_ℓ ← W_ℓ − η Σ r g hᵀ, in every layer."""
    check_step(subject, case, subject.build(case), case.network, "gradient_descent")


@register(
    "step", "to_network", "active_sets", strategy=cases, examples=NAMED_CASES, unless=needs_methods("gauss_newton")
)
def gauss_newton_step_matches_the_oracle(subject: Subject, case: Case) -> None:
    """W_ℓ ← W_ℓ − Σ q g hᵀ with q = η·(H G + λI)⁻¹ r, in every layer."""
    check_step(subject, case, subject.build(case), case.network, "gauss_newton")


@register("step", "to_network", "active_sets", strategy=cases, examples=NAMED_CASES, weight=0.5)
def every_step_of_a_run_matches_the_oracle(subject: Subject, case: Case) -> None:
    """Four steps on one batch, each judged from the implementation's own weights before it: stale state shows here."""
    implementation = subject.build(case)
    for index in range(4):
        method = subject.capabilities.methods[index % len(subject.capabilities.methods)]
        before = implementation.to_network()
        if not goes_on(case, implementation) or not check_step(subject, case, implementation, before, method):
            return


@register("step", "active_sets", strategy=cases, examples=NAMED_CASES)
def report_describes_the_step(subject: Subject, case: Case) -> None:
    """Loss before the step, active counts and dead samples."""
    implementation = subject.build(case)
    oracle = subject.replay(case, implementation)
    loss = loss_bounds(case.loss, oracle.outputs, case.y, Arithmetic(case.dtype))
    report = take(implementation, case, subject.capabilities.methods[0], learning_rate=1e-3, damping=1.0)
    assert_close("loss", (), np.asarray(report.loss), loss.value)
    counts = [mask.sum(axis=1) for mask in oracle.masks]
    dead = tuple(np.flatnonzero(np.min(counts, axis=0) == 0).tolist())
    if tuple(report.dead_samples) != dead:
        raise Mismatch(f"dead_samples: expected {dead}, got {tuple(report.dead_samples)}")
    for layer, (got, expected) in enumerate(zip(report.active_counts, counts, strict=bool(report.active_counts))):
        if not np.array_equal(got, expected):
            raise Mismatch(f"active_counts, layer {layer + 1}: expected {expected.tolist()}, got {list(got)}")
