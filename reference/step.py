"""The coefficients of one training step (reference/README.md, section 3).

Either method moves the weights by W_ℓ ← W_ℓ − Σ_{i,o} q_{i,o} g_{i,o,ℓ} h_{i,ℓ−1}ᵀ; they differ in q.
"""

from __future__ import annotations

import numpy as np

from reference.contract import SolveError
from reference.contract.shapes import Float


def gradient_descent(residual: Float[np.ndarray, "n c"], learning_rate: float) -> Float[np.ndarray, "n c"]:
    """q = η·r."""
    return learning_rate * residual


def gauss_newton(
    gram: Float[np.ndarray, "nc nc"],
    residual: Float[np.ndarray, "n c"],
    learning_rate: float,
    damping: float,
) -> Float[np.ndarray, "n c"]:
    """q = η·(G + λI)⁻¹ r, by the eigenvectors of G.

    Directions in which G + λI is zero up to rounding get no step. They change no weight in exact
    arithmetic, since G v = 0 means Jᵀ v = 0; so this is also the limit λ → 0 for a singular G.

    Raises:
        SolveError: where G is not finite.
    """
    if not np.isfinite(gram).all():
        raise SolveError("Gauss–Newton: expected a finite Gram matrix, got one with infinities or NaN")
    eigenvalues, vectors = np.linalg.eigh(gram)
    shifted = eigenvalues + damping
    negligible = shifted <= len(gram) * np.finfo(np.float64).eps * np.abs(eigenvalues).max()
    inverse = np.where(negligible, 0.0, 1.0 / np.where(negligible, 1.0, shifted))
    solution = vectors @ (inverse * (vectors.T @ residual.reshape(-1)))
    return learning_rate * solution.reshape(residual.shape)
