"""A_r = Σ_j |left_{j,r}| ‖right_j‖ over the outer products of D: by it the rounding of (D h)_r is bounded."""

from __future__ import annotations

import torch

from impl.certified.interface import AnchorKernels
from impl.weights import LowRank
from impl.weights.low_rank import OuterProducts
from impl.work import WorkMeter
from reference.contract.shapes import Float


class RowMagnitudes:
    """A, kept up to date term by term as D grows.

    Args:
        fan_out: m_ℓ.
        kernels: Those of this package.
        device: Where it lives.
        dtype: Of the numbers; sums are in float64.
    """

    def __init__(self, fan_out: int, kernels: AnchorKernels, device: torch.device, dtype: torch.dtype):
        self._sums = torch.zeros(fan_out, dtype=torch.float64, device=device)
        self._kernels, self._dtype = kernels, dtype
        self._terms: tuple[OuterProducts, ...] = ()
        self._dense: object = None
        self._rounded = self._sums.to(dtype)

    def of(self, low_rank: LowRank, work: WorkMeter, layer: int) -> Float[torch.Tensor, " fan_out"]:
        """A, rounded up.

        Args:
            low_rank: D.
            work: Counts.
            layer: ℓ, for the counts.
        """
        known = len(self._terms)
        if low_rank.dense is not self._dense or low_rank.terms[:known] != self._terms:
            self._sums = torch.zeros_like(self._sums)
            known = 0
            if low_rank.dense is not None:
                lengths = torch.linalg.vector_norm(low_rank.dense.right.double(), dim=0)
                self._sums += low_rank.dense.left.double().abs() @ lengths
                work.count(layer, low_rank.dense.left.numel(), 0)
        elif known == len(low_rank.terms):
            return self._rounded
        for term in low_rank.terms[known:]:
            self._kernels.add_magnitudes(term, self._sums)
            work.count(layer, term.entries, 0)
        self._terms, self._dense = low_rank.terms, low_rank.dense
        self._rounded = (self._sums * (1 + 4 * torch.finfo(self._dtype).eps)).to(self._dtype)
        return self._rounded
