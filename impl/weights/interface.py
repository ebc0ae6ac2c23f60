"""A layer's weight matrix: what an iteration asks of it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from impl.kernels import OuterUpdate
from impl.support import Support
from impl.work import WorkMeter
from reference.contract import Summands
from reference.contract.shapes import Float


class Weights(Protocol):
    """One weight matrix W_ℓ (m_ℓ, m_{ℓ−1})."""

    @property
    def rank(self) -> int:
        """The rank in which updates are held; 0 where they are written in place."""

    @property
    def table(self) -> Float[torch.Tensor, "fan_in fan_out"]:
        """What is held of size m_ℓ·m_{ℓ−1}, transposed."""

    def apply(
        self, support: Support, values: Float[torch.Tensor, " entries"], work: WorkMeter
    ) -> Float[torch.Tensor, "n fan_out"]:
        """W_ℓ h for sparse h, for every sample."""

    def apply_transpose(
        self,
        rows: Support,
        columns: Support,
        values: Float[torch.Tensor, "c column_entries"],
        work: WorkMeter,
    ) -> Float[torch.Tensor, "c row_entries"]:
        """W_ℓᵀ g for sparse g, at the inputs named by `rows` only."""

    def plan_update(
        self,
        right: Support,
        right_values: Float[torch.Tensor, " right_entries"],
        left: Support,
        left_values: Float[torch.Tensor, " left_entries"],
        work: WorkMeter,
    ) -> WeightsUpdate:
        """Prepares W_ℓ ← W_ℓ − Σ_i (left values of i) (right values of i)ᵀ. Raises where it could overflow."""

    def materialize(self) -> Float[np.ndarray, "fan_out fan_in"]:
        """The present matrix, as a copy."""

    def summands(self) -> Summands:
        """What the present matrix is the sum of: by it the rounding of products is bounded."""


class WeightsUpdate(OuterUpdate, Protocol):
    """A prepared update, with the maintenance that comes with it.

    Attributes:
        folds: How many folds of accumulated updates into the base it contains, 0 or 1.
        recompressions: Likewise truncations to a lower rank.
    """

    folds: int
    recompressions: int
