"""The activations of the dense rival as numbers (reference/README.md, section 1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.special import log_ndtr

from reference.contract import Activation, ArgumentError


@dataclass(frozen=True)
class LayerActivation:
    """One layer's activation, φ(z) = scale · (z − shift) · 1[z > threshold].

    Attributes:
        threshold: τ = b·√(2/m).
        shift: τ for the shifted ReLU, 0 for the thresholded identity.
        scale: √c, and so the derivative at every active unit.
    """

    threshold: float
    shift: float
    scale: float


def layer_activation(activation: Activation, width: int, dtype: torch.dtype) -> LayerActivation:
    """The activation of a layer with `width` units.

    Raises:
        ArgumentError: where √c overflows the dtype, which takes a b far above any useful one.
    """
    b = math.sqrt(0.4 * math.log(width)) if activation.b is None else activation.b
    threshold = b * math.sqrt(2.0 / width)
    density = math.exp(-0.5 * b * b) / math.sqrt(2.0 * math.pi)  # p(b)
    tail = math.exp(log_ndtr(-b))  # Q(b)
    relu = activation.kind == "shifted_relu"
    second_moment = (1.0 + b * b) * tail - b * density if relu else tail + b * density
    scale = math.sqrt(0.5 / second_moment)
    if scale > torch.finfo(dtype).max:
        raise ArgumentError("activation.b", f"a threshold whose scale is finite in {dtype}", f"{b:g} (scale {scale:g})")
    return LayerActivation(threshold, threshold if relu else 0.0, scale)
