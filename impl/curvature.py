"""The Hessian of a loss with respect to the outputs, by a root: H = B Bᵀ, block by block (section 3 of the method).

With r = B s + t, t outside the range of H to rounding, the Gauss–Newton coefficients (H G + λI)⁻¹ r are

    q = B a + t/λ,        (Bᵀ G B + λI) a = s − Bᵀ G t/λ

so that what is solved is symmetric and positive semidefinite whatever the loss, singular Hessians included.
"""

from __future__ import annotations

from typing import Protocol

import torch

from reference.contract.shapes import Float


class Curvature(Protocol):
    """H = B Bᵀ (n blocks of c × c), and r = B s + t.

    Attributes:
        whitened: s.
        rest: t, or None where r lies in the range of H.
    """

    whitened: Float[torch.Tensor, "n c"]
    rest: Float[torch.Tensor, "n c"] | None

    def times_root(self, rows: Float[torch.Tensor, "rows nc"]) -> Float[torch.Tensor, "rows nc"]:
        """M B for a matrix M with n·c columns."""

    def expand(self, vector: Float[torch.Tensor, " nc"]) -> Float[torch.Tensor, "n c"]:
        """B v."""


class UnitCurvature:
    """See Curvature. H = B = I."""

    def __init__(self, residual: Float[torch.Tensor, "n c"]):
        self.whitened = residual
        self.rest: torch.Tensor | None = None

    def times_root(self, rows: Float[torch.Tensor, "rows nc"]) -> Float[torch.Tensor, "rows nc"]:
        """See Curvature."""
        return rows

    def expand(self, vector: Float[torch.Tensor, " nc"]) -> Float[torch.Tensor, "n c"]:
        """See Curvature."""
        return vector.view_as(self.whitened)


class DiagonalCurvature:
    """See Curvature. H is diagonal, B its square root."""

    def __init__(
        self,
        root: Float[torch.Tensor, "n c"],
        whitened: Float[torch.Tensor, "n c"],
        rest: Float[torch.Tensor, "n c"] | None,
    ):
        self._root, self.whitened, self.rest = root, whitened, rest

    def times_root(self, rows: Float[torch.Tensor, "rows nc"]) -> Float[torch.Tensor, "rows nc"]:
        """See Curvature."""
        return rows * self._root.reshape(1, -1)

    def expand(self, vector: Float[torch.Tensor, " nc"]) -> Float[torch.Tensor, "n c"]:
        """See Curvature."""
        return self._root * vector.view_as(self._root)


class BlockCurvature:
    """See Curvature. H has blocks of c × c, and so has B."""

    def __init__(
        self,
        root: Float[torch.Tensor, "n c c"],
        whitened: Float[torch.Tensor, "n c"],
        rest: Float[torch.Tensor, "n c"] | None,
    ):
        self._root, self.whitened, self.rest = root, whitened, rest

    def times_root(self, rows: Float[torch.Tensor, "rows nc"]) -> Float[torch.Tensor, "rows nc"]:
        """See Curvature."""
        blocks = rows.view(len(rows), *self.whitened.shape).transpose(0, 1)
        return (blocks @ self._root).transpose(0, 1).reshape(rows.shape)

    def expand(self, vector: Float[torch.Tensor, " nc"]) -> Float[torch.Tensor, "n c"]:
        """See Curvature."""
        return (self._root @ vector.view(*self.whitened.shape, 1))[:, :, 0]
