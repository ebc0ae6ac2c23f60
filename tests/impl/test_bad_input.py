"""Every argument of the public surface: one message that names it, what was expected and what came; nothing changes."""

import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

import impl
from impl.initialization import random_network as initial_network
from impl.kernels import select_kernels
from reference import Activation, ArgumentError, Network, load_problem, random_network

NETWORK = random_network(6, [20, 16], outputs=2, activation=("shifted_relu", 0.2), biases=True)
PROBLEM = load_problem("synthetic", 4, dimension=6)
X, Y = PROBLEM.X, np.hstack([PROBLEM.y, -PROBLEM.y])


def refused(message):
    return pytest.raises(ArgumentError, match=f"^{re.escape(message)}")


def scaled(network, **factors):
    """The network with some of its arrays multiplied."""
    changes = {
        name: factor * network.readout if name == "readout" else [factor * array for array in getattr(network, name)]
        for name, factor in factors.items()
    }
    return replace(network, **changes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": None}, "network: expected a Network, got NoneType"),
        ({"network": NETWORK.weights}, "network: expected a Network, got tuple"),
        ({"network": scaled(NETWORK, weights=1e200)}, "weights[0]: expected values finite in float32, got "),
        ({"network": scaled(NETWORK, biases=1e200)}, "biases[0]: expected values finite in float32, got "),
        ({"network": scaled(NETWORK, readout=1e200)}, "readout: expected values finite in float32, got "),
        (
            {"network": replace(NETWORK, activation=Activation("shifted_relu", 20.0))},
            "activation.b: expected a threshold whose scale is finite in torch.float32, got 20 (scale ",
        ),
        ({"device": "abacus"}, "device: expected a device that torch can use here, got 'abacus' ("),
        ({"device": "cuda:99"}, "device: expected a device that torch can use here, got 'cuda:99' ("),
        ({"device": ""}, "device: expected a device that torch can use here, got '' ("),
        ({"device": None}, "device: expected a device that torch can use here, got None ("),
        ({"device": 1.5}, "device: expected a device that torch can use here, got 1.5 ("),
        ({"device": "meta"}, "device: expected a device that stores numbers, got 'meta'"),
        ({"dtype": "float16"}, "dtype: expected one of float32, float64, got 'float16'"),
        ({"dtype": torch.bfloat16}, "dtype: expected one of float32, float64, got 'bfloat16'"),
        ({"dtype": None}, "dtype: expected one of float32, float64, got 'None'"),
        ({"kernels": "fast"}, "kernels: expected one of auto, compiled, triton, torch, got 'fast'"),
        ({"kernels": None}, "kernels: expected one of auto, compiled, triton, torch, got None"),
    ],
)
def test_the_factory_refuses(arguments, message):
    with refused(message):
        impl.factory(**{"network": NETWORK} | arguments)


def test_compiled_kernels_are_refused_away_from_the_cpu():
    with refused("kernels: expected torch, since compiled kernels need a CPU device and numba, got 'compiled'"):
        select_kernels("compiled", torch.device("meta"))
    assert select_kernels("auto", torch.device("meta")).name == "torch"
    assert select_kernels("auto", torch.device("cpu")).name == "compiled"


def test_without_numba_the_portable_kernels_are_taken(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert select_kernels("auto", torch.device("cpu")).name == "torch"
    with refused("kernels: expected torch, since compiled kernels need a CPU device and numba, got 'compiled'"):
        select_kernels("compiled", torch.device("cpu"))


def allocated_while(run):
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_network_beyond_the_memory_is_refused_before_anything_is_allocated(monkeypatch):
    def build_too_large():
        with refused("network: expected a size that fits the memory (0.0 GiB), got one that takes "):
            impl.factory(network)

    network = random_network(500, [1000], dtype="float32")  # 2 MB
    monkeypatch.setattr("impl.construction.Machine.memory", 10**6)
    assert allocated_while(build_too_large) < 10**5

    def draw_too_large():
        with refused("widths: expected a size that fits the memory ("):
            initial_network(64, [10**7] * 2)

    assert allocated_while(draw_too_large) < 10**5


BAD_X = [
    (None, "X: expected an array of shape (≥1, 6), got None"),
    ("X", "X: expected an array of real numbers, got dtype <U1"),
    (X[:, :5], "X: expected shape (≥1, 6), got shape (4, 5)"),
    (X[0], "X: expected shape (≥1, 6), got shape (6,)"),
    (X[:0], "X: expected shape (≥1, 6), got shape (0, 6)"),
    (X * np.nan, "X: expected values finite in float32, got nan at index (0, 0)"),
    (X * 1e300, "X: expected values finite in float32, got "),
    (X * 1j, "X: expected an array of real numbers, got dtype complex128"),
    (X > 0, "X: expected an array of real numbers, got dtype bool"),
    ([[1.0], [1.0, 2.0]], "X: expected an array of shape (≥1, 6), got list ("),
]
BAD_Y = [
    (None, "y: expected an array of shape (4, 2), got None"),
    (Y[:3], "y: expected shape (4, 2), got shape (3, 2)"),
    (Y[:, 0], "y: expected shape (4, 2), got shape (4,)"),
    (Y.T, "y: expected shape (4, 2), got shape (2, 4)"),
    (Y * np.inf, "y: expected values finite in float32, got "),
    (Y * 1e300, "y: expected values finite in float32, got "),
    (Y.astype(str), "y: expected an array of real numbers, got dtype <U"),
]
BAD_OPTIONS = [
    ({"method": "newton"}, "method: expected one of gradient_descent, gauss_newton, got 'newton'"),
    ({"method": None}, "method: expected one of gradient_descent, gauss_newton, got None"),
    ({"loss": "cubic"}, "loss: expected one of squared, huber, logistic, softmax_cross_entropy, got 'cubic'"),
    ({"loss": 2}, "loss: expected one of squared, huber, logistic, softmax_cross_entropy, got 2"),
    ({"learning_rate": -1.0}, "learning_rate: expected a finite number of at least 0, got -1.0"),
    ({"learning_rate": np.nan}, "learning_rate: expected a finite number of at least 0, got nan"),
    ({"learning_rate": "1"}, "learning_rate: expected a finite number of at least 0, got '1'"),
    ({"learning_rate": None}, "learning_rate: expected a finite number of at least 0, got None"),
    ({"damping": -1e-9}, "damping: expected a finite number of at least 0, got -1e-09"),
    ({"damping": np.inf}, "damping: expected a finite number of at least 0, got inf"),
    ({"damping": [0.1]}, "damping: expected a finite number of at least 0, got [0.1]"),
]


@pytest.fixture(scope="module")
def implementation():
    return impl.factory(NETWORK)


@pytest.mark.parametrize("operation", ["forward", "active_sets", "jacobian_factors", "gram"])
@pytest.mark.parametrize(("bad", "message"), BAD_X)
def test_every_evaluation_refuses_samples_that_are_not_right(implementation, operation, bad, message):
    with refused(message):
        getattr(implementation, operation)(bad)


@pytest.mark.parametrize(("bad", "message"), BAD_X)
@pytest.mark.parametrize("operation", ["gradient", "step"])
def test_so_do_gradient_and_step(implementation, operation, bad, message):
    with refused(message):
        getattr(implementation, operation)(bad, Y)


@pytest.mark.parametrize(("bad", "message"), BAD_Y)
@pytest.mark.parametrize("operation", ["gradient", "step"])
def test_gradient_and_step_refuse_targets_that_are_not_right(implementation, operation, bad, message):
    with refused(message):
        getattr(implementation, operation)(X, bad)


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_a_step_refuses_options_that_are_not_right(implementation, options, message):
    with refused(message):
        implementation.step(X, Y, **options)


def test_a_gradient_refuses_an_unknown_loss(implementation):
    with refused("loss: expected one of squared, huber, logistic, softmax_cross_entropy, got 'cubic'"):
        implementation.gradient(X, Y, "cubic")


def test_so_many_samples_that_entries_could_not_be_counted_are_refused(monkeypatch):
    implementation = impl.factory(random_network(1, [4]))
    implementation.shell = replace(implementation.shell, widths=(1, 2**30))
    with refused("X: expected at most 1 samples at these widths, got 2"):
        implementation.forward([[1.0], [2.0]])


def test_whatever_was_refused_the_next_step_is_that_of_an_undisturbed_twin():
    disturbed, twin = impl.factory(NETWORK), impl.factory(NETWORK)
    attempts = [{"X": bad} for bad, _ in BAD_X] + [{"y": bad} for bad, _ in BAD_Y] + [bad for bad, _ in BAD_OPTIONS]
    for _ in range(2):
        for attempt in attempts:
            before = disturbed.to_network()
            with pytest.raises(ArgumentError):
                disturbed.step(**{"X": X, "y": Y} | attempt)
            now = disturbed.to_network()
            assert all((a == b).all() for a, b in zip(now.weights, before.weights, strict=True))
        assert disturbed.step(X, Y).loss == twin.step(X, Y).loss
    for a, b in zip(disturbed.to_network().weights, twin.to_network().weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_caller_s_arrays_are_neither_kept_nor_changed():
    weights = [np.array(weight) for weight in NETWORK.weights]
    network = Network(weights, NETWORK.biases, NETWORK.readout, NETWORK.activation)
    implementation = impl.factory(network, dtype="float64")
    given = X.copy()
    implementation.step(given, Y)
    np.testing.assert_array_equal(given, X)
    after = implementation.to_network().weights[0].copy()
    for weight, before in zip(weights, NETWORK.weights, strict=True):
        np.testing.assert_array_equal(weight, before)
        weight[...] = 0.0
    np.testing.assert_array_equal(implementation.to_network().weights[0], after)
