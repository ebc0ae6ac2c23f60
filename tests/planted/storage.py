"""Weights in bfloat16: rounded by another rule or not at all, and sums and updates that lose their digits to it."""

from __future__ import annotations

import types
from dataclasses import replace
from typing import Any

import torch

from tests.planted.registry import STORED, STORED_TORCH, Module, plant

ROUNDED = "weights_are_stored_to_nearest_and_ties_to_even "
RANGE = "weights_beyond_the_range_of_the_storage_are_refused "
PRESENT = ROUNDED + "evaluations_are_of_the_stored_weights "
SUMS = "outputs_match_the_oracle jacobian_factors_match_the_oracle "
STEPS = "gauss_newton_step_matches_the_oracle gradient_descent_step_matches_the_oracle "
SIZE = "a_step_allocates_nothing_of_the_size_of_a_weight_matrix a_step_passes_over_no_whole_weight_matrix "


def _converting(base: Module, rule: Any) -> None:
    """Tables of weights hold what a rule makes of the bits of float32."""
    correct = base.Base.of_matrix.__func__

    def of_matrix(cls: Any, matrix: Any, *placed: Any) -> Any:
        bits = torch.from_numpy(matrix).view(torch.int32).long() & 0xFFFFFFFF
        return correct(cls, rule(bits).to(torch.int32).view(torch.float32).numpy(), *placed)

    base.Base.of_matrix = classmethod(of_matrix)


@plant("impl.weights.base", STORED, killed_by=PRESENT)
def weights_truncated(base: Module) -> None:
    """The lower half of a float32 is cut off."""
    _converting(base, lambda bits: bits & 0xFFFF0000)


@plant("impl.weights.base", STORED, killed_by=ROUNDED)
def ties_away_from_zero(base: Module) -> None:
    """A weight between two numbers of bfloat16 goes to the greater one in magnitude."""
    _converting(base, lambda bits: (bits + 0x8000) & 0xFFFF0000)


@plant("impl.weights.base", STORED, killed_by=ROUNDED)
def subnormal_weights_flushed(base: Module) -> None:
    """Weights below the least normal number become zero."""
    _converting(base, lambda bits: torch.where((bits & 0x7F800000) == 0, bits & 0x80000000, bits))


@plant("impl.construction", STORED, killed_by=PRESENT)
def weights_not_rounded_at_all(construction: Module) -> None:
    """What is declared to be in bfloat16 stays in float32."""
    construction.select_storage = lambda storage, dtype, *rest: dtype


@plant("impl.construction", STORED, killed_by="evaluations_are_of_the_stored_weights")
def given_weights_in_products(construction: Module) -> None:
    """Only what is returned is rounded to bfloat16, not what is computed with."""
    construction.select_storage = lambda storage, dtype, *rest: dtype
    correct = construction.SparseNetwork.to_network

    def to_network(self: Any) -> Any:
        network = correct(self)
        return replace(
            network, weights=[torch.tensor(weight).bfloat16().double().numpy() for weight in network.weights]
        )

    construction.SparseNetwork.to_network = to_network


@plant("impl.construction", STORED, killed_by=RANGE)
def infinite_weights_accepted(construction: Module) -> None:
    """Nobody looks whether weights became infinite."""
    construction.math = types.SimpleNamespace(isfinite=lambda value: True)


@plant("impl.kernels.widened", STORED_TORCH, killed_by=SUMS)
def forward_sums_in_the_storage(widened: Module) -> None:
    """Values and sums of the forward product are bfloat16, as in a product of bags that is handed such a table."""
    bag = torch.nn.functional.embedding_bag

    def embedding_bag(place: Any, part: torch.Tensor, offsets: Any, **options: Any) -> torch.Tensor:
        options["per_sample_weights"] = options["per_sample_weights"].bfloat16()
        return bag(place, part.bfloat16(), offsets, **options).float()

    functional = types.SimpleNamespace(embedding_bag=embedding_bag)
    widened.torch = types.SimpleNamespace(unique=torch.unique, nn=types.SimpleNamespace(functional=functional))


@plant("impl.kernels.portable", STORED_TORCH, killed_by=SUMS)
def backward_values_in_the_storage(portable: Module) -> None:
    """Left factors are rounded to bfloat16 before they are multiplied with the table."""
    correct = portable.TorchKernels.gather_restricted

    def gather_restricted(self: Any, rows: Any, columns: Any, values: torch.Tensor, table: Any) -> torch.Tensor:
        narrowed = values.to(table.dtype).to(values.dtype)
        product: torch.Tensor = correct(self, rows, columns, narrowed, table)
        return product

    portable.TorchKernels.gather_restricted = gather_restricted


@plant("impl.kernels.portable", STORED_TORCH, killed_by=SIZE)
def whole_table_widened(portable: Module) -> None:
    """The forward product makes a float32 copy of the table."""
    correct = portable.TorchKernels.gather
    portable.TorchKernels.gather = lambda self, support, values, table: correct(
        self, support, values, table.to(values.dtype)
    )


@plant("impl.weights.lazy", STORED, killed_by=STEPS)
def updates_written_into_the_storage(lazy: Module) -> None:
    """Every update is folded at once, and rounded with the weights: most of it vanishes."""
    lazy.refuse_to_write = lambda dtype: None
    correct = lazy.LazyWeights.plan_update
    folding = types.SimpleNamespace(plan=lambda weights, state, work: weights.plan_fold(state, work))

    def plan_update(self: Any, *arguments: Any) -> Any:
        self._maintenance = folding
        return correct(self, *arguments)

    lazy.LazyWeights.plan_update = plan_update


@plant("impl.weights.lazy", STORED, killed_by=STEPS)
def updates_in_the_storage(lazy: Module) -> None:
    """The factors of an update are held in bfloat16, too."""
    correct = lazy.OuterProducts

    def terms(right: Any, right_values: torch.Tensor, left: Any, left_values: torch.Tensor) -> Any:
        return correct(right, right_values.bfloat16().float(), left, left_values.bfloat16().float())

    lazy.OuterProducts = terms
