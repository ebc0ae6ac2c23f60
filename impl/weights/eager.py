"""Eager weights: every update is written at once, on its k × k supports."""

from __future__ import annotations

import numpy as np
import torch

from impl.kernels import Kernels, OuterUpdate
from impl.support import Support
from impl.weights.magnitude import largest_entry, magnitude_after
from impl.weights.source import Matrix
from impl.weights.table import apply_table, apply_table_transpose, table_of
from impl.work import WorkMeter, tensor_bytes
from reference.contract import Summands
from reference.contract.shapes import Float


class EagerWeights:
    """See Weights. Held as one table, W_ℓᵀ, and written in place where an update is nonzero.

    Args:
        layer: ℓ, for the work counts.
        matrix: W_ℓ (m_ℓ, m_{ℓ−1}); copied.
        device: Where the table lives.
        dtype: Its dtype.
        kernels: The sparse products.
    """

    rank = 0

    def __init__(
        self,
        layer: int,
        matrix: Matrix,
        device: torch.device,
        dtype: torch.dtype,
        kernels: Kernels,
    ):
        self._layer = layer
        self._kernels = kernels
        self.table = table_of(matrix, device, dtype)
        self.magnitude = largest_entry(self.table)

    def apply(
        self, support: Support, values: Float[torch.Tensor, " entries"], work: WorkMeter
    ) -> Float[torch.Tensor, "n fan_out"]:
        """See Weights."""
        return apply_table(self._layer, self.table, support, values, self._kernels, work)

    def apply_transpose(
        self,
        rows: Support,
        columns: Support,
        values: Float[torch.Tensor, "c column_entries"],
        work: WorkMeter,
    ) -> Float[torch.Tensor, "c row_entries"]:
        """See Weights."""
        return apply_table_transpose(self._layer, self.table, rows, columns, values, self._kernels, work)

    def plan_update(
        self,
        right: Support,
        right_values: Float[torch.Tensor, " right_entries"],
        left: Support,
        left_values: Float[torch.Tensor, " left_entries"],
        work: WorkMeter,
    ) -> EagerUpdate:
        """See Weights. Counts the update, whose k × k blocks are read and written once."""
        bound = magnitude_after(self._layer, self.magnitude, right, right_values, left_values)
        pairs = right.pairs_with(left)
        work.count(
            self._layer,
            pairs,
            2 * pairs * self.table.element_size() + tensor_bytes(right.units, right_values, left.units, left_values),
        )
        planned = self._kernels.plan_update(right, right_values[:, None], left, left_values[:, None], self.table)
        return EagerUpdate(self, planned, bound)

    def materialize(self) -> Float[np.ndarray, "fan_out fan_in"]:
        """See Weights."""
        return self.table.T.cpu().numpy().copy(order="C")  # T alone may share memory with the table

    def summands(self) -> Summands:
        """See Weights."""
        return Summands(np.abs(self.materialize()), 1)


class EagerUpdate:
    """See WeightsUpdate: writes the table and, with it, the bound on its entries."""

    folds = recompressions = 0

    def __init__(self, weights: EagerWeights, planned: OuterUpdate, bound: float):
        self._weights, self._planned = weights, planned
        self._before, self._after = weights.magnitude, bound

    def apply(self) -> None:
        """See OuterUpdate."""
        self._planned.apply()
        self._weights.magnitude = self._after

    def revert(self) -> None:
        """See OuterUpdate."""
        self._planned.revert()
        self._weights.magnitude = self._before
