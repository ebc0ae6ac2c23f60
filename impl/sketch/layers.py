"""The sketch of a whole Jacobian: one sketch for every trained layer, drawn apart, and their sum."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from impl.jacobian import JacobianFactors
from impl.sketch.interface import Sketch
from impl.work import WorkMeter
from reference.contract.shapes import Float


def layer_sketches(
    kind: type[Sketch],
    rows: int,
    layer_widths: Mapping[int, tuple[int, int]],
    *,
    seed: int,
    device: torch.device | str,
) -> dict[int, Sketch]:
    """Draws a sketch for every layer, independent of the others: E SᵀS = I then holds across the layers too.

    Args:
        kind: Which.
        rows: s, of every one.
        layer_widths: For every trained layer (m_ℓ, m_{ℓ−1}).
        seed: Determines them all; layer ℓ draws with seed + ℓ.
        device: Where they are kept.
    """
    return {
        layer: kind(rows, left, right, seed=seed + layer, device=device)
        for layer, (left, right) in layer_widths.items()
    }


def sketched_jacobian(
    factors: JacobianFactors, sketches: Mapping[int, Sketch], work: WorkMeter
) -> Float[torch.Tensor, "rows nc"]:
    """S Jᵀ, summed over the trained layers, in float64.

    Args:
        factors: Of the Jacobian.
        sketches: For every trained layer its sketch, all with s rows.
        work: Counts.
    """
    parts = [
        sketches[layer].apply(left, left_values, right, right_values, work, layer)
        for layer, left, left_values, right, right_values in factors
    ]
    return torch.stack(parts).sum(dim=0)
