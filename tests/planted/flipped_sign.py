"""The backward pass has a wrong sign: g_ℓ = −D W_{ℓ+1}ᵀ g_{ℓ+1}."""

from __future__ import annotations

from typing import Any

import torch

from impl.implementation import SparseNetwork
from impl.support import Support
from impl.weights import EagerWeights
from impl.work import WorkMeter
from tests.planted.planting import build


class FlippedWeights(EagerWeights):
    """Transposed products with the wrong sign."""

    def apply_transpose(self, rows: Support, columns: Support, values: torch.Tensor, work: WorkMeter) -> torch.Tensor:
        return -super().apply_transpose(rows, columns, values, work)


def factory(network: Any, *, device: str = "cpu", dtype: str = "float32") -> SparseNetwork:
    """The contract's factory."""
    return build(network, device, dtype, weights=FlippedWeights)
