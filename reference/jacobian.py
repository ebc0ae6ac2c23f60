"""The Jacobian: its rank-one factors, the whole of it, and the gradient (reference/README.md, section 2)."""

from __future__ import annotations

import numpy as np

from reference import activation as phi
from reference.contract import Network
from reference.contract.shapes import Float
from reference.forward import Trace


def left_factors(network: Network, trace: Trace) -> list[Float[np.ndarray, "n c _"]]:
    """g_{i,o,ℓ} for every layer, of shape (n, c, m_ℓ): the derivative of f_o(x_i) with respect to z_{i,ℓ}.

    g_{i,o,L} = D_{i,L} A_o and g_{i,o,ℓ} = D_{i,ℓ} W_{ℓ+1}ᵀ g_{i,o,ℓ+1}, with D_{i,ℓ} = diag(φ'(z_{i,ℓ})).
    """
    slopes = [phi.derivative(network.activation, mask)[:, None, :] for mask in trace.masks]
    factors = [slopes[-1] * network.readout[None, :, :]]
    for layer in range(network.depth - 2, -1, -1):
        factors.insert(0, slopes[layer] * (factors[0] @ network.weights[layer + 1]))
    return factors


def right_factors(trace: Trace) -> list[Float[np.ndarray, "n _"]]:
    """h_{i,ℓ−1} for every layer ℓ = 1 … L, of shape (n, m_{ℓ−1})."""
    return trace.hidden[:-1]


def layer_jacobian(
    left: Float[np.ndarray, "n c fan_out"], right: Float[np.ndarray, "n fan_in"]
) -> Float[np.ndarray, "n c fan_out fan_in"]:
    """∂f_o(x_i)/∂W_ℓ = g_{i,o,ℓ} h_{i,ℓ−1}ᵀ, written out: n·c·m_ℓ·m_{ℓ−1} numbers, for small m only."""
    return left[:, :, :, None] * right[:, None, None, :]


def weighted_sum(
    coefficients: Float[np.ndarray, "n c"],
    left: Float[np.ndarray, "n c fan_out"],
    right: Float[np.ndarray, "n fan_in"],
) -> Float[np.ndarray, "fan_out fan_in"]:
    """Σ_{i,o} q_{i,o} g_{i,o,ℓ} h_{i,ℓ−1}ᵀ: a gradient where q is the residual, an update otherwise."""
    return np.einsum("io,ioa,ib->ab", coefficients, left, right, optimize=True)
