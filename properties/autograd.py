"""torch's automatic differentiation as an oracle that shares no code with the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from reference.contract import Network
from reference.contract.shapes import Bool, Float


def autograd_gradient(
    network: Network,
    X: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "n c"],
    masks: Sequence[Bool[np.ndarray, "n _"]],
    loss: str = "squared",
) -> list[Float[np.ndarray, "_ _"]]:
    """The gradient of the empirical risk in float64, with the masks given (they are constants of the derivative)."""
    weights = [torch.tensor(weight, dtype=torch.float64, requires_grad=True) for weight in network.weights]
    h = torch.tensor(X, dtype=torch.float64)
    for layer, weight in enumerate(weights):
        z = torch.nn.functional.linear(
            h, weight, None if network.biases is None else torch.tensor(network.biases[layer], dtype=torch.float64)
        )
        mask = torch.tensor(masks[layer])
        h = torch.where(mask, _active_value(network, z), torch.zeros_like(z))
    offset = None if network.readout_bias is None else torch.tensor(network.readout_bias, dtype=torch.float64)
    outputs = torch.nn.functional.linear(h, torch.tensor(network.readout, dtype=torch.float64), offset)
    risk = _risk(loss, outputs, torch.tensor(y, dtype=torch.float64))
    return [gradient.numpy() for gradient in torch.autograd.grad(risk, weights)]


def _risk(loss: str, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    functional = torch.nn.functional
    match loss:
        case "squared":
            return 0.5 * functional.mse_loss(outputs, y, reduction="sum")
        case "huber":
            return functional.huber_loss(outputs, y, reduction="sum")
        case "logistic":
            return functional.binary_cross_entropy_with_logits(outputs, (y + 1) / 2, reduction="sum")
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
