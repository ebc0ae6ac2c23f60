"""torch's automatic differentiation as an oracle that shares no code with the reference.

Masks are given: they are constants of the derivative. All numbers are float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from reference.contract import Network
from reference.contract.shapes import Bool, Float


@dataclass(frozen=True)
class Autograd:
    """A network at one batch, as torch differentiates it.

    Attributes:
        network: The network.
        X: Samples (n, d).
        masks: The active units of every layer.
    """

    network: Network
    X: Float[np.ndarray, "n d"]
    masks: Sequence[Bool[np.ndarray, "n _"]]

    @cached_property
    def outputs(self) -> Float[np.ndarray, "n c"]:
        """f(x_i)."""
        return self._outputs(self._weights).numpy()

    @cached_property
    def jacobians(self) -> list[Float[np.ndarray, "n c _ _"]]:
        """∂f_o(x_i)/∂W_ℓ of every layer, written out: for small m."""
        return [jacobian.numpy() for jacobian in torch.func.jacrev(self._outputs)(self._weights)]

    def gram(self, trained: Sequence[int] | None = None) -> Float[np.ndarray, "nc nc"]:
        """J Jᵀ over the trained layers; None stands for all."""
        J = self._rows(trained)
        return J @ J.T

    def gradient(self, y: Float[np.ndarray, "n c"], loss: str) -> list[Float[np.ndarray, "_ _"]]:
        """The gradient of the empirical risk with respect to every weight matrix."""
        weights = tuple(weight.clone().requires_grad_() for weight in self._weights)
        risk = _risk(loss, self._outputs(weights), torch.tensor(y, dtype=torch.float64))
        return [gradient.numpy() for gradient in torch.autograd.grad(risk, weights)]

    def hessian(self, y: Float[np.ndarray, "n c"], loss: str) -> Float[np.ndarray, "n c c"]:
        """H: the second derivative of the risk with respect to each sample's outputs."""
        targets = torch.tensor(y, dtype=torch.float64)
        blocks = [
            torch.func.hessian(lambda row, target=target: _risk(loss, row[None], target[None]))(row)
            for row, target in zip(torch.tensor(self.outputs), targets, strict=True)
        ]
        return torch.stack(blocks).numpy()

    def gauss_newton_step(
        self,
        y: Float[np.ndarray, "n c"],
        loss: str,
        learning_rate: float,
        damping: float,
        trained: Sequence[int] | None = None,
    ) -> Float[np.ndarray, " p"]:
        """What the trained weights lose, flat, solved in the space of the weights: (Jᵀ H J + λI) Δ = η Jᵀ r.

        The method solves in the space of the samples; both are the same step for λ > 0, since
        Jᵀ (H G + λI)⁻¹ = (Jᵀ H J + λI)⁻¹ Jᵀ.
        """
        J = self._rows(trained)
        outputs = torch.tensor(self.outputs, requires_grad=True)
        (r,) = torch.autograd.grad(_risk(loss, outputs, torch.tensor(y, dtype=torch.float64)), outputs)
        H = torch.block_diag(*torch.tensor(self.hessian(y, loss))).numpy()
        return learning_rate * np.linalg.solve(J.T @ H @ J + damping * np.eye(J.shape[1]), J.T @ r.numpy().ravel())

    def _rows(self, trained: Sequence[int] | None) -> Float[np.ndarray, "nc p"]:
        rows = len(self.X) * self.network.outputs
        layers = trained or range(1, self.network.depth + 1)
        return np.hstack([self.jacobians[layer - 1].reshape(rows, -1) for layer in layers])

    @property
    def _weights(self) -> tuple[torch.Tensor, ...]:
        return tuple(torch.tensor(weight, dtype=torch.float64) for weight in self.network.weights)

    def _outputs(self, weights: Sequence[torch.Tensor]) -> torch.Tensor:
        h = torch.tensor(self.X, dtype=torch.float64)
        for layer, weight in enumerate(weights):
            z = torch.nn.functional.linear(
                h,
                weight,
                None if self.network.biases is None else torch.tensor(self.network.biases[layer], dtype=torch.float64),
            )
            h = torch.where(torch.tensor(self.masks[layer]), _active_value(self.network, z), torch.zeros_like(z))
        offset = self.network.readout_bias
        return torch.nn.functional.linear(
            h,
            torch.tensor(self.network.readout, dtype=torch.float64),
            None if offset is None else torch.tensor(offset, dtype=torch.float64),
        )


def _risk(loss: str, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    functional = torch.nn.functional
    match loss:
        case "squared":
            return 0.5 * functional.mse_loss(outputs, y, reduction="sum")
        case "huber":
            return functional.huber_loss(outputs, y, reduction="sum")
        case "logistic":  # binary_cross_entropy_with_logits loses small derivatives to cancellation
            return -functional.logsigmoid(y * outputs).sum()
        case "softmax_cross_entropy":
            return functional.cross_entropy(outputs, y, reduction="sum")
    raise ValueError(loss)


def _active_value(network: Network, z: torch.Tensor) -> torch.Tensor:
    width = z.shape[1]
    b = network.activation.b
    b = math.sqrt(math.log(width) / 2.5) if b is None else b
    normal = torch.distributions.Normal(
        torch.tensor(0.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64), validate_args=False
    )
    at = torch.tensor(b, dtype=torch.float64)
    tail, density = torch.exp(torch.special.log_ndtr(-at)), torch.exp(normal.log_prob(at))
    if network.activation.kind == "shifted_relu":
        gain = 0.5 / (tail * (1 + b * b) - b * density)
        return torch.sqrt(gain) * (z - b / math.sqrt(width / 2))
    return torch.sqrt(0.5 / (tail + b * density)) * z
