"""A_r = Σ_j |left_{j,r}| ‖right_j‖ over the outer products of D: by it the rounding of (D h)_r is bounded."""

from __future__ import annotations

import torch

from impl.certified.bound import rounded_up
from impl.weights import LowRank
from impl.weights.low_rank import DenseFactors, OuterProducts
from impl.work import WorkMeter
from reference.contract.shapes import Float


class RowMagnitudes:
    """A, kept up to date term by term as D grows.

    Args:
        like: (m_ℓ,), of the dtype and device of the weights; sums are in float64.
    """

    def __init__(self, like: Float[torch.Tensor, " fan_out"]):
        self._sums = torch.zeros_like(like, dtype=torch.float64)
        self._terms: tuple[OuterProducts, ...] = ()
        self._dense: DenseFactors | None = None
        self._rounded = torch.zeros_like(like)

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
                self._sums += magnitudes_of(low_rank.dense)
                work.count(layer, low_rank.dense.left.numel(), 0)
        elif known == len(low_rank.terms):
            return self._rounded
        for term in low_rank.terms[known:]:
            self._add(term)
            work.count(layer, term.entries, 0)
        self._terms, self._dense = low_rank.terms, low_rank.dense
        self._rounded = rounded_up(self._sums, self._rounded.dtype)
        return self._rounded

    def _add(self, term: OuterProducts) -> None:
        squares = self._sums.new_zeros(term.rank)
        squares.index_add_(0, term.right.sample_of_entry.long(), term.right_values.double().square())
        sizes = term.left_values.double().abs() * squares.sqrt()[term.left.sample_of_entry.long()]
        self._sums.index_add_(0, term.left.units.long(), sizes)


def magnitudes_of(dense: DenseFactors) -> Float[torch.Tensor, " fan_out"]:
    """That of dense factors, in float64."""
    return dense.left.double().abs() @ torch.linalg.vector_norm(dense.right.double(), dim=0)
