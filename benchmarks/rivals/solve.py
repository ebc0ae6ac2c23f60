"""The damped Gram system of the dense rival (reference/README.md, section 3)."""

from __future__ import annotations

import torch

from benchmarks.rivals.meter import Meter
from reference.contract import SolveError
from reference.contract.shapes import Float


def solve(
    gram: Float[torch.Tensor, "nc nc"], damping: float, residual: Float[torch.Tensor, "n c"], meter: Meter
) -> tuple[Float[torch.Tensor, "n c"], str]:
    """(G + λI)⁻¹ r by Cholesky, or by eigenvectors where G + λI is singular up to rounding.

    Directions in which it vanishes are left out: they change no weight, since G v = 0 means Jᵀ v = 0.

    Returns:
        The solution and the name of the solver.

    Raises:
        SolveError: where G is not finite.
    """
    rows = gram.shape[0]
    right = residual.reshape(rows, 1)
    shifted = gram.clone()
    shifted.diagonal().add_(damping)
    factor, failed = torch.linalg.cholesky_ex(shifted)
    meter.count(0, rows**3 // 6 + rows * rows, gram, shifted, factor)
    largest, least = shifted.diagonal().max(), factor.diagonal().min()
    found = torch.stack([torch.isfinite(gram).all(), failed, largest, least]).tolist()  # the device is asked once
    if not found[0]:
        raise SolveError("solve: expected a finite Gram matrix, got an overflow")
    negligible = rows * torch.finfo(gram.dtype).eps * found[2]
    if not found[1] and found[3] ** 2 > negligible:
        return torch.cholesky_solve(right, factor).view_as(residual), "cholesky"
    eigenvalues, vectors = torch.linalg.eigh(shifted)
    inverse = torch.where(eigenvalues > negligible, eigenvalues.reciprocal(), 0.0)
    meter.count(0, 9 * rows**3, shifted, vectors, vectors)
    return (vectors @ (inverse[:, None] * (vectors.t() @ right))).view_as(residual), "eigenvectors"
