"""The oracle against examples small enough to be worked out on paper.

With width 2 the threshold τ = b·√(2/2) is b itself. With b = 0 both activations have √c = 1. With b = 1,
Q(1) = 0.15865525393145707 and p(1) = 0.24197072451914337.
"""

import numpy as np
import pytest

import reference
from reference import Activation, Network
from reference.forward import forward

Q, P = 0.15865525393145707, 0.24197072451914337


def test_one_layer_of_plain_relu():
    network = Network([[[1.0, 0.0], [2.0, -1.0]]], None, [[3.0, 5.0]], ("shifted_relu", 0.0))
    oracle = reference.factory(network)
    X = [[2.0, 1.0], [1.0, 4.0]]  # z = (2, 3) and (1, −2)
    np.testing.assert_array_equal(oracle.active_sets(X)[0], [[True, True], [True, False]])
    np.testing.assert_array_equal(oracle.forward(X), [[21.0], [3.0]])
    left, right = oracle.jacobian_factors(X)[0]
    np.testing.assert_array_equal(left, [[[3.0, 5.0]], [[3.0, 0.0]]])
    np.testing.assert_array_equal(right, X)
    # G = ⟨g, g⟩⟨x, x⟩: (9 + 25)·5, 9·6, 9·17
    np.testing.assert_array_equal(oracle.gram(X), [[170.0, 54.0], [54.0, 153.0]])
    # r = (1, 2): 1·(3, 5)ᵀ(2, 1) + 2·(3, 0)ᵀ(1, 4)
    np.testing.assert_array_equal(oracle.gradient(X, [20.0, 1.0])[0], [[12.0, 27.0], [10.0, 5.0]])


def test_two_layers_two_outputs_and_biases():
    network = Network(
        [[[1.0], [-1.0]], [[1.0, 2.0], [3.0, 4.0]]],
        [[1.0, 0.0], [-5.0, 0.0]],
        [[1.0, 1.0], [0.0, 2.0]],
        ("thresholded_identity", 0.0),
    )
    oracle = reference.factory(network)
    X = [[2.0]]  # z_1 = (3, −2), h_1 = (3, 0), z_2 = (−2, 9), h_2 = (0, 9)
    np.testing.assert_array_equal(oracle.forward(X), [[9.0, 18.0]])
    (left_1, right_1), (left_2, right_2) = oracle.jacobian_factors(X)
    np.testing.assert_array_equal(left_2, [[[0.0, 1.0], [0.0, 2.0]]])
    np.testing.assert_array_equal(right_2, [[3.0, 0.0]])
    np.testing.assert_array_equal(left_1, [[[3.0, 0.0], [6.0, 0.0]]])  # W_2ᵀ(0, 1) = (3, 4), unit 2 is off
    np.testing.assert_array_equal(right_1, X)
    # Layer 1: ((9, 18), (18, 36))·4; layer 2: ((1, 2), (2, 4))·9.
    np.testing.assert_array_equal(oracle.gram(X), [[45.0, 90.0], [90.0, 180.0]])


@pytest.mark.parametrize(
    ("kind", "second_moment", "values"),
    [
        ("shifted_relu", 2 * Q - P, [1.0, 0.0]),
        ("thresholded_identity", Q + P, [2.0, 0.0]),
    ],
)
def test_a_unit_at_the_threshold_is_inactive_and_active_ones_are_scaled(kind, second_moment, values):
    network = Network([[[2.0], [1.0]]], None, [[1.0, 1.0]], (kind, 1.0))  # τ = 1, z = (2, 1)
    trace = forward(network, np.ones((1, 1)))
    np.testing.assert_array_equal(trace.masks[0], [[True, False]])
    np.testing.assert_allclose(trace.hidden[1], [np.array(values) / np.sqrt(2 * second_moment)], rtol=1e-14)


def test_the_default_threshold_follows_the_width():
    m = 50
    tau = np.sqrt(0.4 * np.log(m)) * np.sqrt(2 / m)
    z = np.full((m, 1), tau)
    z[0], z[1] = tau * (1 + 1e-15), tau * (1 - 1e-15)
    network = Network([z], None, np.ones((1, m)), Activation())
    counts = reference.factory(network).active_sets([[1.0 + 1e-12]])[0].sum()
    assert counts == m
    assert reference.factory(network).active_sets([[1.0 - 1e-12]])[0].sum() == 0


def test_a_gradient_step():
    network = Network([[[1.0, 0.0], [2.0, -1.0]]], None, [[3.0, 5.0]], ("shifted_relu", 0.0))
    oracle = reference.factory(network)
    report = oracle.step([[2.0, 1.0], [1.0, 4.0]], [20.0, 1.0], method="gradient_descent", learning_rate=0.5)
    assert report.loss == 0.5 * (1 + 4)
    np.testing.assert_array_equal(oracle.to_network().weights[0], [[1.0 - 6.0, -13.5], [2.0 - 5.0, -1.0 - 2.5]])
    np.testing.assert_array_equal(network.weights[0], [[1.0, 0.0], [2.0, -1.0]])  # the caller's is left alone


def test_a_gauss_newton_step():
    network = Network([[[1.0], [1.0]]], None, [[1.0, 1.0]], ("shifted_relu", 0.0))
    oracle = reference.factory(network)
    # f = 4, r = 1, g = (1, 1), G = 2·4 = 8, q = ½ · 1 / (8 + 2)
    oracle.step([[2.0]], [3.0], method="gauss_newton", learning_rate=0.5, damping=2.0)
    np.testing.assert_allclose(oracle.to_network().weights[0], [[0.9], [0.9]], rtol=1e-15)


def test_a_report_names_dead_samples_and_counts_active_units():
    network = Network([[[1.0], [2.0]], [[1.0, 1.0], [1.0, -1.0]]], None, [[1.0, 1.0]], ("shifted_relu", 0.0))
    report = reference.factory(network).step([[1.0], [-1.0], [0.0]], [0.0, 0.0, 0.0])
    assert report.dead_samples == (1, 2)
    np.testing.assert_array_equal(report.active_counts, [[2, 0, 0], [1, 0, 0]])
    assert report.work == {}
