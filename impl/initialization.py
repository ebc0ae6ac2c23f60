"""The paper's random initialization (reference/README.md, section 1), drawn apart from the oracle's."""

from __future__ import annotations

import math
from itertools import pairwise

import torch

from reference.contract import Activation, Network
from reference.contract.arguments import affordable


def initial_network(
    input_dimension: int, width: int, depth: int, activation: Activation, dtype: torch.dtype, seed: int
) -> Network:
    """W_ℓ entries N(0, 2/m_ℓ), readout entries ±1, one output, no biases.

    Args:
        input_dimension: d.
        width: m, the same for every layer.
        depth: L.
        activation: Kind and threshold parameter.
        dtype: The numbers are drawn in it.
        seed: Determines them.

    Raises:
        ArgumentError: where the weights, held twice while an implementation copies them, exceed the memory.
    """
    affordable("width and depth", 2 * dtype.itemsize * width * (input_dimension + (depth - 1) * width))
    sizes = [input_dimension] + [width] * depth
    generator = torch.Generator().manual_seed(seed)
    weights = [
        torch.empty(fan_out, fan_in, dtype=dtype).normal_(0.0, math.sqrt(2 / fan_out), generator=generator).numpy()
        for fan_in, fan_out in pairwise(sizes)
    ]
    signs = torch.randint(0, 2, (1, width), generator=generator).to(dtype) * 2 - 1
    return Network(weights=weights, readout=signs.numpy(), activation=activation)
