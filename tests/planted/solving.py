"""The Gauss–Newton system: damping, learning rate, solvers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tests.planted.registry import CG, NUMPY, ORACLE, OURS, Module, plant

STEP = "gauss_newton_step_matches_the_oracle"


def damped(gauss_newton: Module, change: Any) -> None:
    """Hands another damping to the system: change(λ, factors)."""
    correct = gauss_newton.GaussNewtonSystem.__init__

    def init(self: Any, factors: Any, curvature: Any, damping: float, *more: Any) -> None:
        correct(self, factors, curvature, change(damping, factors), *more)

    gauss_newton.GaussNewtonSystem.__init__ = init


@plant("impl.gauss_newton", killed_by=STEP)
def damping_times_samples(gauss_newton: Module) -> None:
    """The damping is multiplied by the number of samples."""
    damped(gauss_newton, lambda damping, factors: damping * factors.samples)


@plant("impl.gauss_newton", killed_by=STEP)
def damping_squared(gauss_newton: Module) -> None:
    """The damping enters as λ²."""
    damped(gauss_newton, lambda damping, factors: damping**2)


@plant("impl.gauss_newton", killed_by=STEP)
def damping_ignored(gauss_newton: Module) -> None:
    """The system is solved without damping: a smoke test with a small λ sees nothing."""
    damped(gauss_newton, lambda damping, factors: 0.0)


@plant("reference.step", ORACLE, killed_by=STEP)
def hessian_times_damping(step: Module) -> None:
    """H (G + λI) instead of H G + λI: the same for the squared loss."""
    correct = step.gauss_newton

    def gauss_newton(gram: Any, residual: Any, hessian: Any, learning_rate: float, damping: float) -> Any:
        shifted = gram + damping * np.eye(len(gram)) - damping * np.linalg.pinv(step.scipy.linalg.block_diag(*hessian))
        return correct(shifted, residual, hessian, learning_rate, damping)

    step.gauss_newton = gauss_newton


@plant("impl.implementation", killed_by=STEP)
def learning_rate_inside_the_solve(implementation: Module) -> None:
    """η is drawn into the solve: η (G + (λ/η) I)⁻¹ r, the same where η = 1."""
    correct = implementation.SparseNetwork.step

    def step(self: Any, X: Any, y: Any, **options: Any) -> Any:
        rate = options.get("learning_rate", 1.0)
        if options.get("method", "gauss_newton") == "gauss_newton" and isinstance(rate, float) and 0.0 < rate < 1.0:
            options["damping"] = options.get("damping", 1e-6) / rate
        return correct(self, X, y, **options)

    implementation.SparseNetwork.step = step


@plant("impl.implementation", killed_by="gradient_descent_step_matches_the_oracle")
def learning_rate_over_samples(implementation: Module) -> None:
    """Gradient descent divides the learning rate by the number of samples."""
    correct = implementation.SparseNetwork.step

    def step(self: Any, X: Any, y: Any, **options: Any) -> Any:
        if options.get("method") == "gradient_descent" and np.ndim(X) > 0 and options.get("learning_rate", 0.0) > 0.0:
            options["learning_rate"] = options["learning_rate"] / max(len(X), 1)
        return correct(self, X, y, **options)

    implementation.SparseNetwork.step = step


@plant("impl.solvers.cholesky", OURS, killed_by=STEP)
def silent_jitter(cholesky: Module) -> None:
    """A jitter of 10⁻⁶ of the largest diagonal element makes every system positive definite."""
    correct = cholesky.CholeskySolver.solve

    class Jittered:
        def __init__(self, system: Any):
            self.damping, self.rows = system.damping, system.rows
            self.matrix = system.matrix + 1e-6 * system.matrix.diagonal().max() * torch.eye(system.rows).double()

    cholesky.CholeskySolver.solve = lambda self, system, *more: correct(self, Jittered(system), *more)


@plant("impl.solvers.cholesky", OURS, killed_by=STEP)
def small_eigenvalues_dropped(cholesky: Module) -> None:
    """The system is solved by eigenvectors that leave out all below 10⁻³ of the largest."""

    def solve(self: Any, system: Any, right: torch.Tensor, work: Any) -> Any:
        inverse = torch.linalg.pinv(system.matrix, rtol=1e-3, hermitian=True)
        return cholesky.Solution(inverse @ right, self.name, cholesky.SolveReport())

    cholesky.CholeskySolver.solve = solve


@plant("impl.solvers.conjugate_gradients", CG, killed_by=STEP)
def conjugate_gradients_stop_early(solvers: Module) -> None:
    """Conjugate gradients stop at a residual of 10⁻⁴ and report the promised 10⁻¹²."""
    correct = solvers._iterate

    def _iterate(system: Any, right: Any, preconditioner: Any, tolerance: float, *more: Any) -> Any:
        run = correct(system, right, preconditioner, 1e-4, *more)
        return replace(run, backward_error=tolerance, stuck=False)

    solvers._iterate = _iterate


@plant("impl.solvers.conjugate_gradients", CG, killed_by=STEP)
def conjugate_gradients_give_up(solvers: Module) -> None:
    """Conjugate gradients take three iterations at most, whatever the residual, and claim the tolerance."""
    correct = solvers._iterate

    def _iterate(system: Any, right: Any, preconditioner: Any, tolerance: float, most: int, work: Any) -> Any:
        run = correct(system, right, preconditioner, tolerance, min(most, 3), work)
        return solvers._Run(run.values, run.iterations, tolerance, run.condition, False)

    solvers._iterate = _iterate


@plant("properties.examples.numpy_dense", NUMPY, killed_by=STEP)
def damping_on_the_first_row_only(dense: Module) -> None:
    """The damping is added to the first sample's rows instead of to the whole diagonal."""
    correct = dense._solved

    def _solved(G: Any, damping: float, r: Any) -> Any:
        some = np.zeros_like(G)
        some[: r.shape[1], : r.shape[1]] = damping * np.eye(r.shape[1])
        return correct(G + some, 0.0, r)

    dense._solved = _solved


@plant("properties.examples.numpy_dense", NUMPY, killed_by="without_damping_live_samples_are_fitted_beside_dead_ones")
def singular_systems_move_nothing(dense: Module) -> None:
    """Where the Gram matrix is singular and there is no damping the step is left out, for the live samples, too."""
    correct = dense._solved

    def solved(G: np.ndarray, damping: float, r: np.ndarray) -> np.ndarray:
        singular = np.linalg.matrix_rank(G) < len(G)
        return np.zeros_like(r) if singular and damping == 0.0 else correct(G, damping, r)

    dense._solved = solved
