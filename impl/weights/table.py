"""A weight matrix as a table W_ℓᵀ (m_{ℓ−1}, m_ℓ): its allocation, and its two products, counted."""

from __future__ import annotations

import numpy as np
import torch

from impl.kernels import Kernels
from impl.support import Support
from impl.weights.source import Matrix
from impl.work import WorkMeter, tensor_bytes
from reference.contract.shapes import Float


def apply_table(
    layer: int,
    table: Float[torch.Tensor, "fan_in fan_out"],
    support: Support,
    values: Float[torch.Tensor, " entries"],
    kernels: Kernels,
    work: WorkMeter,
) -> Float[torch.Tensor, "n fan_out"]:
    """W_ℓ h for sparse h: gathers one column of W_ℓ, a row of the table, for every entry."""
    out = kernels.gather(support, values, table)
    gathered = support.entries * table.shape[1]
    work.count(layer, gathered, gathered * table.element_size() + tensor_bytes(support.units, values, out))
    return out


def apply_table_transpose(
    layer: int,
    table: Float[torch.Tensor, "fan_in fan_out"],
    rows: Support,
    columns: Support,
    values: Float[torch.Tensor, "c column_entries"],
    kernels: Kernels,
    work: WorkMeter,
) -> Float[torch.Tensor, "c row_entries"]:
    """W_ℓᵀ g for sparse g at the inputs named by `rows`: reads the k × k block of every sample."""
    out = kernels.gather_restricted(rows, columns, values, table)
    pairs = rows.pairs_with(columns)
    moved = pairs * table.element_size() + tensor_bytes(rows.units, columns.units, values, out)
    work.count(layer, pairs * values.shape[0], moved)
    return out


def empty_table(rows: int, columns: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """An uninitialized table. On the CPU NumPy allocates it: it asks for huge pages, which scattered reads like."""
    if device.type != "cpu":
        return torch.empty(rows, columns, device=device, dtype=dtype)
    return torch.from_numpy(np.empty((rows, columns * dtype.itemsize), np.uint8)).view(dtype)


def table_of(
    matrix: Matrix,
    device: torch.device,
    dtype: torch.dtype,
) -> Float[torch.Tensor, "fan_in fan_out"]:
    """A table of its own that holds W_ℓᵀ, from a matrix in NumPy or on any device."""
    table = empty_table(matrix.shape[1], matrix.shape[0], device, dtype)
    return table.copy_(torch.as_tensor(matrix).T)
