"""Properties of steps that cannot be computed: all or nothing, and no number that is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from properties.cases.case import Case
from properties.cases.strategies import NAMED_CASES, cases
from properties.claims.steps import check_finite, take, with_batch
from properties.runner.compare import assert_identical
from properties.runner.registry import register
from properties.runner.subject import Subject
from reference import Reference
from reference.contract import Network

#: Binary exponent of how far gradients of layers are put apart.
APART = 20

CORNERS = {
    name: NAMED_CASES[name]
    for name in ("all units active", "four layers", "float32", "three outputs", "logistic", "one sample")
} | {
    "the first layer overflows first": Case(widths=(8, 9, 7), b=0.0, dtype="float32", magnitude=6),
    "the last layer overflows first": Case(widths=(8, 9, 7), b=0.0, dtype="float32", magnitude=-10),
}


@register("step", "to_network", strategy=cases, examples=CORNERS, weight=0.2)
def a_step_that_overflows_changes_nothing(subject: Subject, case: Case) -> None:
    """It raises and leaves every weight of every layer as it was, or the new weights are finite."""
    for method in subject.capabilities.methods:
        for name, extreme, rate in _overflows(case):
            implementation = subject.build(extreme)
            before = implementation.to_network()
            try:
                take(implementation, extreme, method, learning_rate=rate, damping=1.0)
            except Exception:  # of whatever kind: what counts is what it leaves behind
                _assert_unchanged(f"weights after {method} failed on {name}", implementation.to_network(), before)
            else:
                check_finite(f"{method} with {name}", implementation.to_network())


def _overflows(case: Case) -> Iterator[tuple[str, Case, float]]:
    """Steps of which some number overflows the dtype, each with its name and learning rate."""
    largest = float(np.finfo(case.dtype).max)
    yield "the largest learning rate", case, largest
    yield from _between_layers(case, largest)
    root = float(np.sqrt(largest))
    yield "inputs whose squares overflow", with_batch(case, _scaled(case.X, 16.0 * root), case.y, case.network), 1.0
    network = replace(case.network, weights=[_scaled(weight, root) for weight in case.network.weights])
    yield "weights whose squares overflow", with_batch(case, case.X, case.y, network), 1.0
    readout = replace(case.network, readout=_scaled(case.network.readout, largest / 8.0))
    yield "a readout near the largest number", with_batch(case, case.X, case.y, readout), 1.0


def _between_layers(case: Case, largest: float) -> Iterator[tuple[str, Case, float]]:
    """Learning rates of gradient descent at which the first layer overflows and no other, and the other way round.

    An error that is found only after some layers were written shows here. Scaling X by s and W_1 by 1/s scales the
    first gradient by s and no other. Scaling the weights of the other layers by 1/s leaves theirs s times as large as
    the first, where units stay active.
    """
    if case.network.depth < 2:
        return
    # A larger readout keeps the learning rate itself within range.
    network = replace(case.network, readout=np.ldexp(case.network.readout, APART))
    small = [np.ldexp(weight, -APART) for weight in network.weights]
    first = replace(network, weights=[small[0], *network.weights[1:]])
    rest = replace(network, weights=[network.weights[0], *small[1:]])
    for name, extreme, overflows in (
        ("the first layer overflowing", with_batch(case, np.ldexp(case.X, APART), case.y, first), slice(0, 1)),
        ("all layers but the first overflowing", with_batch(case, case.X, case.y, rest), slice(1, None)),
    ):
        sizes = np.array([np.abs(g).max() for g in _gradient(extreme)])
        beyond, within = sizes[overflows].min(), np.delete(sizes, np.arange(len(sizes))[overflows]).max()
        with np.errstate(divide="ignore"):
            rate = float(largest / np.sqrt(beyond) / np.sqrt(within))
        if beyond > 2.0**8 * within and rate < np.finfo(np.float64).max:
            yield name, extreme, rate


def _gradient(case: Case) -> list[np.ndarray]:
    return Reference(case.network, ()).gradient(case.X, case.y, case.loss)


def _scaled(array: np.ndarray, factor: float) -> np.ndarray:
    """The array with `factor` as its largest magnitude."""
    size = np.abs(array).max()
    return array if size == 0.0 else (array.astype(np.float64) / size * factor).astype(array.dtype)


def _assert_unchanged(what: str, now: Network, then: Network) -> None:
    for layer, (a, b) in enumerate(zip(now.weights, then.weights, strict=True), start=1):
        assert_identical(f"{what}, layer {layer}", ("unit", "input"), a, b)
