"""Properties of errors: bad input is refused by a message that names the argument, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from properties.case import Case
from properties.compare import Mismatch, assert_identical
from properties.strategies import NAMED_CASES, cases
from properties.suite import Subject, register
from reference.contract import Implementation


def _with(array: np.ndarray, value: float) -> np.ndarray:
    array = array.copy()
    array.flat[array.size // 2] = value
    return array


#: What is refused: a name, the argument that the message must mention, and the arguments of a step.
BAD_STEPS: list[tuple[str, str, Callable[[Case], dict[str, Any]]]] = [
    ("NaN in X", "X", lambda case: {"X": _with(case.X, np.nan)}),
    ("infinity in X", "X", lambda case: {"X": _with(case.X, np.inf)}),
    ("no samples", "X", lambda case: {"X": case.X[:0], "y": case.y[:0]}),
    ("too many features", "X", lambda case: {"X": np.hstack([case.X, case.X])}),
    ("X without a samples axis", "X", lambda case: {"X": case.X[0]}),
    ("complex X", "X", lambda case: {"X": case.X.astype(complex)}),
    ("words for X", "X", lambda case: {"X": np.full(case.X.shape, "word")}),
    ("NaN in y", "y", lambda case: {"y": _with(case.y, np.nan)}),
    ("a target too many", "y", lambda case: {"y": np.vstack([case.y, case.y[:1]])}),
    ("an output too many", "y", lambda case: {"y": np.hstack([case.y, case.y[:, :1]])}),
    ("unknown method", "method", lambda case: {"method": "newton"}),
    ("unknown loss", "loss", lambda case: {"loss": "cubic"}),
    ("negative learning rate", "learning_rate", lambda case: {"learning_rate": -1.0}),
    ("learning rate NaN", "learning_rate", lambda case: {"learning_rate": float("nan")}),
    ("negative damping", "damping", lambda case: {"damping": -1.0}),
    ("infinite damping", "damping", lambda case: {"damping": float("inf")}),
]

#: Labels outside a loss's domain: a name, the loss, and the arguments of a step.
BAD_LABELS: list[tuple[str, str, Callable[[Case], dict[str, Any]]]] = [
    ("a label of 0", "logistic", lambda case: {"y": _with(case.y, 0.0)}),
    ("a label of 2", "logistic", lambda case: {"y": _with(case.y, 2.0)}),
    ("two classes at once", "softmax_cross_entropy", lambda case: {"y": np.ones_like(case.y)}),
    ("no class", "softmax_cross_entropy", lambda case: {"y": np.zeros_like(case.y)}),
    ("half a class", "softmax_cross_entropy", lambda case: {"y": 0.5 * case.y}),
    ("a class too many", "softmax_cross_entropy", lambda case: {"y": np.full(case.samples, case.outputs)}),
    ("a class between two", "softmax_cross_entropy", lambda case: {"y": np.full(case.samples, 0.5)}),
]


@register("step", "forward", "to_network", strategy=cases, examples=NAMED_CASES, weight=0.2)
def bad_input_is_refused_and_changes_nothing(subject: Subject, case: Case) -> None:
    """Every bad argument of a step raises a ValueError naming it; the next step is as if nothing had been."""
    implementation = subject.build(case)
    method = subject.capabilities.methods[0]
    _step(implementation, case, method)  # in the middle of training
    before, outputs = implementation.to_network(), implementation.forward(case.X)
    labels = [(name, "y", change) for name, loss, change in BAD_LABELS if loss == case.loss]
    for name, argument, change in [*BAD_STEPS, *labels]:
        try:
            _step(implementation, case, method, **change(case))
        except ValueError as error:
            if argument not in str(error):
                raise Mismatch(f"step, {name}: the message does not name {argument}: {error}") from error
        else:
            raise Mismatch(f"step, {name}: expected a ValueError naming {argument}, got none")
        for layer, (now, then) in enumerate(
            zip(implementation.to_network().weights, before.weights, strict=True), start=1
        ):
            assert_identical(f"weights after {name}, layer {layer}", ("unit", "input"), now, then)
    assert_identical("forward after refused input", ("sample", "output"), implementation.forward(case.X), outputs)


def _step(implementation: Implementation, case: Case, usual_method: str, **change: Any) -> None:
    arguments: dict[str, Any] = {
        "X": case.X,
        "y": case.y,
        "method": usual_method,
        "loss": case.loss,
        "learning_rate": case.rate(usual_method),
        "damping": case.damping,
    } | change
    implementation.step(arguments.pop("X"), arguments.pop("y"), **arguments)
