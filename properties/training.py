"""Properties of a training step: the new weights, the report, several steps in a row."""

from __future__ import annotations

import numpy as np

from properties import bounds
from properties.case import Case
from properties.compare import Mismatch, assert_close
from properties.loss_bounds import loss_bounds
from properties.replay import Replay
from properties.rounding import Arithmetic, Bounded
from properties.strategies import NAMED_CASES, cases
from properties.suite import Subject, register
from reference.contract import Implementation, Network


@register("step", "to_network", "active_sets", strategy=cases, examples=NAMED_CASES)
def gradient_descent_step_matches_the_oracle(subject: Subject, case: Case) -> None:
    """W_ℓ ← W_ℓ − η Σ r g hᵀ, in every layer."""
    if "gradient_descent" in subject.capabilities.methods:
        _check_step(subject, case, subject.build(case), case.network, "gradient_descent")


@register("step", "to_network", "active_sets", strategy=cases, examples=NAMED_CASES)
def gauss_newton_step_matches_the_oracle(subject: Subject, case: Case) -> None:
    """W_ℓ ← W_ℓ − Σ q g hᵀ with q = η·(G + λI)⁻¹ r, in every layer."""
    if "gauss_newton" in subject.capabilities.methods:
        _check_step(subject, case, subject.build(case), case.network, "gauss_newton")


@register("step", "to_network", "active_sets", strategy=cases, examples=NAMED_CASES, weight=0.5)
def every_step_of_a_run_matches_the_oracle(subject: Subject, case: Case) -> None:
    """Four steps, each judged from the implementation's own weights before it: stale state shows here."""
    implementation = subject.build(case)
    for index in range(4):
        method = subject.capabilities.methods[index % len(subject.capabilities.methods)]
        before = implementation.to_network()
        if not _check_step(subject, case, implementation, before, method):
            return


@register("step", "active_sets", strategy=cases, examples=NAMED_CASES)
def report_describes_the_step(subject: Subject, case: Case) -> None:
    """Loss before the step, active counts and dead samples."""
    implementation = subject.build(case)
    oracle = subject.replay(case, implementation)
    loss = loss_bounds(case.loss, oracle.outputs, case.y, Arithmetic(case.dtype))
    method = subject.capabilities.methods[0]
    report = implementation.step(case.X, case.y, method=method, loss=case.loss, learning_rate=1e-3, damping=1.0)
    assert_close("loss", (), np.asarray(report.loss), loss.value)
    counts = [mask.sum(axis=1) for mask in oracle.masks]
    dead = tuple(np.flatnonzero(np.min(counts, axis=0) == 0).tolist())
    if tuple(report.dead_samples) != dead:
        raise Mismatch(f"dead_samples: expected {dead}, got {tuple(report.dead_samples)}")
    for layer, (got, expected) in enumerate(zip(report.active_counts, counts, strict=bool(report.active_counts))):
        if not np.array_equal(got, expected):
            raise Mismatch(f"active_counts, layer {layer + 1}: expected {expected.tolist()}, got {list(got)}")


def _check_step(subject: Subject, case: Case, implementation: Implementation, before: Network, method: str) -> bool:
    """Takes one step and compares the weights; False where the step cannot be resolved by any bound."""
    oracle = subject.replay(case, implementation, before)
    coefficients = _coefficients(subject, case, oracle, method)
    summands = subject.summands(implementation)
    implementation.step(
        case.X, case.y, method=method, loss=case.loss, learning_rate=case.rate(method), damping=case.damping
    )
    after = implementation.to_network()
    if coefficients is None:
        if not all(np.isfinite(weight).all() for weight in after.weights):
            raise Mismatch(f"{method}: the new weights are not finite")
        return False
    expected = bounds.moved_weights(
        before, oracle, coefficients, Arithmetic(case.dtype), trained=case.trained, summands=summands
    )
    for layer, (weight, bound) in enumerate(zip(after.weights, expected, strict=True), start=1):
        assert_close(f"weights after {method}, layer {layer}", ("unit", "input"), weight, bound)
    untrained: list[tuple[str, list[np.ndarray], list[np.ndarray]]] = [
        ("readout", [before.readout], [after.readout]),
        ("biases", [*(before.biases or [])], [*(after.biases or [])]),
        ("readout bias", _present(before.readout_bias), _present(after.readout_bias)),
    ]
    for name, given, now in untrained:
        if any(not np.array_equal(a, b) for a, b in zip(given, now, strict=True)):
            raise Mismatch(f"{method}: {name} changed, but only the weights are trained")
    return True


def _present(array: np.ndarray | None) -> list[np.ndarray]:
    return [] if array is None else [array]


def _coefficients(subject: Subject, case: Case, oracle: Replay, method: str) -> Bounded | None:
    arithmetic = Arithmetic(case.dtype)
    loss = loss_bounds(case.loss, oracle.outputs, case.y, arithmetic)
    if method == "gradient_descent":
        return arithmetic.scaled(loss.gradient, case.rate(method), arithmetic.roundoff)
    subject.steps += 1
    G = bounds.gram(oracle, arithmetic, case.trained)
    tolerance = subject.capabilities.solve_tolerance
    q = bounds.gauss_newton_coefficients(G, loss, case.learning_rate, case.damping, arithmetic, tolerance)
    subject.unresolved_steps += q is None
    return q
