"""Properties of repetition: for a device and a number of threads results are the same to the last bit."""

from __future__ import annotations

from properties.cases.case import Case
from properties.cases.strategies import NAMED_CASES, cases
from properties.claims.present import EVALUATIONS
from properties.claims.steps import goes_on, take
from properties.runner.compare import assert_identical
from properties.runner.registry import register
from properties.runner.subject import Subject
from reference.contract import Implementation

CORNERS = {
    name: NAMED_CASES[name]
    for name in ("default threshold", "four layers", "duplicate samples", "float32", "softmax, float32", "dead samples")
}


@register("step", "to_network", "active_sets", strategy=cases, examples=CORNERS, weight=0.3)
def a_run_repeats_to_the_last_bit(subject: Subject, case: Case) -> None:
    """The same network and batches twice: weights after every step, and outputs after the last."""
    first, again = subject.build(case), subject.build(case)
    for method in (*subject.capabilities.methods, subject.capabilities.methods[0]):
        if not goes_on(case, first):
            return
        take(first, case, method)
        take(again, case, method)
        _assert_same_weights(f"weights of the second of two runs, after {method}", again, first)
    if not goes_on(case, first):
        return
    for operation in sorted({"forward", "gram"} & set(subject.capabilities.operations)):
        got, expected = (getattr(implementation, operation)(case.X) for implementation in (again, first))
        assert_identical(f"{operation} of the second of two runs", ("row", "column"), got, expected)


@register("step", "to_network", "active_sets", strategy=cases, examples=CORNERS, weight=0.3)
def evaluating_before_a_step_does_not_change_it(subject: Subject, case: Case) -> None:
    """A step after evaluations of its batch, and of another, is to the last bit the step without."""
    for method in subject.capabilities.methods:
        alone, looked_at = subject.build(case), subject.build(case)
        for X in (case.X, case.X[:1] * 2.0):
            for operation in EVALUATIONS:
                if operation in subject.capabilities.operations:
                    labels = [case.y[: len(X)], case.loss] if operation == "gradient" else []
                    getattr(looked_at, operation)(X, *labels)
        take(alone, case, method)
        take(looked_at, case, method)
        _assert_same_weights(f"weights after evaluations and {method}", looked_at, alone)


def _assert_same_weights(what: str, got: Implementation, expected: Implementation) -> None:
    pairs = zip(got.to_network().weights, expected.to_network().weights, strict=True)
    for layer, (now, then) in enumerate(pairs, start=1):
        assert_identical(f"{what}, layer {layer}", ("unit", "input"), now, then)
