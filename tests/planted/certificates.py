"""Certificates that prove too much: every way in which a unit that fires could be passed over."""

from __future__ import annotations

from typing import Any

import torch

from tests.planted.registry import CERTIFIED, Module, plant

RUNS = (
    "every_step_of_a_run_matches_the_oracle every_step_of_a_run_over_changing_batches_matches_the_oracle "
    "any_sequence_of_operations_matches_the_oracle evaluations_after_a_step_use_the_new_weights "
)


@plant("impl.certified.layer", CERTIFIED, killed_by=RUNS)
def norms_over_a_few_columns(layer: Module) -> None:
    """ρ is the norm over a few of the columns, not over all that may move."""
    correct = layer.norms_of_squares
    layer.norms_of_squares = lambda squares, terms: correct(squares * 1e-4, terms)


@plant("impl.certified.layer", CERTIFIED, killed_by=RUNS)
def updates_left_out_of_the_bound(layer: Module) -> None:
    """The bound is that of W⁰: the low-rank term of the updates since is forgotten."""
    correct = layer.CertifiedLayer._screen

    def _screen(self: Any, slots: Any, support: Any, values: Any, places: Any, correction: Any, *more: Any) -> Any:
        bare = torch.zeros_like(correction) if self.bias is None else -self.bias.expand_as(correction).contiguous()
        return correct(self, slots, support, values, places, bare, *more)

    layer.CertifiedLayer._screen = _screen


@plant("impl.certified.layer", CERTIFIED, killed_by=RUNS)
def distance_taken_for_zero(layer: Module) -> None:
    """The bound leaves out that inputs have moved since the anchor."""
    correct = layer.CertifiedLayer._screen

    def _screen(self: Any, *arguments: Any) -> Any:
        screen = correct(self, *arguments)
        return layer.Screen(screen.slots, screen.exact, screen.radius * 0.0, screen.limit)

    layer.CertifiedLayer._screen = _screen


@plant("impl.certified.layer", CERTIFIED, killed_by=RUNS)
def candidates_only_at_the_anchor(layer: Module) -> None:
    """A sample's candidates are found once; units that come within reach later are passed over."""
    correct = layer.CertifiedLayer._append_rows

    def _append_rows(self: Any, screen: Any, needed: Any, *more: Any) -> None:
        correct(self, screen, torch.where(self.arrays.row_count[screen.slots] > 0, 0, needed), *more)

    layer.CertifiedLayer._append_rows = _append_rows


@plant("impl.certified.layer", CERTIFIED, killed_by=RUNS)
def bias_left_out_of_the_bound(layer: Module) -> None:
    """Units are screened, and computed, without their biases."""
    correct = layer.CertifiedLayer.__init__

    def built(self: Any, number: Any, weights: Any, bias: Any, *more: Any) -> None:
        correct(self, number, weights, None, *more)

    layer.CertifiedLayer.__init__ = built
