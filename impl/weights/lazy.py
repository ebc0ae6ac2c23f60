"""Lazy weights W = W⁰ − D: updates are appended, and the base is written by folds only (section 7 of the method)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from impl.kernels import Kernels, OuterUpdate
from impl.support import Support
from impl.weights.base import Base
from impl.weights.low_rank import LowRank, OuterProducts
from impl.weights.magnitude import magnitude_after
from impl.weights.maintenance import Maintenance
from impl.weights.panels import Panel, Panels
from impl.weights.storage import refuse_to_write
from impl.weights.table import apply_table, apply_table_transpose
from impl.work import WorkMeter, tensor_bytes
from reference.contract import Summands
from reference.contract.shapes import Float

# What it costs to change one of scattered numbers, in multiply-adds of products with D (measured on CPUs).
WRITING = 48


@dataclass(frozen=True, eq=False)
class LazyState:
    """All that a step changes of lazy weights; an earlier one may be returned to.

    Attributes:
        base: W⁰.
        version: Of the base, when this was the state.
        low_rank: D.
        magnitude: A bound on |W|.
        spent: Multiply-adds that carrying D along has cost since it was last empty.
    """

    base: Base
    version: int
    low_rank: LowRank
    magnitude: float
    spent: int = 0

    @property
    def restorable(self) -> bool:
        """Whether the base is still what it was."""
        return self.version == self.base.version


class LazyWeights:
    """See Weights. W_ℓ = W⁰ − D, with D of low rank.

    Args:
        layer: ℓ, for counts and messages.
        base: W⁰.
        kernels: The sparse products.
        maintenance: When to fold or to recompress.
        low_rank: D; None stands for zero.

    Attributes:
        state: The present one.
        renewal_work: Multiply-adds that it would take to renew what others have computed from the base; a fold has to
            pay for that, too.
    """

    def __init__(
        self,
        layer: int,
        base: Base,
        kernels: Kernels,
        maintenance: Maintenance,
        low_rank: LowRank | None = None,
    ):
        self._layer, self._kernels, self._maintenance = layer, kernels, maintenance
        low_rank = low_rank or LowRank(*base.table.shape)
        self.state = LazyState(base, base.version, low_rank, base.magnitude + low_rank.magnitude)
        self.renewal_work = 0
        fan_in, fan_out = base.table.shape
        self._panels = Panels(layer, fan_in, fan_out, kernels)

    @property
    def table(self) -> Float[torch.Tensor, "fan_in fan_out"]:
        """(W⁰)ᵀ."""
        return self.state.base.table

    @property
    def rank(self) -> int:
        """See Weights."""
        return self.state.low_rank.rank

    def apply(
        self, support: Support, values: Float[torch.Tensor, " entries"], work: WorkMeter
    ) -> Float[torch.Tensor, "n fan_out"]:
        """See Weights. W⁰ h − D h."""
        out = apply_table(self._layer, self.table, support, values, self._kernels, work)
        if self.rank:
            change = self.low_rank_product(support, values, work)
            self._kernels.subtract_transposed(change, out)
        return out

    def apply_transpose(
        self,
        rows: Support,
        columns: Support,
        values: Float[torch.Tensor, "c column_entries"],
        work: WorkMeter,
    ) -> Float[torch.Tensor, "c row_entries"]:
        """See Weights. (W⁰)ᵀ g on the k × k blocks, minus Dᵀ g at the rows."""
        out = apply_table_transpose(self._layer, self.table, rows, columns, values, self._kernels, work)
        if self.rank:
            out -= self.low_rank_transpose(rows, columns, values, work)
        return out

    @property
    def panel(self) -> tuple[Panel, ...] | None:
        """D as one panel; empty where D is zero, and None where it is more than one."""
        low_rank = self.state.low_rank
        panels = self._panels.of(low_rank)
        return tuple(panels) if len(panels) <= 1 and low_rank.dense is None else None

    def low_rank_product(
        self, support: Support, values: Float[torch.Tensor, " entries"], work: WorkMeter
    ) -> Float[torch.Tensor, "fan_out n"]:
        """D h, by unit; it is valid until the next one, of whatever layer."""
        size = self.table.shape[1], support.samples
        out = self._kernels.workspace.empty("change", *size, values.dtype, values.device)
        self._panels.apply(self.state.low_rank, support, values, out, work)
        return out

    def low_rank_transpose(
        self, rows: Support, columns: Support, values: Float[torch.Tensor, "c column_entries"], work: WorkMeter
    ) -> Float[torch.Tensor, "c row_entries"]:
        """Dᵀ g, at the inputs named by `rows` only."""
        return self._panels.apply_transpose(self.state.low_rank, rows, columns, values, work)

    def plan_update(
        self,
        right: Support,
        right_values: Float[torch.Tensor, " right_entries"],
        left: Support,
        left_values: Float[torch.Tensor, " left_entries"],
        work: WorkMeter,
    ) -> LazyUpdate:
        """See Weights. Appends n·k numbers, and does what maintenance then calls for."""
        bound = magnitude_after(self._layer, self.state.magnitude, right, right_values, left_values)
        term = OuterProducts(right, right_values, left, left_values)
        work.count(self._layer, 0, tensor_bytes(right.units, right_values, left.units, left_values))
        low_rank = self.state.low_rank.with_term(term, self._kernels)
        spent = self.state.spent + low_rank.cost(right.samples)
        appended = replace(self.state, low_rank=low_rank, magnitude=bound, spent=spent)
        return self._maintenance.plan(self, appended, work)

    def fork(self) -> LazyWeights:
        """Another one in the same state. The base is shared from now on, and so no fold writes it any more."""
        self.state.base.shared = True
        twin = LazyWeights(self._layer, self.state.base, self._kernels, self._maintenance)
        twin.state = self.state
        return twin

    def fold_work(self, state: LazyState) -> int:
        """What a fold takes, in multiply-adds: k × k blocks for sparse terms, all of W for dense factors.

        Where others have to renew what they computed from the base, that comes on top; and as what a fold is to save is
        streamed there, the scattered writes, one for each element that a panel changes, are taken for what they cost
        beside it.
        """
        writing = WRITING if self.renewal_work else 0
        sparse = sum(panel.pairs * (panel.right.vectors + writing) for panel in self._panels.of(state.low_rank))
        dense = self.table.numel() * state.low_rank.dense.rank if state.low_rank.dense else 0
        return self.renewal_work + sparse + dense

    def plan_state(self, state: LazyState, *, recompressions: int = 0) -> LazyUpdate:
        """Prepares the change to a state whose base is the present one."""
        return LazyUpdate(self, (), state, folds=0, recompressions=recompressions)

    def plan_recompression(self, state: LazyState, tolerance: float, work: WorkMeter) -> LazyUpdate:
        """Prepares the change to a state, with its D truncated to `tolerance`."""
        low_rank = state.low_rank.recompressed(tolerance, work, self._layer)
        return self.plan_state(replace(state, low_rank=low_rank), recompressions=1)

    def plan_fold(self, state: LazyState, work: WorkMeter, *, folds: int = 1) -> LazyUpdate:
        """Prepares W⁰ ← W⁰ − D and D ← 0, from a state whose base is the present one.

        Sparse terms are written in place on their k × k blocks. A base that is shared or a file is copied first, and so
        is one that dense factors fold into, since all of it changes: passes over all of W. It counts as `folds` folds.

        Raises:
            ArgumentError: for a base that is stored in a narrower dtype: see impl.weights.storage.
        """
        low_rank, base = state.low_rank, state.base
        refuse_to_write(base.table.dtype)
        size = base.table.element_size()
        if base.shared or low_rank.dense is not None:
            base = base.private_copy()
            work.count(self._layer, 0, 2 * tensor_bytes(base.table))
        if low_rank.dense is not None:
            base.table.addmm_(low_rank.dense.right, low_rank.dense.left.T, alpha=-1.0)
            work.count(self._layer, base.table.numel() * low_rank.dense.rank, 2 * tensor_bytes(base.table))
        writes = []
        for right, right_values, left, left_values, pairs in self._blocks(low_rank):
            touched = tensor_bytes(right.units, left.units, right_values, left_values)
            work.count(self._layer, pairs * right_values.shape[1], 2 * pairs * size + touched)
            writes.append(self._kernels.plan_update(right, right_values, left, left_values, base.table))
        empty = LowRank(*base.table.shape)
        folded = LazyState(base, base.version + (base is state.base), empty, state.magnitude)
        return LazyUpdate(self, writes, folded, folds=folds, recompressions=0)

    def _blocks(self, low_rank: LowRank) -> Iterator[tuple[Support, torch.Tensor, Support, torch.Tensor, int]]:
        """The sparse terms as right and left factors, (entries, t) on their supports, and the elements they change.

        A term alone is what eager weights would have written at once, and needs no panel.
        """
        if len(low_rank.terms) == 1:
            term = low_rank.terms[0]
            yield term.right, term.right_values[:, None], term.left, term.left_values[:, None], term.pairs
            return
        for panel in self._panels.of(low_rank):
            right, left = panel.right, panel.left
            yield right.support, right.listed_values, left.support, left.listed_values, panel.pairs

    def materialize(self) -> Float[np.ndarray, "fan_out fan_in"]:
        """See Weights. In float64, so that what is returned is what is held."""
        change, _ = self.state.low_rank.materialize()
        return (self.table.double().cpu().numpy() - change).T.copy(order="C")

    def summands(self) -> Summands:
        """See Weights."""
        _, magnitude = self.state.low_rank.materialize()
        return Summands((self.table.double().abs().cpu().numpy() + magnitude).T, 1 + self.rank)


class LazyUpdate:
    """See WeightsUpdate: writes the base, if it is folded into, and goes over to another state.

    Args:
        weights: Whose state changes.
        writes: Prepared updates of the new state's base.
        after: The new state.
        folds: 1 if this is a fold.
        recompressions: 1 if D was truncated.
    """

    def __init__(
        self,
        weights: LazyWeights,
        writes: Sequence[OuterUpdate],
        after: LazyState,
        *,
        folds: int,
        recompressions: int,
    ):
        self._weights, self._writes = weights, writes
        self._before, self._after = weights.state, after
        self.folds, self.recompressions = folds, recompressions
        self._begun: list[OuterUpdate] = []

    def apply(self) -> None:
        """See OuterUpdate."""
        for write in self._writes:
            self._begun.append(write)
            write.apply()
        self._after.base.version = self._after.version
        self._weights.state = self._after

    def revert(self) -> None:
        """See OuterUpdate."""
        for write in reversed(self._begun):
            write.revert()
        self._before.base.version = self._before.version
        self._weights.state = self._before
