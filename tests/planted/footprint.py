"""Hidden passes over a whole weight matrix, and temporaries of its size."""

from __future__ import annotations

from typing import Any

import torch

from tests.planted.registry import OURS, Module, plant

PASS = "a_step_passes_over_no_whole_weight_matrix "
ALLOCATES = "a_step_allocates_nothing_of_the_size_of_a_weight_matrix "


def updating(eager: Module, change: Any) -> None:
    """Does something more with every planned update: change(weights, arguments)."""
    correct = eager.EagerWeights.plan_update

    def plan_update(self: Any, *arguments: Any) -> Any:
        change(self, arguments)
        return correct(self, *arguments)

    eager.EagerWeights.plan_update = plan_update


@plant("impl.weights.eager", OURS, killed_by=PASS + ALLOCATES)
def whole_table_checked(eager: Module) -> None:
    """Every step asks of every weight whether it is finite."""
    updating(eager, lambda self, arguments: torch.isfinite(self.table).all())


@plant("impl.weights.eager", OURS, killed_by=PASS + ALLOCATES)
def whole_table_cloned(eager: Module) -> None:
    """Every step keeps a copy of the whole matrix, to revert to."""
    updating(eager, lambda self, arguments: setattr(self, "_spare", self.table.clone()))


@plant("impl.weights.eager", OURS, killed_by=PASS)
def magnitude_measured_anew(eager: Module) -> None:
    """The largest entry is measured at every step, without a temporary."""
    updating(eager, lambda self, arguments: setattr(self, "magnitude", eager.largest_entry(self.table)))


@plant("impl.weights.eager", OURS, killed_by=PASS)
def dense_product_forward(eager: Module) -> None:
    """The forward pass is a dense product, though it counts a sparse one."""
    correct = eager.apply_table

    def apply_table(layer: int, table: Any, support: Any, values: torch.Tensor, *more: Any) -> torch.Tensor:
        correct(layer, table, support, values, *more)
        return support.densify(values) @ table

    eager.apply_table = apply_table


@plant("impl.weights.eager", OURS, killed_by=PASS + ALLOCATES)
def dense_update(eager: Module) -> None:
    """The update is formed as a dense matrix, and then subtracted."""
    correct = eager.EagerWeights.plan_update

    def plan_update(self: Any, right: Any, right_values: Any, left: Any, left_values: Any, work: Any) -> Any:
        update = correct(self, right, right_values, left, left_values, work)
        table = self.table

        class Dense:
            def apply(self) -> None:
                table.sub_(right.densify(right_values).T @ left.densify(left_values))

            def revert(self) -> None:
                table.add_(right.densify(right_values).T @ left.densify(left_values))

        update._planned = Dense()
        return update

    eager.EagerWeights.plan_update = plan_update
