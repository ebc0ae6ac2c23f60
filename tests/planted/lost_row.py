"""The last row of every weight matrix is never read: its unit falls out of the active set."""

from __future__ import annotations

from typing import Any

import torch

from impl.implementation import SparseNetwork
from impl.support import Support
from impl.weights import EagerWeights
from impl.work import WorkMeter
from tests.planted.planting import build


class RowLosingWeights(EagerWeights):
    """Products whose last element stays far below every threshold."""

    def apply(self, support: Support, values: torch.Tensor, work: WorkMeter) -> torch.Tensor:
        product = super().apply(support, values, work)
        product[:, -1] = -1e6
        return product


def factory(network: Any, *, device: str = "cpu", dtype: str = "float32") -> SparseNetwork:
    """The contract's factory."""
    return build(network, device, dtype, weights=RowLosingWeights)
