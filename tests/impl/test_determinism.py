"""The same numbers to the last bit: from run to run, and whatever the number of threads."""

import numpy as np
import pytest
import torch

import impl
from impl.initialization import random_network as initial_network
from impl.kernels import compiled, loops
from reference import Activation, load_problem, random_network

WIDTHS = [301, 257, 203]  # odd, so that threads get unequal shares


def trained(kernels, threads, dtype):
    torch.set_num_threads(threads)
    network = random_network(64, WIDTHS, outputs=1, dtype=dtype, seed=3)
    problem = load_problem("digits", 12)
    implementation = impl.factory(network, dtype=dtype, kernels=kernels)
    losses = [implementation.step(problem.X, problem.y, learning_rate=0.5, damping=1e-3).loss for _ in range(4)]
    weights = [weight.tobytes() for weight in implementation.to_network().weights]
    return losses, weights, implementation.forward(problem.X).tobytes(), implementation.gram(problem.X).tobytes()


@pytest.fixture
def always_parallel(monkeypatch):
    """However little there is to do, it is shared among the threads."""
    monkeypatch.setattr(compiled, "LEAST_PARALLEL_WORK", 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernels", ["compiled", "torch"])
def test_a_run_repeats_to_the_last_bit(kernels, dtype):
    first, again = (trained(kernels, 2, dtype) for _ in range(2))
    assert first == again
    assert first[0][-1] < first[0][0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_kernels_do_not_depend_on_the_number_of_threads(dtype, always_parallel, monkeypatch):
    used = []
    use = compiled.use_threads
    monkeypatch.setattr(compiled, "use_threads", lambda work: used.append(use(work)) or used[-1])
    results = [trained("compiled", threads, dtype) for threads in (1, 2)]
    assert set(used) == {1, min(2, compiled.MOST_THREADS)}
    assert results[0] == results[1]


@pytest.mark.parametrize("width", [1, 5, 63, 64, 1001])
def test_a_gather_does_not_depend_on_how_columns_are_shared_out(width):
    generator = np.random.default_rng(0)
    table = generator.standard_normal((40, width)).astype(np.float32)
    offsets = np.array([0, 13, 13, 40], np.int32)
    units = np.concatenate([np.arange(13), np.arange(13, 40)]).astype(np.uint32)
    values = generator.standard_normal(40).astype(np.float32)
    results = []
    for tiles in (1, 2, 3, 8):
        out = np.empty((3, width), np.float32)
        loops.gather(offsets, units, values, table, out, tiles)
        results.append(out.tobytes())
    assert len(set(results)) == 1


def test_the_seed_determines_the_initial_network():
    first, again, other = (
        initial_network(7, [30, 30], activation=Activation("shifted_relu", 0.5), seed=seed) for seed in (5, 5, 6)
    )
    for a, b, c in zip(first.weights, again.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
    np.testing.assert_array_equal(first.readout, again.readout)


def test_the_initial_network_has_the_variance_of_the_method():
    network = initial_network(40, [300, 300], seed=1, dtype="float64")
    for weight in network.weights:  # five standard errors: a wrong alarm for six seeds in ten million
        numbers = weight.ravel() / np.sqrt(2 / 300)
        assert abs(numbers.mean()) < 5 / np.sqrt(numbers.size)
        assert abs(numbers.var() - 1) < 5 * np.sqrt(2 / numbers.size)
    assert set(np.unique(network.readout)) == {-1.0, 1.0}
    assert (network.widths, network.outputs, network.biases) == ((40, 300, 300), 1, None)
