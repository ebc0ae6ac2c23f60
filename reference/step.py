"""The coefficients of one training step (reference/README.md, section 3).

Either method moves the weights by W_ℓ ← W_ℓ − Σ_{i,o} q_{i,o} g_{i,o,ℓ} h_{i,ℓ−1}ᵀ; they differ in q.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from reference.contract import SolveError
from reference.contract.shapes import Float


def gradient_descent(residual: Float[np.ndarray, "n c"], learning_rate: float) -> Float[np.ndarray, "n c"]:
    """q = η·r."""
    return learning_rate * residual


def gauss_newton(
    gram: Float[np.ndarray, "nc nc"],
    residual: Float[np.ndarray, "n c"],
    hessian: Float[np.ndarray, "n c c"],
    learning_rate: float,
    damping: float,
) -> Float[np.ndarray, "n c"]:
    """q = η·(H G + λI)⁻¹ r, with H block-diagonal; without damping the limit λ → 0 within the range of H.

    Directions in which the matrix is zero up to rounding get no step. They change no weight in exact
    arithmetic: G v = 0 means Jᵀ v = 0.

    Raises:
        SolveError: where G is not finite.
    """
    if not np.isfinite(gram).all():
        raise SolveError("Gauss–Newton: expected a finite Gram matrix, got one with infinities or NaN")
    rows = len(gram)
    H = scipy.linalg.block_diag(*hessian)
    # (H G + λI) q = r puts q − r/λ into the range of H. At λ = 0 only that range is searched.
    basis = np.eye(rows) if damping > 0.0 else scipy.linalg.orth(H)
    A = basis.T @ (H @ gram + damping * np.eye(rows)) @ basis
    solution, *_ = np.linalg.lstsq(A, basis.T @ residual.reshape(-1), rcond=rows * np.finfo(np.float64).eps)
    return learning_rate * (basis @ solution).reshape(residual.shape)
