"""The activations: threshold τ, scale √c, value φ and derivative φ' (reference/README.md, section 1)."""

from __future__ import annotations

import math

import numpy as np

from reference.contract import Activation
from reference.contract.shapes import Bool, Float


def threshold_parameter(activation: Activation, width: int) -> float:
    """b: as given, or √(0.4·ln m)."""
    return math.sqrt(0.4 * math.log(width)) if activation.b is None else activation.b


def threshold(activation: Activation, width: int) -> float:
    """τ = b·√(2/m). A unit is active where z > τ, strictly."""
    return threshold_parameter(activation, width) * math.sqrt(2.0 / width)


def scale(activation: Activation, width: int) -> float:
    """√c, chosen so that a layer keeps the norm of its input at a random initialization."""
    b = threshold_parameter(activation, width)
    tail = 0.5 * math.erfc(b / math.sqrt(2.0))  # Q(b)
    density = math.exp(-0.5 * b * b) / math.sqrt(2.0 * math.pi)  # p(b)
    shifted = activation.kind == "shifted_relu"
    second_moment = (1.0 + b * b) * tail - b * density if shifted else tail + b * density  # E φ(g)², unscaled
    return math.sqrt(1.0 / (2.0 * second_moment))


def active(activation: Activation, z: Float[np.ndarray, "n m"]) -> Bool[np.ndarray, "n m"]:
    """The mask 1[z > τ]."""
    return z > threshold(activation, z.shape[1])


def value(
    activation: Activation, z: Float[np.ndarray, "n m"], mask: Bool[np.ndarray, "n m"]
) -> Float[np.ndarray, "n m"]:
    """φ(z), with the active units given."""
    width = z.shape[1]
    shift = threshold(activation, width) if activation.kind == "shifted_relu" else 0.0
    return scale(activation, width) * np.where(mask, z - shift, 0.0)


def derivative(activation: Activation, mask: Bool[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
    """φ'(z) = √c·1[z > τ], with the active units given."""
    return scale(activation, mask.shape[1]) * mask
