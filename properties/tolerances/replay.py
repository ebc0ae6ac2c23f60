"""The oracle replayed with an implementation's masks, every number with its rounding bound.

At a unit whose margin |z − τ| lies inside the rounding band either mask is legal (it is *ambiguous*); outside
the band masks must agree. So the replay takes the implementation's decision at ambiguous units, and what
follows is compared tightly: with the masks fixed, everything is a sum of products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from properties.tolerances.rounding import UNIT_ROUNDOFF, Arithmetic, Bounded, exact
from reference import activation as phi
from reference.contract import Network, Summands
from reference.contract.shapes import Bool, Float


@dataclass(frozen=True)
class Replay:
    """What a correct implementation computes for one batch, with bounds.

    Attributes:
        masks: The masks that were used: the oracle's, with the implementation's at ambiguous units.
        ambiguous: Where either mask is legal.
        margins: z − τ by layer, from the oracle.
        bands: A unit is ambiguous where |z − τ| is at most this, by layer.
        hidden: h_0 … h_L.
        left: g_1 … g_L, (n, c, m_ℓ).
        outputs: f.
    """

    masks: list[Bool[np.ndarray, "n _"]]
    ambiguous: list[Bool[np.ndarray, "n _"]]
    margins: list[Float[np.ndarray, "n _"]]
    bands: list[Float[np.ndarray, "n _"]]
    hidden: list[Bounded]
    left: list[Bounded]
    outputs: Bounded


def replay(
    network: Network,
    X: Float[np.ndarray, "n d"],
    arithmetic: Arithmetic,
    masks: Sequence[Bool[np.ndarray, "n _"]] | None = None,
    summands: Sequence[Summands] | None = None,
) -> Replay:
    """Evaluates network and left factors with bounds.

    Args:
        network: The network, representable in the dtype under test.
        X: Samples, likewise.
        arithmetic: The dtype's rules.
        masks: The implementation's active sets; None keeps the oracle's own.
        summands: How the implementation holds its weights, where it holds them as sums.
    """
    hidden = [exact(X)]
    used, ambiguous, margins, bands = [], [], [], []
    for layer, weight in enumerate(network.weights):
        terms = np.count_nonzero(hidden[-1].largest, axis=1)[:, None]
        held, more = _held(summands, layer)
        z = arithmetic.product(hidden[-1], exact(weight.T), terms + more, None if held is None else held.T)
        if network.biases is not None:
            z = arithmetic.offset(z, np.broadcast_to(network.biases[layer], z.value.shape), terms + more)
        width = z.value.shape[1]
        tau = phi.threshold(network.activation, width)
        margin = z.value - tau
        band = z.error + _relative_threshold_error(arithmetic) * abs(tau)
        unclear = (np.abs(margin) <= band) & (band > 0.0)  # z = τ without rounding is inactive, and clearly so
        mask = margin > 0
        if masks is not None:
            mask = np.where(unclear, masks[layer], mask)
        used.append(mask)
        ambiguous.append(unclear)
        margins.append(margin)
        bands.append(band)
        hidden.append(_activate(network, z, mask, arithmetic))
    last_terms = np.count_nonzero(hidden[-1].largest, axis=1)[:, None]
    outputs = arithmetic.product(hidden[-1], exact(network.readout.T), last_terms)
    if network.readout_bias is not None:
        outputs = arithmetic.offset(outputs, np.broadcast_to(network.readout_bias, outputs.value.shape), last_terms)
    return Replay(used, ambiguous, margins, bands, hidden, _left(network, used, arithmetic, summands), outputs)


def _held(summands: Sequence[Summands] | None, layer: int) -> tuple[Float[np.ndarray, "fan_out fan_in"] | None, int]:
    """Magnitudes of what a weight is the sum of, and how many operations that adds to a product with it.

    For W = W⁰ − Σ_j u_j v_jᵀ an element of W h is ⟨W⁰_r, h⟩ − Σ_j u_jr ⟨v_j, h⟩: to the operations of an inner product
    come one a term, and three.
    """
    return (None, 0) if summands is None else (summands[layer].magnitude, summands[layer].terms + 3)


def _activate(network: Network, z: Bounded, mask: Bool[np.ndarray, "n m"], arithmetic: Arithmetic) -> Bounded:
    width = z.value.shape[1]
    shifted = z
    if network.activation.kind == "shifted_relu":
        tau = np.full_like(z.value, -phi.threshold(network.activation, width))
        shifted = arithmetic.add(z, Bounded(tau, _relative_threshold_error(arithmetic) * np.abs(tau)))
    value = arithmetic.scaled(shifted, phi.scale(network.activation, width), _scale_error(network, width, arithmetic))
    return _masked(value, mask)


def _left(
    network: Network,
    masks: Sequence[Bool[np.ndarray, "n _"]],
    arithmetic: Arithmetic,
    summands: Sequence[Summands] | None,
) -> list[Bounded]:
    samples = masks[0].shape[0]
    factor = exact(np.broadcast_to(network.readout, (samples, *network.readout.shape)))
    factors: list[Bounded] = []
    for layer in range(network.depth - 1, -1, -1):
        if factors:
            terms = np.count_nonzero(factors[0].largest, axis=2)[:, :, None]
            held, more = _held(summands, layer + 1)
            factor = arithmetic.product(factors[0], exact(network.weights[layer + 1]), terms + more, held)
        width = masks[layer].shape[1]
        scaled = arithmetic.scaled(
            factor, phi.scale(network.activation, width), _scale_error(network, width, arithmetic)
        )
        factors.insert(0, _masked(scaled, masks[layer][:, None, :]))
    return factors


def _masked(a: Bounded, mask: Bool[np.ndarray, ...]) -> Bounded:
    return Bounded(np.where(mask, a.value, 0.0), np.where(mask, a.error, 0.0))


def _relative_threshold_error(arithmetic: Arithmetic) -> float:
    """τ = b·√(2/m), b = √(0.4 ln m): five correctly rounded operations, then the rounding to the dtype."""
    return 5 * UNIT_ROUNDOFF["float64"] + 2 * arithmetic.roundoff


def _scale_error(network: Network, width: int, arithmetic: Arithmetic) -> float:
    """√c by its formula: (1 + b²)Q − b·p cancels to about p·2/b³, which loses a factor of b⁴ for b > 1.

    The special functions, which both sides use, are taken to be good to 8 units of roundoff, and their argument to
    one: that moves Q and p, which fall like e^(−b²/2), by another b² units.
    """
    b = max(phi.threshold_parameter(network.activation, width), 0.0)
    return arithmetic.roundoff + 2 * (8 + b * b) * UNIT_ROUNDOFF["float64"] * (1.0 + b**4)
