"""The base W⁰ that lazy weights refer to: in memory or mapped from a file, possibly shared."""

from __future__ import annotations

import torch

from impl.weights.magnitude import largest_entry
from impl.weights.source import Matrix
from impl.weights.table import empty_table, table_of
from reference.contract.shapes import Float


class Base:
    """W⁰, as a table (W⁰)ᵀ, that is written by folds only.

    Args:
        table: (m_{ℓ−1}, m_ℓ).
        shared: Whether others read the table too, or it is a file: a fold then writes a copy.

    Attributes:
        version: Grows with every fold into the table; what refers to an older one can no longer be restored.
    """

    def __init__(self, table: Float[torch.Tensor, "fan_in fan_out"], *, shared: bool):
        self.table = table
        self.shared = shared
        self.magnitude = largest_entry(table)
        self.version = 0

    @classmethod
    def of_matrix(
        cls,
        matrix: Matrix,
        device: torch.device,
        dtype: torch.dtype,
    ) -> Base:
        """A copy of W_ℓ, which is this base's own."""
        return cls(table_of(matrix, device, dtype), shared=False)

    def private_copy(self) -> Base:
        """The same in memory of its own: a pass over all of W⁰."""
        fan_in, fan_out = self.table.shape
        table = empty_table(fan_in, fan_out, self.table.device, self.table.dtype)
        table.copy_(self.table)
        copy = Base.__new__(Base)
        copy.table, copy.shared, copy.magnitude, copy.version = table, False, self.magnitude, 0
        return copy
