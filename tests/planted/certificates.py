"""Certificates that prove too much: every way in which a unit that fires could be passed over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from tests.planted.registry import CERTIFIED, Module, plant

RUNS = (
    "every_step_of_a_run_matches_the_oracle every_step_of_a_run_over_changing_batches_matches_the_oracle "
    "any_sequence_of_operations_matches_the_oracle evaluations_after_a_step_use_the_new_weights "
)


@plant("impl.certified.anchors", CERTIFIED, killed_by=RUNS)
def norms_over_a_few_columns(anchors: Module) -> None:
    """ρ is the norm over a few of the columns, not over all that may move."""
    correct = anchors.norms_of_squares
    anchors.norms_of_squares = lambda squares, terms: correct(squares * 1e-4, terms)


@plant("impl.certified.layer", CERTIFIED, killed_by=RUNS)
def updates_left_out_of_the_bound(layer: Module) -> None:
    """The bound is that of W⁰: the low-rank term of the updates since is forgotten."""
    correct = layer.CertifiedLayer._rows

    def _rows(self: Any, slots: Any, support: Any, values: Any, places: Any, change: Any, *more: Any) -> Any:
        bounds = correct(self, slots, support, values, places, torch.zeros_like(change), *more)
        return replace(bounds, change=change)

    layer.CertifiedLayer._rows = _rows


@plant("impl.certified.layer", CERTIFIED, killed_by=RUNS)
def distance_taken_for_zero(layer: Module) -> None:
    """The bound leaves out that inputs have moved since the anchor."""
    correct = layer.CertifiedLayer._bounds

    def _bounds(self: Any, *arguments: Any) -> Any:
        bounds = correct(self, *arguments)
        return replace(bounds, radius=bounds.radius * 0.0, row_radius=bounds.row_radius * 0.0)

    layer.CertifiedLayer._bounds = _bounds


@plant("impl.certified.anchors", CERTIFIED, killed_by=RUNS)
def candidates_only_at_the_anchor(anchors: Module) -> None:
    """A sample's candidates are found once; units that come within reach later are passed over."""
    correct = anchors.Anchors.append_rows

    def append_rows(self: Any, bounds: Any, needed: Any, *more: Any) -> None:
        correct(self, bounds, torch.where(self._arrays.row_count[bounds.slots] > 0, 0, needed), *more)

    anchors.Anchors.append_rows = append_rows


@plant("impl.certified.compiled", CERTIFIED, killed_by=RUNS)
def row_products_in_the_old_order(compiled: Module) -> None:
    """Rows are put in a new order, their products with the row reference are not."""
    correct = compiled.CompiledAnchorKernels.activate

    def activate(self: Any, arrays: Any, bounds: Any, *more: Any) -> Any:
        before = arrays.rows[bounds.slots].clone()
        found = correct(self, arrays, bounds, *more)
        for slot, rows in zip(bounds.slots.tolist(), before, strict=True):
            if not torch.equal(rows, arrays.rows[slot]):
                count = int(arrays.known_count[slot])
                place = arrays.row_place[slot, rows[:count].long()].long()
                arrays.row_products[slot, :count] = arrays.row_products[slot, place]
        return found

    compiled.CompiledAnchorKernels.activate = activate


@plant("impl.certified.layer", CERTIFIED, killed_by=RUNS)
def bias_left_out_of_the_bound(layer: Module) -> None:
    """Units are screened, and computed, without their biases."""
    correct = layer.CertifiedLayer.__init__

    def built(self: Any, number: Any, weights: Any, bias: Any, *more: Any) -> None:
        correct(self, number, weights, None, *more)

    layer.CertifiedLayer.__init__ = built
