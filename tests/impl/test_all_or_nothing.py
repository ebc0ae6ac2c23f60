"""After an error in the middle of a step the network is, to the last bit, what it was before."""

import numpy as np
import pytest
from torch.utils._python_dispatch import TorchDispatchMode

import impl
from reference import ArgumentError, Network, SolveError, load_problem, random_network


class AllocationFails(TorchDispatchMode):
    """Raises MemoryError instead of the k-th operation that torch dispatches."""

    def __init__(self, k):
        super().__init__()
        self.left = k

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.left -= 1
        if self.left == 0:
            raise MemoryError("planted")
        return function(*args, **(kwargs or {}))


def bits(implementation):
    return [weight.tobytes() for weight in implementation.to_network().weights]


@pytest.mark.parametrize("kernels", ["compiled", "torch"])
@pytest.mark.parametrize("method", ["gauss_newton", "gradient_descent"])
def test_an_allocation_that_fails_anywhere_in_a_step_changes_nothing(kernels, method):
    network = random_network(5, [12, 10, 9], activation=("shifted_relu", 0.0))
    problem = load_problem("synthetic", 3, dimension=5)
    implementation = impl.factory(network, dtype="float64", kernels=kernels)
    before = bits(implementation)
    for k in range(1, 2000):
        try:
            with AllocationFails(k) as failing:
                implementation.step(problem.X, problem.y, method=method, damping=1e-2)
        except MemoryError:
            assert bits(implementation) == before, f"after operation {k} failed"
        else:
            assert failing.left > 0
            assert k > 50  # so many places were tried
            break
    twin = impl.factory(network, dtype="float64", kernels=kernels)
    twin.step(problem.X, problem.y, method=method, damping=1e-2)
    assert bits(implementation) == bits(twin) != before


def large_weights(factors, dtype):
    network = random_network(5, [12, 10], activation=("shifted_relu", 0.0), dtype=dtype)
    return Network(
        [factor * weight for factor, weight in zip(factors, network.weights, strict=True)],
        readout=network.readout,
        activation=network.activation,
    )


@pytest.mark.parametrize("kernels", ["compiled", "torch"])
@pytest.mark.parametrize(
    ("network", "dtype", "message"),
    [
        (large_weights((1e20, 1e20), "float32"), "float32", "forward: expected finite preactivations in layer 2"),
        (large_weights((1e160, 1.0), "float64"), "float64", "solve: expected a finite Gram matrix"),
    ],
)
def test_a_step_that_overflows_says_where_and_changes_nothing(network, dtype, message, kernels):
    problem = load_problem("synthetic", 3, dimension=5)
    implementation = impl.factory(network, dtype=dtype, kernels=kernels)
    before = bits(implementation)
    with pytest.raises(SolveError, match=message):
        implementation.step(problem.X, problem.y)
    assert bits(implementation) == before


def test_an_update_that_would_overflow_is_refused():
    network = random_network(5, [12, 10], activation=("shifted_relu", 0.0), dtype="float32")
    problem = load_problem("synthetic", 3, dimension=5)
    implementation = impl.factory(network)
    before = bits(implementation)
    with pytest.raises(SolveError, match="update: expected finite new weights in layer"):
        implementation.step(problem.X, problem.y, method="gradient_descent", learning_rate=1e38)
    assert bits(implementation) == before


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_training_goes_on_after_a_batch_that_is_not_finite(bad):
    network = random_network(64, [64, 64], dtype="float32")
    problem = load_problem("digits", 8)
    implementation, twin = impl.factory(network), impl.factory(network)
    spoilt = problem.X.copy()
    spoilt[3, 5] = bad
    for _ in range(3):
        with pytest.raises(ArgumentError, match=r"X: expected values finite in float32, got .* at index \(3, 5\)"):
            implementation.step(spoilt, problem.y)
        implementation.step(problem.X, problem.y)
        twin.step(problem.X, problem.y)
    assert bits(implementation) == bits(twin)
