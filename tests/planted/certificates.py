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
        self._arrays.spent[bounds.slots] = 2**40  # too much for samples to get rows within their pass

    anchors.Anchors.append_rows = append_rows


@plant("impl.certified.course", CERTIFIED, killed_by=RUNS)
def row_products_in_the_old_order(course: Module) -> None:
    """Rows are put in a new order, their products with the row reference are not."""
    correct = course.Course.advance

    def advance(self: Any, batch: Any, *more: Any, **options: Any) -> None:
        before = [layer.arrays.rows[batch.slots].clone() for layer in self._layers]
        correct(self, batch, *more, **options)
        for layer, were in zip(self._layers, before, strict=True):
            arrays = layer.arrays
            for slot, rows in zip(batch.slots.tolist(), were, strict=True):
                if not torch.equal(rows, arrays.rows[slot]):
                    count = int(arrays.known_count[slot])
                    place = arrays.row_place[slot, rows[:count].long()].long()
                    arrays.row_products[slot, :count] = arrays.row_products[slot, place]

    course.Course.advance = advance


@plant("impl.certified.course", CERTIFIED, killed_by=RUNS)
def units_beside_the_rows_pass_within_a_pass(course: Module) -> None:
    """A sample that is screened anew within its pass is not stopped for units that are no rows."""
    correct = course.Course.advance

    def advance(self: Any, *arguments: Any, **options: Any) -> None:
        for layer in self._layers:
            layer.arrays.row_place[layer.arrays.row_place < 0] = 2**31 - 1
        correct(self, *arguments, **options)
        for layer in self._layers:
            layer.arrays.row_place[layer.arrays.row_place == 2**31 - 1] = -1

    course.Course.advance = advance


@plant("impl.certified.rest", CERTIFIED, killed_by=RUNS)
def drift_forgotten(rest: Module) -> None:
    """Certificates rest as if the weights had stayed what they were."""
    rest.Drift.follow = lambda self, low_rank: 0


@plant("impl.certified.course", CERTIFIED, killed_by=RUNS + "many_short_steps_add_up")
def travel_since_the_last_pass(course: Module) -> None:
    """How far an input has come is measured from the last pass, not from where its sample was screened."""
    correct = course.Course.run

    def run(self: Any, slots: Any, support: Any, values: Any, *more: Any, **options: Any) -> Any:
        passes, left = correct(self, slots, support, values, *more, **options)
        for layer, taken in zip(self._layers, passes, strict=False):
            theirs = slots[support.sample_of_entry.long()]
            layer.rest.inputs[slots] = 0.0
            layer.rest.inputs[theirs, layer.arrays.column_place[theirs, support.units.long()].long()] = values
            support, values = taken.support, taken.hidden
        return passes, left

    course.Course.run = run


@plant("impl.certified.resting_layer", CERTIFIED, killed_by=RUNS)
def margins_of_twice_the_width(resting_layer: Module) -> None:
    """What units lack to the threshold is taken for twice what it is."""
    correct = resting_layer.RestingLayer.set_to_rest

    def set_to_rest(self: Any, *arguments: Any) -> None:
        correct(self, *arguments)
        for name in ("row_margin", "near_margin", "far_travel", "far_change"):
            getattr(self.rest, name).mul_(2.0)

    resting_layer.RestingLayer.set_to_rest = set_to_rest


@plant("impl.certified.layer", CERTIFIED, killed_by=RUNS)
def bias_left_out_of_the_bound(layer: Module) -> None:
    """Units are screened, and computed, without their biases."""
    correct = layer.CertifiedLayer.__init__

    def built(self: Any, number: Any, weights: Any, bias: Any, *more: Any) -> None:
        correct(self, number, weights, None, *more)

    layer.CertifiedLayer.__init__ = built
