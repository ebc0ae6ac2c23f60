"""The activations as dense torch modules, to pretrain with (reference/README.md, section 1)."""

from __future__ import annotations

from typing import ClassVar

import torch

from impl.activation import layer_activation
from reference.contract import Activation, ArgumentError
from reference.contract.arguments import whole_number
from reference.contract.network import check_activation
from reference.contract.shapes import Float


class ThresholdedActivation(torch.nn.Module):
    """What the two activations share: everything but the kind.

    Args:
        width: m, the number of units of the layer; with b it determines the threshold τ.
        b: The threshold in units of √(2/m); None stands for √(0.4·ln m).

    Raises:
        ArgumentError: for a width or a b outside its domain.
    """

    kind: ClassVar[str]

    def __init__(self, width: int, b: float | None = None):
        super().__init__()
        self.width = whole_number("width", width, 1)
        self.b = check_activation((self.kind, b)).b

    def forward(self, z: Float[torch.Tensor, "*batch m"]) -> Float[torch.Tensor, "*batch m"]:
        """φ(z), in the dtype of z.

        Args:
            z: Preactivations, of any floating-point dtype, the units on the last axis.

        Raises:
            ArgumentError: for another number of units, and where the scale overflows the dtype.
        """
        if z.shape[-1:] != (self.width,) or not z.is_floating_point():
            raise ArgumentError(
                "z", f"floating-point numbers, {self.width} on the last axis", f"{z.dtype} of shape {tuple(z.shape)}"
            )
        phi = layer_activation(Activation(self.kind, self.b), self.width, z.dtype)
        # Asked this way round a NaN counts as active, and is seen in the outputs.
        return torch.where(z <= phi.threshold, 0.0, (z - phi.shift) * phi.scale)

    def extra_repr(self) -> str:
        """See torch.nn.Module."""
        return f"width={self.width}, b={self.b}"


class ShiftedReLU(ThresholdedActivation):
    """φ(z) = √c·max(z − τ, 0), with derivative √c·1[z > τ].

    Args:
        width: m, the number of units of the layer; with b it determines the threshold τ.
        b: The threshold in units of √(2/m); None stands for √(0.4·ln m), and 0 makes it the plain ReLU.

    Raises:
        ArgumentError: for a width or a b outside its domain.
    """

    kind = "shifted_relu"


class ThresholdedIdentity(ThresholdedActivation):
    """φ(z) = √c·z·1[z > τ], with derivative √c·1[z > τ]: the jump at τ has none, and gets 0.

    Args:
        width: m, the number of units of the layer; with b it determines the threshold τ.
        b: The threshold in units of √(2/m); None stands for √(0.4·ln m).

    Raises:
        ArgumentError: for a width or a b outside its domain.
    """

    kind = "thresholded_identity"
