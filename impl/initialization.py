"""The paper's random initialization (reference/README.md, section 1), drawn apart from the oracle's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch

from reference.contract import Activation, Network
from reference.contract.arguments import affordable, dtype_name, whole_number
from reference.contract.network import DEFAULT_ACTIVATION


def random_network(
    input_dimension: int,
    widths: Sequence[int],
    *,
    outputs: int = 1,
    activation: Activation = DEFAULT_ACTIVATION,
    seed: int = 0,
    dtype: str = "float32",
) -> Network:
    """W_ℓ entries N(0, 2/m_ℓ), readout entries ±1, no biases.

    Args:
        input_dimension: d.
        widths: m_1 … m_L.
        outputs: c.
        activation: Kind and threshold parameter.
        seed: Determines the numbers.
        dtype: "float32" or "float64"; they are drawn in it.

    Raises:
        ArgumentError: for an unknown dtype, for a seed that does not fit 32 bits, and where the weights, held twice
            while an implementation copies them, exceed the memory.
    """
    kind: torch.dtype = getattr(torch, dtype_name("dtype", dtype))
    sizes = [input_dimension, *widths]
    affordable("widths", 2 * kind.itemsize * sum(fan_in * fan_out for fan_in, fan_out in pairwise(sizes)))
    generator = torch.Generator().manual_seed(whole_number("seed", seed, 0, 2**32 - 1))
    weights = [
        torch.empty(fan_out, fan_in, dtype=kind).normal_(0.0, math.sqrt(2 / fan_out), generator=generator).numpy()
        for fan_in, fan_out in pairwise(sizes)
    ]
    signs = torch.randint(0, 2, (outputs, sizes[-1]), generator=generator).to(kind) * 2 - 1
    return Network(weights=weights, readout=signs.numpy(), activation=activation)
