"""What a sketch offers: a random matrix S that meets the rows of a Jacobian through their two factors only."""

from __future__ import annotations

from typing import Protocol

import torch

from impl.support import Support
from impl.work import WorkMeter
from reference.contract.shapes import Float


class Sketch(Protocol):
    """A random S (s, m_ℓ·m_{ℓ−1}) with E SᵀS = I; the coordinates of g ⊗ h run over h first."""

    name: str
    rows: int  # s

    def __init__(self, rows: int, left_width: int, right_width: int, *, seed: int, device: torch.device | str):
        """Draws S (rows, left_width·right_width) from the seed, the same on every device."""

    def apply(
        self,
        left: Support,
        left_values: Float[torch.Tensor, "c left_entries"],
        right: Support,
        right_values: Float[torch.Tensor, " right_entries"],
        work: WorkMeter,
        layer: int,
    ) -> Float[torch.Tensor, "rows nc"]:
        """S Jᵀ for one layer, in float64: column i·c + o is S (g_{i,o} ⊗ h_i), and g ⊗ h is never formed.

        Args:
            left: The units of layer ℓ on which the left factors live.
            left_values: g_{i,o,ℓ}, on `left`.
            right: The units of layer ℓ − 1 on which the right factors live, of the same n samples.
            right_values: h_{i,ℓ−1}, on `right`.
            work: Counts.
            layer: ℓ, for the counts.
        """
