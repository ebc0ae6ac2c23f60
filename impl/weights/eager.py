"""A layer's weight matrix: what the rest of an iteration asks of it, and the eager way of keeping it."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch

from impl.kernels import Kernels, OuterUpdate
from impl.support import Support
from impl.work import WorkMeter, tensor_bytes
from reference.contract import SolveError
from reference.contract.shapes import Float


class Weights(Protocol):
    """One weight matrix W_ℓ (m_ℓ, m_{ℓ−1})."""

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
    ) -> OuterUpdate:
        """Prepares W_ℓ ← W_ℓ − Σ_i (left values of i) (right values of i)ᵀ. Raises where it could overflow."""

    def materialize(self) -> Float[np.ndarray, "fan_out fan_in"]:
        """The present matrix, as a copy."""


class EagerWeights:
    """Weights held as one table, W_ℓᵀ, and written in place where an update is nonzero.

    Args:
        layer: ℓ, for the work counts.
        matrix: W_ℓ (m_ℓ, m_{ℓ−1}); copied.
        device: Where the table lives.
        dtype: Its dtype.
        kernels: The sparse products.
    """

    def __init__(
        self,
        layer: int,
        matrix: Float[np.ndarray, "fan_out fan_in"],
        device: torch.device,
        dtype: torch.dtype,
        kernels: Kernels,
    ):
        self._layer = layer
        self._kernels = kernels
        self.table = _empty_table(matrix.shape[1], matrix.shape[0], device, dtype)
        self.table.copy_(torch.from_numpy(matrix).T)
        low, high = torch.aminmax(self.table)
        self.magnitude = max(-low.item(), high.item())  # an upper bound on |W_ℓ|, kept up to date

    def apply(
        self, support: Support, values: Float[torch.Tensor, " entries"], work: WorkMeter
    ) -> Float[torch.Tensor, "n fan_out"]:
        """See Weights. Gathers one column of W_ℓ for every entry."""
        out = self._kernels.gather(support, values, self.table)
        gathered = support.entries * self.table.shape[1]
        work.count(
            self._layer,
            gathered,
            gathered * self.table.element_size() + tensor_bytes(support.units, values, out),
        )
        return out

    def apply_transpose(
        self,
        rows: Support,
        columns: Support,
        values: Float[torch.Tensor, "c column_entries"],
        work: WorkMeter,
    ) -> Float[torch.Tensor, "c row_entries"]:
        """See Weights. Reads the k × k block of every sample."""
        out = self._kernels.gather_restricted(rows, columns, values, self.table)
        pairs = rows.pairs_with(columns)
        work.count(
            self._layer,
            pairs * values.shape[0],
            pairs * self.table.element_size() + tensor_bytes(rows.units, columns.units, values, out),
        )
        return out

    def plan_update(
        self,
        right: Support,
        right_values: Float[torch.Tensor, " right_entries"],
        left: Support,
        left_values: Float[torch.Tensor, " left_entries"],
        work: WorkMeter,
    ) -> OuterUpdate:
        """See Weights. Counts the update, whose k × k blocks are read and written once."""
        bound = self._bound_after(right, right_values, left_values)
        pairs = right.pairs_with(left)
        work.count(
            self._layer,
            pairs,
            2 * pairs * self.table.element_size() + tensor_bytes(right.units, right_values, left.units, left_values),
        )
        planned = self._kernels.plan_update(right, right_values, left, left_values, self.table)
        return EagerUpdate(self, planned, bound)

    def materialize(self) -> Float[np.ndarray, "fan_out fan_in"]:
        """See Weights."""
        return self.table.T.cpu().numpy().copy(order="C")  # T alone may share memory with the table

    def _bound_after(self, right: Support, right_values: torch.Tensor, left_values: torch.Tensor) -> float:
        """A bound on |W_ℓ| after the update, from the largest factors: no pass over the weights.

        Raises:
            SolveError: where the bound leaves the dtype's range, or a factor is not finite.
        """
        if right_values.numel() == 0 or left_values.numel() == 0:
            return self.magnitude
        largest = [float(values.abs().max()) for values in (right_values, left_values)]
        bound = self.magnitude + right.samples * largest[0] * largest[1]
        if not math.isfinite(bound) or bound > torch.finfo(self.table.dtype).max:
            raise SolveError(
                f"update: expected finite new weights in layer {self._layer}, got an update with factors up to "
                f"{largest[0]:g} and {largest[1]:g}; the network is unchanged"
            )
        return bound


class EagerUpdate:
    """See OuterUpdate: writes the table and, with it, the bound on its entries."""

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


def _empty_table(rows: int, columns: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """An uninitialized table. On the CPU NumPy allocates it: it asks for huge pages, which scattered reads like."""
    if device.type != "cpu":
        return torch.empty(rows, columns, device=device, dtype=dtype)
    return torch.from_numpy(np.empty((rows, columns), str(dtype).removeprefix("torch.")))
