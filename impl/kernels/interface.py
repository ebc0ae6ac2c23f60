"""What a set of kernels offers. A *table* is a weight matrix stored by input unit: W_ℓᵀ, (m_{ℓ−1}, m_ℓ).

So the column of W_ℓ that an active input gathers is a contiguous row of the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from impl.kernels.factors import Factors, Unions
from impl.kernels.workspace import Workspace
from impl.support import Support
from reference.contract.shapes import Float


class Kernels(Protocol):
    """The sparse operations of one iteration; the products read or write only what the supports name."""

    name: str
    workspace: Workspace

    def select(
        self, dense: Float[torch.Tensor, "n m"], threshold: float
    ) -> tuple[Support, Float[torch.Tensor, " entries"]]:
        """The entries greater than the threshold, strictly, and their values."""

    def gather(
        self, support: Support, values: Float[torch.Tensor, " entries"], table: Float[torch.Tensor, "m fan_out"]
    ) -> Float[torch.Tensor, "n fan_out"]:
        """out[i] = Σ_{a ∈ support_i} values[i, a] · table[a]: whole rows of the table, entries · fan_out work.

        Sums are taken in the values' dtype, which may be a wider one than that of the table: nothing is rounded to
        the table's. Of a table in bfloat16 only what is read is widened.
        """

    def gather_restricted(
        self,
        rows: Support,
        columns: Support,
        values: Float[torch.Tensor, "c column_entries"],
        table: Float[torch.Tensor, "m fan_out"],
    ) -> Float[torch.Tensor, "c row_entries"]:
        """out[o, (i, a)] = Σ_{f ∈ columns_i} table[a, f] · values[o, (i, f)]: the k × k blocks only.

        Of a table in a narrower dtype than the values' what is read is widened.
        """

    def add_vectors(
        self,
        support: Support,
        values: Float[torch.Tensor, " entries"],
        other: Support,
        other_values: Float[torch.Tensor, " other_entries"],
    ) -> tuple[Support, Float[torch.Tensor, " union_entries"]]:
        """The sums of the vectors of each sample, on the unions of their supports.

        Where the unions are the first supports, as they are most often, that object is returned.
        """

    def unions(self, right: Factors, more_right: Support, left: Factors, more_left: Support) -> Unions:
        """What unions would come about if a support were added to each of two sets of factors of the same samples."""

    def insert(self, factors: Factors, support: Support, values: Float[torch.Tensor, " entries"]) -> None:
        """Adds one vector to every sample; there must be room."""

    def project(
        self, factors: Factors, support: Support, values: Float[torch.Tensor, "c entries"]
    ) -> Float[torch.Tensor, "samples t nc"]:
        """out[j, t, (o, i)] = Σ_a (t-th vector of sample j)[a] · values[o, (i, a)]."""

    def spread(
        self,
        factors: Factors,
        coefficients: Float[torch.Tensor, "samples t nc"],
        out: Float[torch.Tensor, "m nc"],
        *,
        anew: bool,
    ) -> None:
        """out[a] += Σ_{i, t} (t-th vector of sample i)[a] · coefficients[i, t], in place; `anew`: = in place of +=."""

    def subtract_transposed(self, by_unit: Float[torch.Tensor, "m n"], out: Float[torch.Tensor, "n m"]) -> None:
        """out[i, a] −= by_unit[a, i], in place."""

    def collect(
        self, factors: Factors, coefficients: Float[torch.Tensor, "samples t nc"], rows: Support
    ) -> Float[torch.Tensor, "c row_entries"]:
        """out[o, (i, a)] = Σ_{j, t} (t-th vector of sample j)[a] · coefficients[j, t, (o, i)]: at the rows only."""

    def inner_products(
        self, support: Support, vectors: Sequence[Float[torch.Tensor, "_ entries"]], block: slice
    ) -> list[Float[torch.Tensor, "_ _"]]:
        """out[(i, o), (j, p)] = ⟨v_{i,o}, v_{j,p}⟩ for all samples i and those samples j of a block, in float64.

        One output for each of several sets of values on a support: v_{i,o} is the sparse vector of sample i with the
        values (c, entries) of output o; c may differ. Sums are in float64, too.
        """

    def plan_update(
        self,
        rows: Support,
        row_values: Float[torch.Tensor, "row_entries t"],
        columns: Support,
        column_values: Float[torch.Tensor, "column_entries t"],
        table: Float[torch.Tensor, "m fan_out"],
    ) -> OuterUpdate:
        """Prepares table[a, f] −= Σ_i Σ_t row_values[(i, a), t] · column_values[(i, f), t] on the k × k blocks.

        An element is written once for every sample that has it, whatever t. Whatever can fail, such as allocating,
        happens here, before anything is written.
        """


class OuterUpdate(Protocol):
    """A prepared update of one table, so that all layers change or none does."""

    def apply(self) -> None:
        """Writes the update."""

    def revert(self) -> None:
        """Undoes, to the last bit, an `apply` that was broken off or that must not stand."""
