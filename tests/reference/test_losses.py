"""Gradients and Hessians of the losses against differences of what they are the derivatives of."""

import numpy as np
import pytest

import reference
from reference import LOSSES, random_network
from reference.loss import gradient, hessian, value
from reference.step import gauss_newton

Y = {
    "squared": np.array([[0.5, -1.0, 2.0], [0.0, 3.0, -0.25]]),
    "huber": np.array([[0.5, -1.0, 2.0], [0.0, 3.0, -0.25]]),
    "logistic": np.array([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]]),
    "softmax_cross_entropy": np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
}
F = np.array([[0.3, -0.8, 1.7], [1.4, -2.0, 0.4]])  # no entry on an edge of the Huber loss
STEP = 1e-5


def difference(function, f, index):
    """The central difference with respect to one output; its error is of the order of STEP² and 1e-16 / STEP."""
    shift = np.zeros_like(f)
    shift[index] = STEP
    return (function(f + shift) - function(f - shift)) / (2 * STEP)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_is_that_of_the_value(loss):
    r = gradient(loss, F, Y[loss])
    for index in np.ndindex(*F.shape):
        assert r[index] == pytest.approx(difference(lambda f: value(loss, f, Y[loss]), F, index), abs=1e-8)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_hessian_is_that_of_the_gradient(loss):
    H = hessian(loss, F, Y[loss])
    assert H.shape == (2, 3, 3)
    for sample, output in np.ndindex(*F.shape):
        column = difference(lambda f: gradient(loss, f, Y[loss]), F, (sample, output))
        np.testing.assert_allclose(H[sample, :, output], column[sample], atol=1e-8)
        assert not np.delete(column, sample, axis=0).any()  # block-diagonal


def test_values_by_hand():
    assert value("squared", np.array([[3.0]]), np.array([[1.0]])) == 2.0
    assert value("huber", np.array([[3.0], [1.5]]), np.array([[1.0], [1.0]])) == 1.5 + 0.125
    assert value("logistic", np.array([[0.0]]), np.array([[1.0]])) == pytest.approx(np.log(2))
    assert value("softmax_cross_entropy", np.zeros((1, 4)), np.eye(4)[:1]) == pytest.approx(np.log(4))


@pytest.mark.parametrize("size", [1e2, 1e3, 1e6])
@pytest.mark.parametrize("loss", ["logistic", "softmax_cross_entropy"])
def test_confident_outputs_do_not_overflow(loss, size):
    f = size * np.array([[1.0, -1.0]])
    wrong = np.array([[-1.0, 1.0]]) if loss == "logistic" else np.array([[0.0, 1.0]])
    assert value(loss, f, wrong) == pytest.approx(2 * size)
    assert np.isfinite(gradient(loss, f, wrong)).all() and np.isfinite(hessian(loss, f, wrong)).all()


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "logistic", "squared"])
def test_the_step_without_damping_is_the_limit_of_small_damping(loss):
    J = np.random.default_rng(0).standard_normal((6, 20))
    r, H = gradient(loss, F, Y[loss]), hessian(loss, F, Y[loss])
    limit = gauss_newton(J @ J.T, r, H, 1.0, 0.0)
    np.testing.assert_allclose(gauss_newton(J @ J.T, r, H, 1.0, 1e-7), limit, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_gauss_newton_steps_lower_every_loss(loss):
    network = random_network(5, (40, 30), outputs=3, seed=1)
    oracle = reference.factory(network)
    X = np.random.default_rng(2).standard_normal((2, 5))
    losses = [oracle.step(X, Y[loss], loss=loss, learning_rate=0.5, damping=1.0).loss for _ in range(12)]
    assert losses[-1] < 0.2 * losses[0]


def test_only_the_trained_layers_move_and_count():
    network = random_network(4, (9, 8, 7), seed=3)
    X, y = np.random.default_rng(4).standard_normal((3, 4)), np.ones((3, 1))
    parts = [reference.factory(network, trained_layers=[layer]).gram(X) for layer in (1, 2, 3)]
    np.testing.assert_allclose(sum(parts), reference.factory(network).gram(X), rtol=1e-12)
    oracle = reference.factory(network, trained_layers=(1, 3))
    oracle.step(X, y, damping=1.0)
    moved = [
        not np.array_equal(now, then) for now, then in zip(oracle.to_network().weights, network.weights, strict=True)
    ]
    assert moved == [True, False, True]


@pytest.mark.parametrize("layers", [[], [0], [4], [1, 1], "12", 2, [1.5], [True]])
def test_layers_that_are_not_there_are_refused(layers):
    with pytest.raises(reference.ArgumentError, match="trained_layers: expected"):
        reference.factory(random_network(4, (9, 8, 7)), trained_layers=layers)
