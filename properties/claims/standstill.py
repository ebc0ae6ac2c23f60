"""Properties of steps that move nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from properties.cases.case import Case
from properties.cases.strategies import NAMED_CASES, cases
from properties.claims.steps import take
from properties.runner.compare import Mismatch, assert_identical
from properties.runner.registry import register
from properties.runner.subject import Subject
from reference.contract import Capabilities, Implementation, Network

CORNERS = {
    name: NAMED_CASES[name] for name in ("three outputs", "duplicate samples", "all units active", "float32", "softmax")
}

#: No unit is active: where the threshold is far above, or where samples are zero.
DEAD = {
    "threshold far above": Case(widths=(6, 7), b=16.0, samples=3),
    "zero samples": Case(widths=(9, 8), b=0.5, samples=3, zeros=3, dtype="float32"),
    "small weights": Case(widths=(12, 5, 7), b=1.0, samples=2, weight_magnitude=-8, outputs=3),
}


def dead_cases(capabilities: Capabilities) -> st.SearchStrategy[Case]:
    """Cases without an active unit."""
    return cases(capabilities).map(lambda case: replace(case, biases=False, b=2.5, zeros=case.samples))


@register("step", "to_network", strategy=cases, examples=CORNERS, weight=0.2)
def learning_rate_zero_changes_nothing(subject: Subject, case: Case) -> None:
    """η = 0, from a network that was not trained yet: bit for bit, in every layer."""
    implementation = subject.build(case)
    for method in subject.capabilities.methods:
        take(implementation, case, method, learning_rate=0.0)
        _assert_weights(f"weights after {method} at learning rate 0", implementation, case.network)


@register("step", "to_network", "active_sets", strategy=dead_cases, examples=DEAD, weight=0.2)
def a_dead_batch_moves_nothing(subject: Subject, case: Case) -> None:
    """Samples without an active unit have no gradient; they are reported, and nothing moves."""
    implementation = subject.build(case)
    if np.asarray(implementation.active_sets(case.X)[-1]).any():
        return  # the last layer lives: this is not the case that was meant
    for method in subject.capabilities.methods:
        report = take(implementation, case, method, damping=1.0)
        _assert_weights(f"weights after {method} on dead samples", implementation, case.network)
        if tuple(report.dead_samples) != tuple(range(case.samples)):
            raise Mismatch(f"dead_samples: expected all of {case.samples}, got {tuple(report.dead_samples)}")


def _assert_weights(what: str, implementation: Implementation, network: Network) -> None:
    for layer, (now, then) in enumerate(
        zip(implementation.to_network().weights, network.weights, strict=True), start=1
    ):
        assert_identical(f"{what}, layer {layer}", ("unit", "input"), now, then)
