"""Properties of memory: the caller's arrays stay the caller's, and so does what is returned."""

from __future__ import annotations

import numpy as np

from properties.cases.case import Case
from properties.cases.strategies import NAMED_CASES, cases
from properties.claims.present import EVALUATIONS
from properties.claims.steps import goes_on, take, with_batch
from properties.runner.compare import assert_close, assert_identical
from properties.runner.registry import register
from properties.runner.subject import Subject
from properties.tolerances.replay import Replay
from reference.contract import Implementation, Network

CORNERS = {
    name: NAMED_CASES[name]
    for name in ("three outputs", "readout bias", "float32", "all units active", "one sample", "duplicate samples")
}


@register("step", "to_network", strategy=cases, examples=CORNERS, weight=0.3)
def arrays_of_the_caller_are_neither_written_nor_kept(subject: Subject, case: Case) -> None:
    """Network, X and y are left as they were; overwritten afterwards they change no step that follows."""
    given = _copy(case.network)
    implementation, twin = subject.build(case, given), subject.build(case)
    X, y = case.X.copy(), case.y.copy()
    for method in subject.capabilities.methods:
        if not goes_on(case, twin):
            return
        take(implementation, with_batch(case, X, y, case.network), method)
        take(twin, case, method)
        assert_identical(f"X after {method}", ("sample", "feature"), X, case.X)
        assert_identical(f"y after {method}", ("sample", "output"), y, case.y)
        for name, now, then in zip(_names(given), _arrays(given), _arrays(case.network), strict=True):
            assert_identical(
                f"{name}, of the network that was handed in, after {method}", ("element",), now.ravel(), then.ravel()
            )
        for array in (X, y, *_arrays(given)):
            array[...] = 7
        if not goes_on(case, twin):
            return
        take(implementation, case, method)
        take(twin, case, method)
        _assert_same(f"weights after {method}, the arrays handed in overwritten", implementation, twin)
        X, y = case.X.copy(), case.y.copy()
        for now, then in zip(_arrays(given), _arrays(case.network), strict=True):
            now[...] = then


@register("step", "to_network", strategy=cases, examples=CORNERS, weight=0.3)
def overwriting_returned_arrays_changes_nothing(subject: Subject, case: Case) -> None:
    """What evaluations, reports and to_network return is the caller's to overwrite."""
    implementation, twin = subject.build(case), subject.build(case)
    for method in subject.capabilities.methods:
        report = take(implementation, case, method)
        take(twin, case, method)
        if not goes_on(case, twin):
            return
        returned = [*_arrays(implementation.to_network()), *(np.asarray(count) for count in report.active_counts)]
        for operation in EVALUATIONS:
            if operation in subject.capabilities.operations:
                labels = [case.y, case.loss] if operation == "gradient" else []
                returned += _flat(getattr(implementation, operation)(case.X, *labels))
        for array in returned:
            if array.flags.writeable:
                array[...] = 1
        _assert_same(f"weights after {method}, what was returned overwritten", implementation, twin)
    take(implementation, case, subject.capabilities.methods[0])
    take(twin, case, subject.capabilities.methods[0])
    _assert_same("weights after a step, what was returned overwritten before", implementation, twin)


@register("forward", strategy=cases, examples=CORNERS, weight=0.2)
def returned_outputs_survive_the_next_evaluation(subject: Subject, case: Case) -> None:
    """What was returned is not a buffer that the next call writes again."""
    implementation = subject.build(case)
    held = implementation.forward(case.X)
    then = held.copy()
    implementation.forward(-2 * case.X)
    assert_identical("forward, after the next", ("sample", "output"), held, then)


@register("forward", "active_sets", strategy=cases, examples=CORNERS, weight=0.2)
def every_memory_layout_of_the_input_is_read_alike(subject: Subject, case: Case) -> None:
    """Views, read-only arrays, negative and large strides, Fortran's order and the other byte order."""
    implementation = subject.build(case)
    for name, X in _layouts(case.X).items():
        oracle: Replay = subject.replay(with_batch(case, X, case.y, case.network), implementation)
        assert_close(f"forward of {name}", ("sample", "output"), implementation.forward(X), oracle.outputs)


def _layouts(X: np.ndarray) -> dict[str, np.ndarray]:
    wide = np.full((2 * X.shape[0], 3 * X.shape[1]), np.nan, X.dtype)
    wide[::2, ::3] = X
    frozen = X.copy()
    frozen.flags.writeable = False
    return {
        "a view in steps": wide[::2, ::3],
        "a view backwards": X[::-1, ::-1].copy()[::-1, ::-1],
        "Fortran's order": np.asfortranarray(X),
        "a read-only array": frozen,
        "the other byte order": X.astype(X.dtype.newbyteorder()),
    }


def _copy(network: Network) -> Network:
    return Network(
        [weight.copy() for weight in network.weights],
        None if network.biases is None else [bias.copy() for bias in network.biases],
        network.readout.copy(),
        network.activation,
        None if network.readout_bias is None else network.readout_bias.copy(),
    )


def _arrays(network: Network) -> list[np.ndarray]:
    bias = [] if network.readout_bias is None else [network.readout_bias]
    return [*network.weights, network.readout, *(network.biases or ()), *bias]


def _names(network: Network) -> list[str]:
    layers = range(1, network.depth + 1)
    names = [*(f"weights, layer {layer}" for layer in layers), "readout"]
    names += [f"biases, layer {layer}" for layer in layers if network.biases is not None]
    return names if network.readout_bias is None else [*names, "readout bias"]


def _flat(returned: object) -> list[np.ndarray]:
    if isinstance(returned, np.ndarray):
        return [returned]
    assert isinstance(returned, list | tuple)
    return [array for part in returned for array in _flat(part)]


def _assert_same(what: str, got: Implementation, expected: Implementation) -> None:
    now, then = got.to_network(), expected.to_network()
    for name, a, b in zip(_names(then), _arrays(now), _arrays(then), strict=True):
        assert_identical(f"{name}: {what}", ("element",), a.ravel(), b.ravel())
