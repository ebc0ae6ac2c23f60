"""Jacobian, gradient and Gram matrix of the oracle against finite differences and against their definitions.

Central differences are taken where no mask changes: the function is then a product of linear maps, of degree one in
every single weight, so that a difference is off by rounding alone: u·|f|/ε, far below the tolerance 1e-7.
"""

from dataclasses import replace

import numpy as np
import pytest

import reference
from reference import Activation, random_network
from reference.forward import forward
from reference.gram import gram, gram_from_jacobian
from reference.jacobian import layer_jacobian, left_factors, right_factors, weighted_sum

EPSILON = 1e-6

NETWORKS = {
    "one layer": random_network(3, (6,), activation=Activation("shifted_relu", 0.2), seed=1),
    "three layers": random_network(4, (9, 8, 7), activation=Activation("shifted_relu", 0.1), seed=2),
    "three outputs and biases": random_network(3, (7, 8), outputs=3, biases=True, activation="shifted_relu", seed=3),
    "thresholded identity": random_network(
        3, (8, 6), outputs=2, activation=Activation("thresholded_identity", 0.3), seed=4
    ),
    "all active": random_network(2, (4, 3), activation=Activation("shifted_relu", -20.0), seed=5),
}


def samples(network, n=4):
    return np.random.default_rng(0).standard_normal((n, network.widths[0]))


def moved(network, layer, index, by):
    weights = [weight.copy() for weight in network.weights]
    weights[layer][index] += by
    return replace(network, weights=weights)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_jacobian_is_the_limit_of_differences(name):
    network = NETWORKS[name]
    X = samples(network)
    trace = forward(network, X)
    left, right = left_factors(network, trace), right_factors(trace)
    for layer, weight in enumerate(network.weights):
        jacobian = layer_jacobian(left[layer], right[layer])
        for index in np.ndindex(weight.shape):
            ahead, behind = (forward(moved(network, layer, index, sign * EPSILON), X) for sign in (1, -1))
            for masks in (ahead.masks, behind.masks):
                assert all((a == b).all() for a, b in zip(masks, trace.masks, strict=True)), "outside the margin"
            difference = (ahead.outputs - behind.outputs) / (2 * EPSILON)
            np.testing.assert_allclose(jacobian[:, :, *index], difference, rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_is_the_limit_of_differences_of_the_risk(name):
    network = NETWORKS[name]
    X = samples(network)
    y = np.random.default_rng(1).standard_normal((len(X), network.outputs))
    gradient = reference.factory(network).gradient(X, y)

    def risk(at):
        return 0.5 * ((forward(at, X).outputs - y) ** 2).sum()

    for layer, weight in enumerate(network.weights):
        for index in np.ndindex(weight.shape):
            # Quadratic in one weight: the central difference is exact.
            ahead, behind = (risk(moved(network, layer, index, sign * EPSILON)) for sign in (1, -1))
            assert gradient[layer][index] == pytest.approx((ahead - behind) / (2 * EPSILON), abs=1e-7)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gram_matrix_is_the_jacobian_times_its_transpose(name):
    network = NETWORKS[name]
    X = samples(network, 5)
    trace = forward(network, X)
    left, right = left_factors(network, trace), right_factors(trace)
    rows = [
        np.concatenate([np.outer(g[i, o], h[i]).ravel() for g, h in zip(left, right, strict=True)])
        for i in range(5)
        for o in range(network.outputs)
    ]
    explicit = np.array([[a @ b for b in rows] for a in rows])
    np.testing.assert_allclose(gram(left, right), explicit, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(gram_from_jacobian(left, right), explicit, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(reference.factory(network).gram(X), explicit, rtol=1e-12, atol=1e-12)


def test_a_weighted_sum_of_jacobian_rows_is_summed_over_samples_and_outputs():
    generator = np.random.default_rng(2)
    q, g, h = (generator.standard_normal(shape) for shape in ((3, 2), (3, 2, 5), (3, 4)))
    expected = sum(q[i, o] * np.outer(g[i, o], h[i]) for i in range(3) for o in range(2))
    np.testing.assert_allclose(weighted_sum(q, g, h), expected, rtol=1e-13)


def test_masks_that_are_given_are_used():
    network = NETWORKS["one layer"]
    X = samples(network)
    masks = [~mask for mask in forward(network, X).masks]
    trace = forward(network, X, masks)
    np.testing.assert_array_equal(trace.hidden[1] != 0, masks[0])
