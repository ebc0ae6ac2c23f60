"""The readout A (c, m_L), which is not trained: outputs from hidden values, and the last left factors."""

from __future__ import annotations

import torch

from impl.kernels import Kernels
from impl.support import Support
from impl.work import WorkMeter, tensor_bytes
from reference.contract.shapes import Float


class Readout:
    """A, held as a table Aᵀ (m_L, c).

    Args:
        matrix: A (c, m_L), on its device.
        bias: Added to the outputs, or None.
        kernels: The sparse products.
    """

    def __init__(self, matrix: Float[torch.Tensor, "c m"], bias: Float[torch.Tensor, " c"] | None, kernels: Kernels):
        self.table = matrix.T.contiguous()
        self.bias = bias
        self._kernels = kernels

    def apply(
        self, support: Support, values: Float[torch.Tensor, " entries"], work: WorkMeter
    ) -> Float[torch.Tensor, "n c"]:
        """f = A h for sparse h."""
        out = self._kernels.gather(support, values, self.table)
        if self.bias is not None:
            out += self.bias
        gathered = support.entries * self.table.shape[1]
        work.count(0, gathered, gathered * self.table.element_size() + tensor_bytes(support.units, values, out))
        return out

    def columns(self, support: Support, work: WorkMeter) -> Float[torch.Tensor, "c entries"]:
        """The columns of A at the active units, one for every entry."""
        out = self.table[support.units.long()].T.contiguous()
        self.count_columns(support, out, work)
        return out

    def count_columns(self, support: Support, columns: Float[torch.Tensor, "c entries"], work: WorkMeter) -> None:
        """Counts what reading these columns has taken."""
        work.count(0, columns.numel(), tensor_bytes(support.units, columns, columns))
