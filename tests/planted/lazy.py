"""Lazy weights W = W⁰ − D: low-rank terms that are lost, doubled, or forgotten in a product."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tests.planted.registry import FOLDING, LAZY, Module, plant

RUNS = (
    "every_step_of_a_run_matches_the_oracle every_step_of_a_run_over_changing_batches_matches_the_oracle "
    "any_sequence_of_operations_matches_the_oracle "
)


@plant("impl.weights.low_rank", LAZY, killed_by=RUNS)
def second_term_dropped(low_rank: Module) -> None:
    """A step's term replaces what was accumulated before it."""
    low_rank.LowRank.with_term = lambda self, term: low_rank.LowRank(self.fan_in, self.fan_out, (term,), self.dense)


@plant("impl.weights.low_rank", LAZY, killed_by=RUNS)
def merged_term_replaces(low_rank: Module) -> None:
    """Where right factors repeat, the new left factors replace the old ones instead of adding up."""
    low_rank.OuterProducts.plus = lambda self, other: other


@plant("impl.weights.lazy", LAZY, killed_by=RUNS)
def transpose_forgets_the_updates(lazy: Module) -> None:
    """The backward product reads W⁰ alone."""

    def apply_transpose(self: Any, rows: Any, columns: Any, values: torch.Tensor, work: Any) -> torch.Tensor:
        product: torch.Tensor = lazy.apply_table_transpose(
            self._layer, self.table, rows, columns, values, self._kernels, work
        )
        return product

    lazy.LazyWeights.apply_transpose = apply_transpose


@plant("impl.weights.lazy", LAZY, killed_by=RUNS)
def updates_added(lazy: Module) -> None:
    """The forward product is W⁰ h + D h."""

    def apply(self: Any, support: Any, values: torch.Tensor, work: Any) -> torch.Tensor:
        out: torch.Tensor = lazy.apply_table(self._layer, self.table, support, values, self._kernels, work)
        if self.rank:
            out += self.state.low_rank.apply(support, values, self._kernels, work, self._layer)
        return out

    lazy.LazyWeights.apply = apply


@plant("impl.weights.lazy", FOLDING, killed_by=RUNS)
def fold_doubles_an_update(lazy: Module) -> None:
    """After a fold the low-rank part is kept, and counts twice."""
    correct = lazy.LazyWeights.plan_fold

    def plan_fold(self: Any, state: Any, work: Any, **more: Any) -> Any:
        update = correct(self, state, work, **more)
        update._after = replace(update._after, low_rank=state.low_rank)
        return update

    lazy.LazyWeights.plan_fold = plan_fold


@plant("impl.weights.lazy", FOLDING, killed_by=RUNS)
def fold_loses_the_newest_update(lazy: Module) -> None:
    """A fold writes all terms but the one of the step that caused it."""
    correct = lazy.LazyWeights.plan_fold

    def plan_fold(self: Any, state: Any, work: Any, **more: Any) -> Any:
        terms = state.low_rank.terms[:-1] if len(state.low_rank.terms) > 1 else state.low_rank.terms
        return correct(self, replace(state, low_rank=replace(state.low_rank, terms=terms, log=None)), work, **more)

    lazy.LazyWeights.plan_fold = plan_fold


@plant("impl.weights.low_rank", LAZY, killed_by=RUNS)
def terms_in_the_wrong_order(low_rank: Module) -> None:
    """Right factors of the terms are stacked oldest first, left factors newest first."""

    def stack(self: Any) -> Any:
        log = low_rank.TermLog(self.terms, self.fan_in, self.fan_out)
        back = low_rank.TermLog(self.terms[::-1], self.fan_in, self.fan_out)
        return low_rank.OuterProducts(*log.right(log.end), *back.left(back.end))

    low_rank.LowRank.stack = property(stack)


@plant("impl.weights.maintenance", LAZY, killed_by=RUNS)
def recompression_too_coarse(maintenance: Module) -> None:
    """What is said to be kept is recompressed to a tolerance of 10⁻³ at every step."""
    maintenance.Keep.plan = lambda self, weights, state, work: weights.plan_recompression(state, 1e-3, work)


@plant("impl.weights.lazy", LAZY, killed_by="gauss_newton_step_matches_the_oracle " + RUNS)
def saved_weights_are_the_base(lazy: Module) -> None:
    """`to_network` returns W⁰, though products are right."""
    lazy.LazyWeights.materialize = lambda self: np.ascontiguousarray(self.table.double().numpy().T)


@plant("impl.weights.low_rank", LAZY, killed_by=RUNS)
def stack_never_renewed(low_rank: Module) -> None:
    """The stack of all terms is cached by their number, across networks: stale wherever two have as many."""
    correct = low_rank.LowRank.stack.func
    known: dict[Any, Any] = {}

    def stack(self: Any) -> Any:
        return known.setdefault((self.fan_in, self.fan_out, self.sparse_rank, len(self.terms)), correct(self))

    low_rank.LowRank.stack = property(stack)
