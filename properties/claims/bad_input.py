"""Properties of errors: bad input is refused by a message that names the argument, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from properties.cases.case import Case
from properties.cases.strategies import NAMED_CASES, cases
from properties.claims.present import EVALUATIONS
from properties.runner.compare import Mismatch, assert_identical
from properties.runner.registry import register
from properties.runner.subject import Subject
from reference.contract import Implementation


def _with(array: np.ndarray, value: float) -> np.ndarray:
    array = array.copy()
    array.flat[array.size // 2] = value
    return array


FEW = {name: NAMED_CASES[name] for name in ("three outputs", "float32", "readout bias", "softmax")}

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
        with _refusal(f"step, {name}", argument):
            _step(implementation, case, method, **change(case))
        for layer, (now, then) in enumerate(
            zip(implementation.to_network().weights, before.weights, strict=True), start=1
        ):
            assert_identical(f"weights after {name}, layer {layer}", ("unit", "input"), now, then)
    assert_identical("forward after refused input", ("sample", "output"), implementation.forward(case.X), outputs)


#: Samples that every operation refuses: a name and what becomes of X.
BAD_SAMPLES: list[tuple[str, Callable[[np.ndarray], Any]]] = [
    ("NaN in X", lambda X: _with(X, np.nan)),
    ("infinity in X", lambda X: _with(X, -np.inf)),
    ("no samples", lambda X: X[:0]),
    ("too many features", lambda X: np.hstack([X, X])),
    ("X without a samples axis", lambda X: X[0]),
    ("complex X", lambda X: X.astype(complex)),
    ("nothing for X", lambda X: None),
]


@register("forward", strategy=cases, examples=FEW, weight=0.1)
def bad_input_to_an_evaluation_is_refused(subject: Subject, case: Case) -> None:
    """Every evaluation refuses bad samples by a ValueError naming X; what comes next is as if nothing had been."""
    implementation = subject.build(case)
    outputs = implementation.forward(case.X)
    for operation in EVALUATIONS:
        if operation not in subject.capabilities.operations:
            continue
        labels: list[Any] = [case.y, case.loss] if operation == "gradient" else []
        for name, change in BAD_SAMPLES:
            with _refusal(f"{operation}, {name}", "X"):
                getattr(implementation, operation)(change(case.X), *labels)
        if operation == "gradient":
            with _refusal("gradient, NaN in y", "y"):
                implementation.gradient(case.X, _with(case.y, np.nan), case.loss)
            with _refusal("gradient, unknown loss", "loss"):
                implementation.gradient(case.X, case.y, "cubic")
    assert_identical("forward after refused input", ("sample", "output"), implementation.forward(case.X), outputs)


@register("forward", strategy=cases, examples=FEW, weight=0.05)
def bad_arguments_of_the_factory_are_refused(subject: Subject, case: Case) -> None:
    """Something that is no Network, an unknown dtype, an unknown device: a ValueError that names the argument."""
    usual: dict[str, Any] = {"network": case.network, "device": subject.device, "dtype": case.dtype}
    bad: list[tuple[str, Any]] = [
        ("network", case.network.weights),
        ("network", None),
        ("dtype", "float8"),
        ("dtype", "complex64"),
        ("device", "abacus"),
    ]
    if subject.capabilities.trained_layers:
        depth = case.network.depth
        bad += [("trained_layers", layers) for layers in ((), (0,), (depth + 1,), (1, 1), "all")]
    for argument, value in bad:
        arguments = usual | {argument: value}
        with _refusal(f"factory, {argument}={value!r:.40}", argument):
            subject.factory(arguments.pop("network"), **arguments)


@contextmanager
def _refusal(what: str, argument: str) -> Iterator[None]:
    """Expects a ValueError whose message names the argument."""
    try:
        yield
    except ValueError as error:
        if argument not in str(error):
            raise Mismatch(f"{what}: the message does not name {argument}: {error}") from error
    else:
        raise Mismatch(f"{what}: expected a ValueError naming {argument}, got none")


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
