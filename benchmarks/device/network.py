"""Random networks whose weights are drawn on a device, a layer at a time, whenever a factory asks for them.

At m = 65536 a weight matrix takes 17 GB. Drawn on the host it would take minutes and the host's memory; drawn where it
is needed, and when, only the layer that is being copied exists beside the copies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch

from reference.contract import Network
from reference.contract.arguments import dtype_name, whole_number


class DrawnMatrix:
    """A DeviceArray (reference.contract) of independent N(0, 2/m_ℓ), the same numbers every time it is asked for.

    Attributes:
        shape: (m_ℓ, m_{ℓ−1}).
        nbytes: The size of its entries together.
    """

    def __init__(self, fan_out: int, fan_in: int, *, seed: int, device: torch.device, dtype: torch.dtype):
        self.shape = fan_out, fan_in
        self.nbytes = fan_out * fan_in * dtype.itemsize
        self._seed, self._device, self._dtype = seed, device, dtype

    def __dlpack__(self, **options: Any) -> Any:
        """Draws the matrix; the memory belongs to whoever asks."""
        generator = torch.Generator(self._device).manual_seed(self._seed)
        drawn = torch.empty(self.shape, device=self._device, dtype=self._dtype)
        drawn.normal_(0.0, math.sqrt(2.0 / self.shape[0]), generator=generator)
        return drawn.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Kind and number of the device."""
        kind, number = torch.empty(0, device=self._device).__dlpack_device__()
        return int(kind), int(number)


def drawn_network(
    input_dimension: int, widths: Sequence[int], *, seed: int, device: str | torch.device, dtype: str = "float32"
) -> Network:
    """The paper's random initialization (reference/README.md, section 1): no biases, a readout of ±1.

    Args:
        input_dimension: d.
        widths: m_1 … m_L.
        seed: Determines the numbers, on one kind of device.
        device: A torch device.
        dtype: "float32" or "float64"; the numbers are drawn in it.

    Raises:
        ArgumentError: for an unknown dtype, or a seed that does not fit 32 bits.
    """
    kind: torch.dtype = getattr(torch, dtype_name("dtype", dtype))
    whole_number("seed", seed, 0, 2**32 - 1)
    sizes = [input_dimension, *widths]
    weights = [
        DrawnMatrix(fan_out, fan_in, seed=(seed << 16) + layer, device=torch.device(device), dtype=kind)
        for layer, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1)
    ]
    signs = np.random.default_rng(seed).choice(np.array([-1.0, 1.0], dtype), (1, sizes[-1]))
    return Network(weights=cast("Sequence[np.ndarray]", weights), readout=signs)
