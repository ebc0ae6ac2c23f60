"""Ill-conditioned is not bad input: damped, reported, survived."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

import impl
import reference
from impl.solvers import CholeskySolver
from impl.work import WorkMeter
from reference import load_problem, random_network


@pytest.fixture(params=["compiled", "torch"])
def kernels(request):
    return request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


def problem_of(samples):
    problem = load_problem("digits", samples)
    return problem.X, problem.y


def loss_after(implementation, X, y, steps=8, **options):
    reports = [implementation.step(X, y, **options) for _ in range(steps)]
    return 0.5 * float(((implementation.forward(X) - y) ** 2).sum()), reports


def test_duplicate_samples_with_equal_targets_are_fitted_without_damping(kernels, dtype):
    X, y = problem_of(12)
    X[6:], y[6:] = X[:6], y[:6]
    implementation = impl.factory(random_network(64, [256, 256], dtype=dtype), dtype=dtype, kernels=kernels)
    loss, reports = loss_after(implementation, X, y, damping=0.0)
    assert loss < (1e-6 if dtype == "float32" else 1e-18)
    assert reports[0].solver == "eigenvectors"
    assert reports[0].notes == ("Gram matrix singular to rounding at damping 0: 6 of 12 directions left out",)


def test_duplicate_samples_with_contrary_targets_end_at_the_mean(kernels, dtype):
    X, y = problem_of(4)
    X[1], y[0], y[1] = X[0], 1.0, -1.0
    implementation = impl.factory(random_network(64, [256, 256], dtype=dtype), dtype=dtype, kernels=kernels)
    loss, _ = loss_after(implementation, X, y, damping=0.0)
    assert loss == pytest.approx(1.0, rel=1e-4)  # ½(1² + 1²) at the two, nothing at the others
    assert implementation.forward(X)[0] == implementation.forward(X)[1]


def test_a_singular_step_is_the_oracle_s(kernels):
    X, y = problem_of(6)
    X[3:] = X[:3]
    network = random_network(64, [200, 160], seed=2)
    implementation, oracle = impl.factory(network, dtype="float64", kernels=kernels), reference.factory(network)
    for each in (implementation, oracle):
        each.step(X, y, damping=0.0)
    for got, expected in zip(implementation.to_network().weights, oracle.to_network().weights, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("method", ["gauss_newton", "gradient_descent"])
@pytest.mark.parametrize("damping", [0.0, 1e-3])
def test_where_all_samples_are_dead_nothing_moves_and_the_report_says_so(kernels, dtype, method, damping):
    X, y = problem_of(5)
    network = random_network(64, [16, 16], activation=("shifted_relu", 8.0), dtype=dtype)
    implementation = impl.factory(network, dtype=dtype, kernels=kernels)
    report = implementation.step(X, y, method=method, damping=damping)
    assert report.dead_samples == (0, 1, 2, 3, 4)
    assert report.loss == 2.5
    np.testing.assert_array_equal(report.active_counts, np.zeros((2, 5)))
    np.testing.assert_array_equal(implementation.forward(X), np.zeros((5, 1)))
    np.testing.assert_array_equal(implementation.gram(X), np.zeros((5, 5)))
    for now, before in zip(implementation.to_network().weights, network.weights, strict=True):
        np.testing.assert_array_equal(now, before)


def test_some_dead_samples_do_not_keep_the_others_from_being_fitted(kernels, dtype):
    X, y = problem_of(6)
    X[2] = X[5] = 0.0
    implementation = impl.factory(random_network(64, [256, 256], dtype=dtype), dtype=dtype, kernels=kernels)
    loss, reports = loss_after(implementation, X, y, damping=0.0)
    dead = reports[-1].dead_samples  # others may have died on the way
    assert {2, 5} <= set(dead) < set(range(6))
    assert loss == pytest.approx(0.5 * len(dead), rel=1e-5)


@pytest.mark.parametrize("kind", ["shifted_relu", "thresholded_identity"])
def test_with_all_units_active_the_step_is_the_oracle_s(kernels, dtype, kind):
    X, y = problem_of(6)
    network = random_network(64, [32, 24], activation=(kind, -30.0), dtype=dtype)
    implementation, oracle = impl.factory(network, dtype=dtype, kernels=kernels), reference.factory(network)
    reports = [each.step(X, y, learning_rate=0.5, damping=1.0) for each in (implementation, oracle)]
    np.testing.assert_array_equal(reports[0].active_counts, [[32] * 6, [24] * 6])
    assert reports[0].loss == pytest.approx(reports[1].loss, rel=1e-4 if dtype == "float32" else 1e-12)
    for got, expected in zip(implementation.to_network().weights, oracle.to_network().weights, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("method", ["gauss_newton", "gradient_descent"])
def test_one_sample_is_enough(kernels, dtype, method):
    X, y = problem_of(1)
    implementation = impl.factory(random_network(64, [128, 128], dtype=dtype), dtype=dtype, kernels=kernels)
    rate = 1.0 if method == "gauss_newton" else 0.5 / implementation.gram(X)[0, 0]
    loss, _ = loss_after(implementation, X, y, steps=60, method=method, learning_rate=rate, damping=0.0)
    assert loss < 1e-6


def test_one_unit_one_input_one_sample(kernels):
    network = reference.Network([[[1.0]]], None, [[1.0]], ("shifted_relu", 0.0))
    implementation = impl.factory(network, dtype="float64", kernels=kernels)
    implementation.step([[2.0]], [1.0], damping=0.0)  # f = 2, r = 1, G = 4: w = 1 − ¼·2
    np.testing.assert_array_equal(implementation.to_network().weights[0], [[0.5]])


def test_a_learning_rate_of_zero_changes_nothing(kernels, dtype):
    X, y = problem_of(4)
    network = random_network(64, [64, 64], dtype=dtype)
    implementation = impl.factory(network, dtype=dtype, kernels=kernels)
    implementation.step(X, y, learning_rate=0.0)
    for now, before in zip(implementation.to_network().weights, network.weights, strict=True):
        np.testing.assert_array_equal(now, before)


@dataclass
class Written:
    """A system that is given as a matrix."""

    matrix: torch.Tensor
    damping: float

    @property
    def rows(self):
        return len(self.matrix)


def solved(gram, damping, right):
    matrix = torch.tensor(gram, dtype=torch.float64) + damping * torch.eye(len(gram), dtype=torch.float64)
    return CholeskySolver().solve(Written(matrix, damping), torch.tensor(right), WorkMeter(torch.device("cpu")))


@pytest.mark.parametrize("damping", [0.0, 1e-9, 1.0])
def test_both_solvers_solve_the_damped_system(damping):
    J = np.random.default_rng(0).standard_normal((8, 5))
    r = np.random.default_rng(1).standard_normal(8)
    for rows, solver in ((8, "eigenvectors" if damping < 1e-12 else "cholesky"), (5, "cholesky")):
        G = J[:rows] @ J[:rows].T if rows == 8 else J.T @ J
        right = r[:rows]
        solution = solved(G, damping, right)
        assert solution.solver == solver
        assert bool(solution.notes) == (solver == "eigenvectors")
        expected = np.linalg.pinv(G + damping * np.eye(rows), rcond=1e-13, hermitian=True) @ right
        np.testing.assert_allclose(solution.values.numpy(), expected, rtol=1e-5)


def test_a_matrix_that_cholesky_passes_as_noise_goes_to_the_eigenvectors():
    G = np.ones((3, 3)) + np.diag([0.0, 1.0, 1e-17])
    solution = solved(G, 0.0, np.ones(3))
    assert solution.solver == "eigenvectors"
    np.testing.assert_allclose(solution.values.numpy().sum(), 1.0, rtol=1e-12)
