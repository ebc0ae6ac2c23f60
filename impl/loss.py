"""Losses by name: value, gradient and curvature with respect to the outputs (reference/README.md, section 3).

All in float64: outputs are few, and what follows amplifies their rounding.
"""

from __future__ import annotations

from typing import Protocol

import torch

from impl.curvature import BlockCurvature, Curvature, DiagonalCurvature, UnitCurvature
from reference.contract.shapes import Float

# Beyond this logit e^(f/2) or its reciprocal would leave the range of float64.
LARGEST_LOGIT = 600.0

# Less curvature than this is none beside the others' to rounding. Whitening by it would let a single output that is
# confidently wrong outweigh all others in the right-hand side, and an iterative solver would stop before it saw them.
LEAST_CURVATURE = torch.finfo(torch.float64).eps


class Loss(Protocol):
    """A loss as Gauss–Newton needs it."""

    def value(self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]) -> float:
        """The empirical risk, summed over the samples."""

    def gradient(
        self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]
    ) -> Float[torch.Tensor, "n c"]:
        """r, its gradient with respect to the outputs."""

    def curvature(self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]) -> Curvature:
        """H, its Hessian there, by a root, with r in terms of that root."""


class SquaredLoss:
    """½ Σ_i ‖f(x_i) − y_i‖²."""

    def value(self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]) -> float:
        """See Loss."""
        return 0.5 * float((outputs.double() - y.double()).square().sum())

    def gradient(
        self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]
    ) -> Float[torch.Tensor, "n c"]:
        """See Loss."""
        return outputs.double() - y.double()

    def curvature(self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]) -> Curvature:
        """See Loss."""
        return UnitCurvature(self.gradient(outputs, y))


class HuberLoss:
    """Σ ½ d² where d = |f − y| ≤ 1, and d − ½ beyond: there the Hessian vanishes and only damping bounds a step."""

    def value(self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]) -> float:
        """See Loss."""
        distance = (outputs.double() - y.double()).abs()
        return float(torch.where(distance <= 1.0, 0.5 * distance.square(), distance - 0.5).sum())

    def gradient(
        self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]
    ) -> Float[torch.Tensor, "n c"]:
        """See Loss."""
        return (outputs.double() - y.double()).clamp(-1.0, 1.0)

    def curvature(self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]) -> Curvature:
        """See Loss."""
        inside = (outputs.double() - y.double()).abs() <= 1.0
        r = self.gradient(outputs, y)
        return DiagonalCurvature(inside.double(), torch.where(inside, r, 0.0), torch.where(inside, 0.0, r))


class LogisticLoss:
    """Σ log(1 + e^(−y f)) for labels y = ±1."""

    def value(self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]) -> float:
        """See Loss."""
        margin = y.double() * outputs.double()
        return float(torch.logaddexp(torch.zeros_like(margin), -margin).sum())

    def gradient(
        self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]
    ) -> Float[torch.Tensor, "n c"]:
        """See Loss."""
        y = y.double()
        return -y * torch.sigmoid(-y * outputs.double())

    def curvature(self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]) -> Curvature:
        """See Loss. √(σ(f)·σ(−f)) = 1 / (2 cosh(f/2)), and r over it is −y·e^(−y f/2)."""
        r, y = self.gradient(outputs, y), y.double()
        half = (y * outputs.double()).clamp(-LARGEST_LOGIT, LARGEST_LOGIT) / 2
        flat = torch.exp(2 * half) < LEAST_CURVATURE
        whitened = torch.where(flat, 0.0, -y * torch.exp(-half))
        return DiagonalCurvature(0.5 / torch.cosh(half), whitened, torch.where(flat, r, 0.0))


class SoftmaxCrossEntropyLoss:
    """−Σ_i log softmax(f(x_i)) at the class of sample i."""

    def value(self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]) -> float:
        """See Loss."""
        return -float((y.double() * torch.log_softmax(outputs.double(), dim=1)).sum())

    def gradient(
        self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]
    ) -> Float[torch.Tensor, "n c"]:
        """See Loss."""
        return torch.softmax(outputs.double(), dim=1) - y.double()

    def curvature(self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]) -> Curvature:
        """See Loss. With p the probabilities, diag(p) − p pᵀ = B Bᵀ for B = diag(√p) − p √pᵀ, and B (r/√p) = r."""
        p = torch.log_softmax(outputs.double(), dim=1).clamp(min=-LARGEST_LOGIT).exp()
        root = p.sqrt()
        r = p - y.double()
        flat = (p * y.double()).sum(dim=1, keepdim=True) < LEAST_CURVATURE
        whitened, rest = torch.where(flat, 0.0, r / root), torch.where(flat, r, 0.0)
        return BlockCurvature(torch.diag_embed(root) - p[:, :, None] * root[:, None, :], whitened, rest)


LOSSES_BY_NAME: dict[str, Loss] = {
    "squared": SquaredLoss(),
    "huber": HuberLoss(),
    "logistic": LogisticLoss(),
    "softmax_cross_entropy": SoftmaxCrossEntropyLoss(),
}
