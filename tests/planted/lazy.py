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
    low_rank.LowRank.with_term = lambda self, term, kernels: low_rank.LowRank(
        self.fan_in, self.fan_out, (term,), self.dense
    )


@plant("impl.weights.low_rank", LAZY, killed_by=RUNS)
def merged_term_replaces(low_rank: Module) -> None:
    """Where right factors repeat, the new left factors replace the old ones instead of adding up."""
    low_rank.OuterProducts.plus = lambda self, other, kernels: other


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
            out += self.low_rank_product(support, values, work).T
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
        return correct(self, replace(state, low_rank=replace(state.low_rank, terms=terms)), work, **more)

    lazy.LazyWeights.plan_fold = plan_fold


@plant("impl.weights.panels", LAZY, killed_by=RUNS)
def vectors_in_the_wrong_order(panels: Module) -> None:
    """Left factors of the terms stand side by side in another order than their right factors."""
    correct = panels.Panel.add

    def add(self: Any, *arguments: Any) -> None:
        correct(self, *arguments)
        taken = self.left.values[:, :, : self.left.vectors]
        taken.copy_(taken.roll(1, dims=2))

    panels.Panel.add = add


@plant("impl.weights.maintenance", LAZY, killed_by=RUNS)
def recompression_too_coarse(maintenance: Module) -> None:
    """What is said to be kept is recompressed to a tolerance of 10⁻³ at every step."""
    maintenance.Keep.plan = lambda self, weights, state, work: weights.plan_recompression(state, 1e-3, work)


@plant("impl.weights.lazy", LAZY, killed_by="gauss_newton_step_matches_the_oracle " + RUNS)
def saved_weights_are_the_base(lazy: Module) -> None:
    """`to_network` returns W⁰, though products are right."""
    lazy.LazyWeights.materialize = lambda self: np.ascontiguousarray(self.table.double().numpy().T)


@plant("impl.weights.panels", LAZY, killed_by=RUNS)
def panels_never_renewed(panels: Module) -> None:
    """Products are those with the first update that there was."""
    correct = panels.Panels._follow

    def _follow(self: Any, low_rank: Any) -> None:
        if self._followed is None:
            correct(self, low_rank)

    panels.Panels._follow = _follow


@plant("impl.weights.panels", LAZY, killed_by=RUNS)
def undone_terms_stay_in_panels(panels: Module) -> None:
    """A panel grows with new terms, and keeps those that were undone."""

    def _follow(self: Any, low_rank: Any) -> None:
        self.held = getattr(self, "held", [])
        for term in low_rank.terms:
            if not any(term is other for other in self.held):
                self._add(term)
                self.held.append(term)

    panels.Panels._follow = _follow


@plant("impl.kernels.compiled", LAZY, killed_by=RUNS)
def unions_found_where_they_were(compiled: Module) -> None:
    """Units of a panel are looked up as they stood before its union grew."""
    correct = compiled.CompiledKernels.insert

    def insert(self: Any, factors: Any, support: Any, values: torch.Tensor) -> None:
        before = factors.kept
        correct(self, factors, support, values)
        factors.kept = before

    compiled.CompiledKernels.insert = insert


@plant("impl.kernels.compiled", LAZY, killed_by=RUNS)
def new_units_lost_in_sums(compiled: Module) -> None:
    """Where an update of inputs that have been before is active on new units, these are dropped."""

    def add_vectors(self: Any, support: Any, values: torch.Tensor, other: Any, other_values: torch.Tensor) -> Any:
        here, there = (part.sample_of_entry.long() * part.width + part.units for part in (support, other))
        known = torch.isin(there, here)
        return support, values.index_add(0, torch.searchsorted(here, there[known]), other_values[known])

    compiled.CompiledKernels.add_vectors = add_vectors
