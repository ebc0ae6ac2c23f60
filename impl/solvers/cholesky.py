"""Solving the damped Gram system (reference/README.md, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from impl.work import WorkMeter, tensor_bytes
from reference.contract import SolveError
from reference.contract.shapes import Float


@dataclass(frozen=True)
class Solution:
    """A solved system.

    Attributes:
        coefficients: The solution, of the shape of the right-hand side.
        solver: The name of what solved it.
        note: What was out of the ordinary, "" if nothing.
    """

    coefficients: Float[torch.Tensor, "n c"]
    solver: str
    note: str = ""


def solve_damped(
    gram: Float[torch.Tensor, "nc nc"], damping: float, residual: Float[torch.Tensor, "n c"], work: WorkMeter
) -> Solution:
    """(G + λI)⁻¹ r by Cholesky; where G + λI is not positive definite to rounding, by eigenvectors.

    The second way leaves out directions in which G + λI vanishes up to rounding. They change no weight
    (G v = 0 means Jᵀ v = 0), so the step is that of the limit λ → 0: duplicate and dead samples do no harm.

    Args:
        gram: G, in float64.
        damping: λ ≥ 0.
        residual: r.
        work: Counts.

    Raises:
        SolveError: where G is not finite.
    """
    if not torch.isfinite(gram).all():
        raise SolveError("solve: expected a finite Gram matrix, got an overflow; the network is unchanged")
    rows = gram.shape[0]
    right = residual.double().reshape(rows, 1)
    shifted = gram + damping * torch.eye(rows, dtype=gram.dtype, device=gram.device)
    factor, failed = torch.linalg.cholesky_ex(shifted)
    work.count(0, rows**3 // 6 + rows * rows, tensor_bytes(gram, shifted, factor))
    # A pivot at the level of rounding means that the factor is noise though Cholesky went through.
    smallest = factor.diagonal().min() ** 2
    threshold = rows * torch.finfo(gram.dtype).eps * shifted.diagonal().max()
    if int(failed) == 0 and bool(smallest > threshold):
        coefficients = torch.cholesky_solve(right, factor)
        return Solution(coefficients.view_as(residual), "cholesky")
    coefficients, left_out = _solve_by_eigenvectors(gram, damping, right)
    work.count(0, 9 * rows**3, 3 * tensor_bytes(gram))
    note = f"Gram matrix singular to rounding at damping {damping:g}: {left_out} of {rows} directions left out"
    return Solution(coefficients.view_as(residual), "eigenvectors", note)


def _solve_by_eigenvectors(
    gram: Float[torch.Tensor, "nc nc"], damping: float, right: Float[torch.Tensor, "nc 1"]
) -> tuple[Float[torch.Tensor, "nc 1"], int]:
    eigenvalues, vectors = torch.linalg.eigh(gram)
    shifted = eigenvalues + damping
    kept = shifted > gram.shape[0] * torch.finfo(gram.dtype).eps * eigenvalues.abs().max()
    inverse = torch.where(kept, shifted.reciprocal(), 0.0)
    return vectors @ (inverse[:, None] * (vectors.T @ right)), int((~kept).sum())
