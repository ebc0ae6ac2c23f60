"""Preconditioners of conjugate gradients."""

from __future__ import annotations

from typing import Protocol

import torch

from impl.work import WorkMeter, tensor_bytes
from reference.contract.shapes import Float


class Preconditioner(Protocol):
    """An approximate inverse of A, symmetric and positive definite."""

    def apply(self, vector: Float[torch.Tensor, " nc"], work: WorkMeter) -> Float[torch.Tensor, " nc"]:
        """M⁻¹ v."""


class Identity:
    """See Preconditioner. None at all."""

    def apply(self, vector: Float[torch.Tensor, " nc"], work: WorkMeter) -> Float[torch.Tensor, " nc"]:
        """See Preconditioner."""
        return vector


class SketchedCholesky:
    """See Preconditioner. (RᵀR)⁻¹, where R is the triangle of the QR factorization of [S Jᵀ B; √λ I].

    RᵀR is never formed, so that the square of its condition number costs no digits.

    Attributes:
        condition: κ(R)²: an estimate of the condition number of A, good up to that of the preconditioned system.
    """

    def __init__(self, triangle: Float[torch.Tensor, "nc nc"]):
        self._triangle = triangle
        values = torch.linalg.svdvals(triangle)
        self.condition = float((values[0] / values[-1]) ** 2)

    @classmethod
    def of(cls, root: Float[torch.Tensor, "s nc"], damping: float, work: WorkMeter) -> SketchedCholesky | None:
        """Factorizes; None where the triangle is singular to rounding."""
        rows, columns = root.shape
        if damping > 0.0:
            root = torch.cat([root, damping**0.5 * torch.eye(columns, dtype=root.dtype, device=root.device)])
        if len(root) < columns:
            return None
        triangle = torch.linalg.qr(root, mode="r").R
        # The factorization, and the singular values of the triangle, which are for the report.
        work.count(0, rows * columns**2 + 2 * columns**3, tensor_bytes(root, triangle, triangle))
        work.count(0, 4 * columns**3 // 3, tensor_bytes(triangle))
        pivots = triangle.diagonal().abs()
        if not bool(pivots.min() > columns * torch.finfo(root.dtype).eps * pivots.max()):
            return None
        return cls(triangle)

    def apply(self, vector: Float[torch.Tensor, " nc"], work: WorkMeter) -> Float[torch.Tensor, " nc"]:
        """See Preconditioner."""
        work.count(0, vector.numel() ** 2, tensor_bytes(self._triangle))
        halfway = torch.linalg.solve_triangular(self._triangle.T, vector[:, None], upper=False)
        return torch.linalg.solve_triangular(self._triangle, halfway, upper=True)[:, 0]
