"""The paper's initialization: what it asks of the memory, and the numbers' spread by layer."""

import numpy as np
import pytest

import impl.initialization
from impl.initialization import random_network


@pytest.mark.parametrize(("dtype", "itemsize"), [("float32", 4), ("float64", 8)])
def test_weights_are_to_fit_the_memory_twice(dtype, itemsize, monkeypatch):
    asked = []
    monkeypatch.setattr(impl.initialization, "affordable", lambda name, size: asked.append((name, size)))
    random_network(5, [12, 9, 7], outputs=2, dtype=dtype)
    assert asked == [("widths", 2 * itemsize * (5 * 12 + 12 * 9 + 9 * 7))]


def test_shapes_dtype_and_signs():
    network = random_network(5, [12, 9], outputs=2, dtype="float64", seed=3)
    assert [weight.shape for weight in network.weights] == [(12, 5), (9, 12)]
    assert network.readout.shape == (2, 9) and network.biases is None and network.readout_bias is None
    assert {weight.dtype for weight in (*network.weights, network.readout)} == {np.dtype(np.float64)}
    assert set(np.unique(network.readout)) == {-1.0, 1.0}
    assert np.array_equal(network.weights[1], random_network(5, [12, 9], outputs=2, dtype="float64", seed=3).weights[1])
    assert not np.array_equal(network.weights[1], random_network(5, [12, 9], dtype="float64", seed=4).weights[1])


@pytest.mark.parametrize("layer", [1, 2])
def test_weights_have_mean_zero_and_variance_two_over_the_width(layer):
    weights = random_network(150, [400, 200], seed=0).weights[layer - 1].astype(np.float64)
    fan_out, size = weights.shape[0], weights.size
    scaled = weights * np.sqrt(fan_out / 2)
    # Of standard normals, with one fixed seed: six standard deviations of the mean and of the mean square.
    assert abs(scaled.mean()) < 6 / np.sqrt(size)
    assert abs((scaled**2).mean() - 1) < 6 * np.sqrt(2 / size)
