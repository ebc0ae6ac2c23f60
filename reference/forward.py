"""The forward pass: preactivations, masks, hidden values, outputs (reference/README.md, section 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reference import activation as phi
from reference.contract import Network
from reference.contract.shapes import Bool, Float


@dataclass(frozen=True)
class Trace:
    """Everything that a forward pass computes, by layer.

    Attributes:
        hidden: h_0 = X, h_1, …, h_L, with h_ℓ of shape (n, m_ℓ).
        preactivations: z_1, …, z_L, with z_ℓ of shape (n, m_ℓ).
        masks: 1[z_ℓ > τ_ℓ] of shape (n, m_ℓ), unless masks were given.
        outputs: f, of shape (n, c).
    """

    hidden: list[Float[np.ndarray, "n _"]]
    preactivations: list[Float[np.ndarray, "n _"]]
    masks: list[Bool[np.ndarray, "n _"]]
    outputs: Float[np.ndarray, "n c"]


def forward(
    network: Network, X: Float[np.ndarray, "n d"], masks: Sequence[Bool[np.ndarray, "n _"]] | None = None
) -> Trace:
    """Evaluates the network.

    Args:
        network: The network, in float64.
        X: Samples (n, d).
        masks: The active units of every layer; None finds them by z > τ. Giving them replays another
            implementation's decisions at units that rounding leaves open (section 6).
    """
    hidden, preactivations, used = [X], [], []
    for layer, weight in enumerate(network.weights):
        z = hidden[-1] @ weight.T
        if network.biases is not None:
            z = z + network.biases[layer]
        mask = phi.active(network.activation, z) if masks is None else masks[layer]
        preactivations.append(z)
        used.append(mask)
        hidden.append(phi.value(network.activation, z, mask))
    outputs = hidden[-1] @ network.readout.T
    if network.readout_bias is not None:
        outputs = outputs + network.readout_bias
    return Trace(hidden, preactivations, used, outputs)
