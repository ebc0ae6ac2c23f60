"""A Gauss–Newton step solves (G + λI) q = η·r, in the limit λ → 0 where G is singular."""

import numpy as np
import pytest

import reference
from reference import Network, SolveError, random_network
from reference.jacobian import weighted_sum
from reference.step import gauss_newton, gradient_descent


def gram_of_rank(rank, rows, seed=0):
    J = np.random.default_rng(seed).standard_normal((rows, rank))
    return J @ J.T


ONES = np.ones((2, 1, 1))


def identity(r):
    """The Hessian of the squared loss."""
    return np.tile(np.eye(r.shape[1]), (len(r), 1, 1))


@pytest.mark.parametrize("damping", [0.0, 1e-6, 1.0, 1e3])
@pytest.mark.parametrize("outputs", [1, 2])
def test_the_coefficients_solve_the_damped_system(damping, outputs):
    G = gram_of_rank(40, 12)
    r = np.random.default_rng(1).standard_normal((12 // outputs, outputs))
    q = gauss_newton(G, r, identity(r), 0.5, damping)
    assert q.shape == r.shape
    # A backward stable solve leaves a residual of a few roundings of ‖A‖‖q‖.
    A = G + damping * np.eye(12)
    left = np.linalg.norm(A @ q.ravel() - 0.5 * r.ravel())
    assert left < 100 * 2.0**-53 * np.linalg.norm(A, 2) * np.linalg.norm(q)


def test_a_singular_matrix_without_damping_gives_the_shortest_solution():
    G = gram_of_rank(3, 6)
    r = np.random.default_rng(2).standard_normal((6, 1))
    expected = np.linalg.pinv(G, hermitian=True) @ r
    np.testing.assert_allclose(gauss_newton(G, r, identity(r), 1.0, 0.0), expected, rtol=1e-9)


def test_the_limit_of_small_damping_is_the_step_without_damping():
    G = gram_of_rank(3, 6)
    r = G @ np.random.default_rng(3).standard_normal((6, 1))  # as every residual that a step can remove
    np.testing.assert_allclose(
        gauss_newton(G, r, identity(r), 1.0, 1e-6), gauss_newton(G, r, identity(r), 1.0, 0.0), rtol=1e-4
    )


def test_a_matrix_of_zeros_gives_no_step():
    np.testing.assert_array_equal(gauss_newton(np.zeros((2, 2)), np.ones((2, 1)), ONES, 1.0, 0.0), np.zeros((2, 1)))


def test_with_damping_a_matrix_of_zeros_gives_the_damped_residual():
    np.testing.assert_allclose(gauss_newton(np.zeros((2, 2)), np.ones((2, 1)), ONES, 0.5, 4.0), np.full((2, 1), 0.125))


def test_gradient_descent_takes_the_residual_itself():
    np.testing.assert_array_equal(gradient_descent(np.array([[2.0, 4.0]]), 0.25), [[0.5, 1.0]])


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_matrix_that_overflowed_is_refused(value):
    with pytest.raises(SolveError, match="expected a finite Gram matrix"):
        gauss_newton(np.full((1, 1), value), np.ones((1, 1)), ONES[:1], 1.0, 0.0)


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_step_moves_the_weights_by_the_solution(outputs):
    network = random_network(5, (30, 20), outputs=outputs, seed=4)
    oracle = reference.factory(network)
    generator = np.random.default_rng(5)
    X, y = generator.standard_normal((6, 5)), generator.standard_normal((6, outputs))
    G, factors, residual = oracle.gram(X), oracle.jacobian_factors(X), oracle.forward(X) - y
    q = 0.7 * np.linalg.solve(G + 0.01 * np.eye(len(G)), residual.ravel()).reshape(residual.shape)
    report = oracle.step(X, y, learning_rate=0.7, damping=0.01)
    assert report.loss == pytest.approx(0.5 * (residual**2).sum(), rel=1e-14)
    for before, after, (left, right) in zip(network.weights, oracle.to_network().weights, factors, strict=True):
        np.testing.assert_allclose(after, before - weighted_sum(q, left, right), rtol=1e-9, atol=1e-12)


def test_duplicate_samples_without_damping_are_fitted_where_their_targets_agree():
    oracle = reference.factory(random_network(5, (60,), activation=("shifted_relu", 0.0), seed=6))
    X = np.random.default_rng(7).standard_normal((4, 5))
    X[1] = X[0]
    y = np.array([1.0, 1.0, -1.0, 2.0])
    for _ in range(8):
        oracle.step(X, y, damping=0.0)
    assert 0.5 * ((oracle.forward(X)[:, 0] - y) ** 2).sum() < 1e-20


def test_an_overflow_leaves_the_network_unchanged():
    network = Network([[[1.0, 2.0]]], None, [[1.0]], ("shifted_relu", 0.0))
    oracle = reference.factory(network)
    with np.errstate(over="ignore", invalid="ignore"):
        with pytest.raises(SolveError, match="Gram matrix"):
            oracle.step([[1e200, 1e200]], [0.0])
        with pytest.raises(SolveError, match="expected finite new weights"):
            oracle.step([[1e200, 1e200]], [0.0], method="gradient_descent")
    np.testing.assert_array_equal(oracle.to_network().weights[0], network.weights[0])
