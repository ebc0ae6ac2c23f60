"""The direct solver: n³/3, and the default, since n is small beside m."""

from __future__ import annotations

import torch

from impl.solvers.interface import Solution, System
from impl.work import WorkMeter, tensor_bytes
from reference.contract import SolveReport
from reference.contract.shapes import Float


class CholeskySolver:
    """See Solver. Where A is not positive definite to rounding, eigenvectors take over, with a note.

    They leave out directions in which A vanishes up to rounding. These change no weight (G v = 0 means Jᵀ v = 0), so
    the step is that of the limit λ → 0: duplicate and dead samples do no harm.
    """

    name = "cholesky"
    tolerance = 0.0

    def solve(self, system: System, right: Float[torch.Tensor, " nc"], work: WorkMeter) -> Solution:
        """See Solver."""
        matrix, rows = system.matrix, system.rows
        factor, failed = torch.linalg.cholesky_ex(matrix)
        work.count(0, rows**3 // 6 + rows * rows, 3 * tensor_bytes(matrix))
        # A pivot at the level of rounding means that the factor is noise though Cholesky went through.
        smallest = factor.diagonal().min() ** 2
        threshold = rows * torch.finfo(matrix.dtype).eps * matrix.diagonal().max()
        if bool((failed == 0) & (smallest > threshold)):
            return Solution(torch.cholesky_solve(right[:, None], factor)[:, 0], self.name, SolveReport())
        values, left_out = _solve_by_eigenvectors(matrix, right)
        work.count(0, 9 * rows**3, 3 * tensor_bytes(matrix))
        note = (
            f"Gram matrix singular to rounding at damping {system.damping:g}: {left_out} of {rows} directions left out"
        )
        return Solution(values, "eigenvectors", SolveReport(), (note,))


def _solve_by_eigenvectors(
    matrix: Float[torch.Tensor, "nc nc"], right: Float[torch.Tensor, " nc"]
) -> tuple[Float[torch.Tensor, " nc"], int]:
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    kept = eigenvalues > matrix.shape[0] * torch.finfo(matrix.dtype).eps * eigenvalues.abs().max()
    inverse = torch.where(kept, eigenvalues.reciprocal(), 0.0)
    return vectors @ (inverse * (vectors.T @ right)), int((~kept).sum())
