"""Fewer digits than promised."""

from __future__ import annotations

from typing import Any

import torch

from tests.planted.registry import OURS, Module, plant


@plant("impl.weights.eager", OURS, killed_by="active_sets_are_the_units_above_the_threshold outputs_match_the_oracle")
def weights_through_float32(eager: Module) -> None:
    """Weights pass through float32 on their way in, whatever the dtype."""
    correct = eager.EagerWeights.__init__
    eager.EagerWeights.__init__ = lambda self, layer, matrix, *more: correct(
        self, layer, matrix.astype("float32").astype(matrix.dtype), *more
    )


@plant(
    "impl.implementation",
    OURS,
    killed_by="gradient_descent_step_matches_the_oracle gauss_newton_step_matches_the_oracle",
)
def coefficients_in_half_precision(implementation: Module) -> None:
    """The coefficients of a step pass through bfloat16."""
    correct = implementation._combine

    def _combine(q: torch.Tensor, left: Any, trace: Any, layer: int, work: Any = None) -> torch.Tensor:
        rounded = q if work is None else q.to(torch.bfloat16).to(q.dtype)
        return correct(rounded, left, trace, layer, work)

    implementation._combine = _combine


@plant("impl.kernels.select", OURS, killed_by="outputs_match_the_oracle active_sets_are_the_units_above_the_threshold")
def products_in_reduced_precision(select: Module) -> None:
    """float32 products take factors of 10 bits, as tensor cores do unless they are told otherwise."""
    correct = select.select_kernels

    def select_kernels(name: str, device: torch.device) -> Any:
        kernels = correct(name, device)
        gather = kernels.gather

        def reduced(support: Any, values: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
            if values.dtype == torch.float32:
                values = (values.view(torch.int32) & ~0x1FFF).view(torch.float32)
            return gather(support, values, table)

        kernels.gather = reduced
        return kernels

    select.select_kernels = select_kernels
