"""A bound on the entries of a weight matrix, kept up to date without a pass over them."""

from __future__ import annotations

import math

import torch

from impl.support import Support
from reference.contract import SolveError
from reference.contract.shapes import Float


def largest_entry(table: Float[torch.Tensor, "fan_in fan_out"]) -> float:
    """max |W_ℓ|: one pass, at construction."""
    low, high = torch.aminmax(table)
    return max(-low.item(), high.item())


def magnitude_after(
    layer: int,
    magnitude: float,
    right: Support,
    right_values: Float[torch.Tensor, " right_entries"],
    left_values: Float[torch.Tensor, " left_entries"],
) -> float:
    """A bound on |W_ℓ| after an update, from the largest factors.

    Args:
        layer: ℓ, for the message.
        magnitude: A bound before the update.
        right: Its number of samples is the number of outer products.
        right_values: Their right factors.
        left_values: Their left factors.

    Raises:
        SolveError: where the bound leaves the dtype's range, or a factor is not finite.
    """
    nothing = right_values.new_zeros(2)
    ends = [torch.aminmax(values) if values.numel() else nothing for values in (right_values, left_values)]
    low_right, high_right, low_left, high_left = torch.stack([end for pair in ends for end in pair]).tolist()
    largest = max(-low_right, high_right), max(-low_left, high_left)
    bound = magnitude + right.samples * largest[0] * largest[1]
    if not math.isfinite(bound) or bound > torch.finfo(right_values.dtype).max:
        raise SolveError(
            f"update: expected finite new weights in layer {layer}, got an update with factors up to "
            f"{largest[0]:g} and {largest[1]:g}; the network is unchanged"
        )
    return bound
