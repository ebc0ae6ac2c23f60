"""Losses by name (reference/README.md, section 3)."""

from __future__ import annotations

from typing import Protocol

import torch

from reference.contract.shapes import Float


class Loss(Protocol):
    """A loss as Gauss–Newton needs it."""

    def value(self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]) -> float:
        """The empirical risk, summed over the samples."""

    def gradient(
        self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]
    ) -> Float[torch.Tensor, "n c"]:
        """Its gradient with respect to the outputs."""


class SquaredLoss:
    """½ Σ_i ‖f(x_i) − y_i‖²; its Hessian with respect to the outputs is the identity."""

    def value(self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]) -> float:
        """See Loss."""
        return 0.5 * float((outputs - y).double().square().sum())

    def gradient(
        self, outputs: Float[torch.Tensor, "n c"], y: Float[torch.Tensor, "n c"]
    ) -> Float[torch.Tensor, "n c"]:
        """See Loss."""
        return outputs - y


LOSSES_BY_NAME: dict[str, Loss] = {"squared": SquaredLoss()}
