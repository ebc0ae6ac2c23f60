"""Accumulated updates D = Σ_j left_j right_jᵀ of low rank, so that W = W⁰ − D (reference/README.md, section 7).

Updates stay what they are, outer products of sparse vectors: n·k numbers each, where their sum has n·k². Only
recompression makes dense factors of them. Nothing here is ever changed in place: an earlier state is undone to by
going back to the object that it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter

import numpy as np
import torch

from impl.kernels import Kernels
from impl.support import Support, offsets_of
from impl.work import WorkMeter, tensor_bytes
from reference.contract.shapes import Float


@dataclass(frozen=True, eq=False)
class OuterProducts:
    """Σ_j left_j right_jᵀ with sparse vectors; j runs over the "samples" of both supports.

    Attributes:
        right: Supports over the m_{ℓ−1} inputs.
        right_values: On them.
        left: Supports over the m_ℓ units.
        left_values: On them.
    """

    right: Support
    right_values: Float[torch.Tensor, " right_entries"]
    left: Support
    left_values: Float[torch.Tensor, " left_entries"]

    @cached_property
    def rank(self) -> int:
        """The number of outer products, which bounds the rank."""
        return self.right.samples

    @cached_property
    def entries(self) -> int:
        """The numbers held."""
        return self.right.entries + self.left.entries

    @cached_property
    def pairs(self) -> int:
        """Elements of a weight matrix that it changes, one that several samples change once for each."""
        return self.right.pairs_with(self.left)

    @cached_property
    def longest_right(self) -> int:
        """The most entries of a right factor."""
        return int(self.right.host_counts.max()) if self.rank else 0

    @cached_property
    def right_sum(self) -> float:
        """By it, right factors that differ are told apart without being compared."""
        return float(self.right_values.sum())

    def has_right_factors_of(self, other: OuterProducts) -> bool:
        """Whether the right factors are the same numbers."""
        return (self.right is other.right and self.right_values is other.right_values) or (
            self.right_sum == other.right_sum
            and self.right.entries == other.right.entries
            and torch.equal(self.right.offsets, other.right.offsets)
            and torch.equal(self.right.units, other.right.units)
            and torch.equal(self.right_values, other.right_values)
        )

    def is_merged_from(self, earlier: OuterProducts) -> bool:
        """Whether it is the sum of an earlier one with others."""
        return self.right is earlier.right and self.right_values is earlier.right_values

    def plus(self, other: OuterProducts, kernels: Kernels) -> OuterProducts:
        """The sum with products of the same right factors: left factors add up on the union of their supports."""
        left, values = kernels.add_vectors(self.left, self.left_values, other.left, other.left_values)
        return OuterProducts(self.right, self.right_values, left, values)


# Of many terms, at every step.
_RANK, _ENTRIES = attrgetter("rank"), attrgetter("entries")
_RIGHT_SUM, _LONGEST_RIGHT = attrgetter("right_sum"), attrgetter("longest_right")


@dataclass(frozen=True, eq=False)
class DenseFactors:
    """left · rightᵀ with dense factors, as a recompression leaves them.

    Attributes:
        right: (m_{ℓ−1}, r).
        left: (m_ℓ, r).
    """

    right: Float[torch.Tensor, "fan_in r"]
    left: Float[torch.Tensor, "fan_out r"]

    @property
    def rank(self) -> int:
        """r."""
        return self.right.shape[1]


@dataclass(frozen=True, eq=False)
class LowRank:
    """D, as sparse terms and possibly dense factors.

    Attributes:
        fan_in: m_{ℓ−1}.
        fan_out: m_ℓ.
        terms: Sparse ones, oldest first.
        dense: What was recompressed, or None.
    """

    fan_in: int
    fan_out: int
    terms: tuple[OuterProducts, ...] = ()
    dense: DenseFactors | None = None

    @cached_property
    def rank(self) -> int:
        """A bound on the rank of D: how many outer products it is held as."""
        return self.sparse_rank + (self.dense.rank if self.dense else 0)

    @cached_property
    def sparse_rank(self) -> int:
        """The part of `rank` that sparse terms hold."""
        return sum(map(_RANK, self.terms))

    @cached_property
    def longest_sum(self) -> int:
        """The most products that an element of D h is a sum of, beside those with entries of h."""
        return self.rank + max(map(_LONGEST_RIGHT, self.terms), default=0)

    @cached_property
    def magnitude(self) -> float:
        """A bound on |D|, from its largest factors."""
        factors = [(term.rank, term.right_values, term.left_values) for term in self.terms]
        if self.dense is not None:
            factors.append((self.dense.rank, self.dense.right, self.dense.left))
        return sum(
            rank * float(right.abs().max()) * float(left.abs().max())
            for rank, right, left in factors
            if right.numel() and left.numel()
        )

    def with_term(self, term: OuterProducts, kernels: Kernels) -> LowRank:
        """D plus a term, merged with an earlier one of the same right factors: such updates do not raise the rank."""
        if self.terms and term.right_sum in map(_RIGHT_SUM, self.terms):
            for index, earlier in enumerate(self.terms):
                if earlier.has_right_factors_of(term):
                    merged = (*self.terms[:index], earlier.plus(term, kernels), *self.terms[index + 1 :])
                    return LowRank(self.fan_in, self.fan_out, merged, self.dense)
        return LowRank(self.fan_in, self.fan_out, (*self.terms, term), self.dense)

    def cost(self, samples: int) -> int:
        """Multiply-adds that D adds to an iteration: it is applied once, and once transposed.

        Of sparse terms that is half of the products that there are, since most have a factor that is zero: two supports
        have few units in common.
        """
        dense = (self.fan_in + self.fan_out) * self.dense.rank if self.dense is not None else 0
        return samples * (sum(map(_ENTRIES, self.terms)) + 2 * dense)

    @cached_property
    def stack(self) -> OuterProducts:
        """All sparse terms as one."""
        if len(self.terms) == 1:
            return self.terms[0]
        right, right_values = _stacked([(term.right, term.right_values) for term in self.terms], self.fan_in)
        left, left_values = _stacked([(term.left, term.left_values) for term in self.terms], self.fan_out)
        return OuterProducts(right, right_values, left, left_values)

    def recompressed(self, tolerance: float, work: WorkMeter, layer: int) -> LowRank:
        """The D of least rank within ‖D − D'‖_F ≤ tolerance·‖D‖_F, by two QR factorizations and a small SVD.

        In float64, and linear in m: (m_ℓ + m_{ℓ−1})·R².

        Args:
            tolerance: Relative.
            work: Counts.
            layer: ℓ, for the counts.
        """
        if not self.terms and self.dense is None:
            return self
        right, left = self.factors()
        dtype = self.terms[0].left_values.dtype if self.terms else self.dense.left.dtype  # type: ignore[union-attr]
        q_right, r_right = torch.linalg.qr(right)
        q_left, r_left = torch.linalg.qr(left)
        u, sizes, vt = torch.linalg.svd(r_left @ r_right.T)
        tails = sizes.square().flip(0).cumsum(0).flip(0).sqrt()  # Frobenius norm of what a truncation leaves out
        rank = int((tails > tolerance * tails[0]).sum()) if tails.numel() else 0
        work.count(layer, _qr_work(right) + _qr_work(left), 4 * tensor_bytes(right, left))
        if rank == 0:
            return LowRank(self.fan_in, self.fan_out)
        root = sizes[:rank].sqrt()
        new_right = (q_right @ vt[:rank].T * root).to(dtype)
        new_left = (q_left @ u[:, :rank] * root).to(dtype)
        work.count(layer, (self.fan_in + self.fan_out) * len(sizes) * rank, 2 * tensor_bytes(new_right, new_left))
        return LowRank(self.fan_in, self.fan_out, (), DenseFactors(new_right, new_left))

    def factors(self) -> tuple[Float[torch.Tensor, "fan_in R"], Float[torch.Tensor, "fan_out R"]]:
        """Right and left factors of D written out, in float64: linear in m."""
        rights, lefts = [], []
        if self.terms:
            rights.append(self.stack.right.densify(self.stack.right_values.double()).T)
            lefts.append(self.stack.left.densify(self.stack.left_values.double()).T)
        if self.dense is not None:
            rights.append(self.dense.right.double())
            lefts.append(self.dense.left.double())
        return torch.cat(rights, dim=1), torch.cat(lefts, dim=1)

    def materialize(self) -> tuple[Float[np.ndarray, "fan_in fan_out"], Float[np.ndarray, "fan_in fan_out"]]:
        """Dᵀ in float64, and Σ_j |right_j| |left_j|ᵀ: for checking."""
        if not self.terms and self.dense is None:
            nothing = np.zeros((self.fan_in, self.fan_out))
            return nothing, nothing.copy()
        right, left = self.factors()
        return (right @ left.T).cpu().numpy(), (right.abs() @ left.abs().T).cpu().numpy()


def _stacked(
    vectors: Sequence[tuple[Support, Float[torch.Tensor, " _"]]], width: int
) -> tuple[Support, Float[torch.Tensor, " entries"]]:
    """Sparse vectors one after the other."""
    counts = torch.cat([support.counts for support, _ in vectors])
    sample = torch.repeat_interleave(torch.arange(counts.numel(), device=counts.device), counts.long())
    units = torch.cat([support.units for support, _ in vectors])
    stacked = Support(offsets_of(counts), sample.to(torch.int32), units, width)
    return stacked, torch.cat([values for _, values in vectors])


def _qr_work(factor: Float[torch.Tensor, "m R"]) -> int:
    """Multiply-adds of a thin QR factorization that forms Q."""
    rows, columns = factor.shape
    return 2 * max(rows, columns) * min(rows, columns) ** 2
