"""Threshold, scale and value of the activations (reference/README.md, section 1), computed apart from the oracle's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.special import erfcx

from reference.contract import Activation, ArgumentError
from reference.contract.shapes import Float


@dataclass(frozen=True)
class LayerActivation:
    """One layer's activation, as numbers.

    Attributes:
        threshold: τ = b·√(2/m); a unit is active where its preactivation is greater, strictly.
        shift: What an active unit subtracts: τ for the shifted ReLU, 0 for the thresholded identity.
        scale: √c, and so the derivative at every active unit.
    """

    threshold: float
    shift: float
    scale: float

    def value(self, preactivations: Float[torch.Tensor, " entries"]) -> Float[torch.Tensor, " entries"]:
        """φ(z) at active units."""
        return (preactivations - self.shift) * self.scale


def layer_activation(activation: Activation, width: int, dtype: torch.dtype) -> LayerActivation:
    """The activation of a layer with `width` units.

    Raises:
        ArgumentError: where the scale overflows the dtype, which takes a b far above any useful one.
    """
    b = activation.b if activation.b is not None else math.sqrt(0.4 * math.log(width))
    threshold = b * math.sqrt(2 / width)
    scale = math.sqrt(0.5 / _second_moment(activation.kind, b))
    if scale > torch.finfo(dtype).max:
        raise ArgumentError("activation.b", f"a threshold whose scale is finite in {dtype}", f"{b:g} (scale {scale:g})")
    return LayerActivation(threshold, threshold if activation.kind == "shifted_relu" else 0.0, scale)


def _second_moment(kind: str, b: float) -> float:
    """E φ(g)² for a standard normal g, before scaling.

    For b > 0 both Q(b) and p(b) underflow together; p(b) is factored out and Q/p is Mills' ratio.
    """
    density = math.exp(-b * b / 2) / math.sqrt(2 * math.pi)
    if b <= 0:
        tail = math.erfc(b / math.sqrt(2)) / 2
        return (1 + b * b) * tail - b * density if kind == "shifted_relu" else tail + b * density
    mills = math.sqrt(math.pi / 2) * float(erfcx(b / math.sqrt(2)))
    return density * ((1 + b * b) * mills - b if kind == "shifted_relu" else mills + b)
