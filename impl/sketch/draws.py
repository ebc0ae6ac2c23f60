"""Random numbers of the sketches: drawn on the CPU, so that they are the same on every device."""

from __future__ import annotations

import torch

from reference.contract.arguments import whole_number
from reference.contract.shapes import Float


def seeded_generator(seed: int) -> torch.Generator:
    """A generator on the CPU.

    Raises:
        ArgumentError: for a seed that does not fit 32 bits, of which the generator would drop the rest.
    """
    return torch.Generator().manual_seed(whole_number("seed", seed, 0, 2**32 - 1))


def random_signs(length: int, generator: torch.Generator) -> Float[torch.Tensor, " length"]:
    """Independent fair signs ±1, in float64."""
    return torch.randint(0, 2, (length,), generator=generator).double() * 2 - 1
