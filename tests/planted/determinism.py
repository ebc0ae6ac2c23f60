"""Results that depend on more than the input."""

from __future__ import annotations

import itertools
from typing import Any

import torch

from tests.planted.registry import OURS, Module, plant

STEPS = "the_order_of_the_samples_does_not_matter the_update_of_a_batch_is_the_sum_over_its_parts"
REPEATS = "a_run_repeats_to_the_last_bit evaluating_changes_nothing evaluating_before_a_step_does_not_change_it "


@plant("impl.readout", OURS, killed_by=REPEATS)
def last_bits_by_chance(readout: Module) -> None:
    """Outputs carry a random relative perturbation of the last bit, as from an atomic sum."""
    correct = readout.Readout.apply

    def apply(self: Any, *arguments: Any) -> torch.Tensor:
        out: torch.Tensor = correct(self, *arguments)
        return out * (1.0 + torch.finfo(out.dtype).eps * torch.randint(-1, 2, out.shape))

    readout.Readout.apply = apply


@plant("impl.weights.eager", OURS, killed_by=REPEATS)
def order_by_the_call(eager: Module) -> None:
    """Every other call sums the inputs in two halves, the second one first."""
    correct = eager.apply_table
    calls = itertools.count()

    def apply_table(layer: int, table: Any, support: Any, values: torch.Tensor, *more: Any) -> torch.Tensor:
        whole: torch.Tensor = correct(layer, table, support, values, *more)
        if next(calls) % 2 == 0:
            return whole
        late = support.units > table.shape[0] // 2
        second: torch.Tensor = correct(layer, table, support, torch.where(late, values, 0.0), *more)
        first: torch.Tensor = correct(layer, table, support, torch.where(late, 0.0, values), *more)
        return second + first

    eager.apply_table = apply_table


@plant("impl.implementation", OURS, killed_by=STEPS)
def weights_by_place_in_the_batch(implementation: Module) -> None:
    """Coefficients of later samples count a little less, as in a running average."""
    correct = implementation._combine

    def _combine(q: torch.Tensor, left: Any, trace: Any, layer: int, work: Any = None) -> torch.Tensor:
        if work is not None:
            q = q * (1.0 - 1e-3 * torch.arange(len(q), dtype=q.dtype)[:, None])
        return correct(q, left, trace, layer, work)

    implementation._combine = _combine
