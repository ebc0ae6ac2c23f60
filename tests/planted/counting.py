"""Counters that lie."""

from __future__ import annotations

from typing import Any

from tests.planted.registry import OURS, Module, plant

BETWEEN = "counted_multiply_adds_are_what_masks_demand_up_to_a_dense_pass "
BYTES = "counted_bytes_are_at_least_those_of_the_weights_in_use "


class Divided:
    """A meter that counts a part of what it is told."""

    def __init__(self, work: Any, divisor: int):
        self._work, self._divisor = work, divisor

    def count(self, layer: int, multiply_adds: int, moved: int) -> None:
        self._work.count(layer, multiply_adds // self._divisor, moved // self._divisor)


@plant("impl.work", killed_by=BETWEEN)
def nothing_counted(work: Module) -> None:
    """Every count is zero."""
    correct = work.WorkMeter.count
    work.WorkMeter.count = lambda self, layer, multiply_adds, moved: correct(self, layer, 0, 0)


@plant("impl.work", killed_by=BETWEEN)
def one_layer_not_counted(work: Module) -> None:
    """The first layer's multiply-adds are left out."""
    correct = work.WorkMeter.count
    work.WorkMeter.count = lambda self, layer, multiply_adds, moved: correct(
        self, layer, 0 if layer == 1 else multiply_adds, moved
    )


@plant("impl.weights.table", killed_by=BETWEEN)
def active_pairs_counted_forward(table: Module) -> None:
    """The forward pass counts k·k for the m·k that it computes."""
    correct = table.apply_table

    class Modest:
        def __init__(self, work: Any, support: Any):
            self.work, self.support = work, support

        def count(self, layer: int, multiply_adds: int, moved: int) -> None:
            self.work.count(layer, self.support.pairs_with(self.support), moved)

    table.apply_table = lambda layer, held, support, values, kernels, work: correct(
        layer, held, support, values, kernels, Modest(work, support)
    )


@plant("impl.weights.table", killed_by=BETWEEN)
def one_sample_counted(table: Module) -> None:
    """The backward pass counts the k × k block of one sample."""
    correct = table.apply_table_transpose

    def apply_table_transpose(layer: int, held: Any, rows: Any, *more: Any) -> Any:
        *arguments, work = more
        return correct(layer, held, rows, *arguments, Divided(work, rows.samples))

    table.apply_table_transpose = apply_table_transpose


@plant("impl.implementation", killed_by="identical_steps_count_the_same_work")
def counts_run_on(implementation: Module) -> None:
    """The meter is kept from step to step, and its counts add up."""
    correct = implementation.SparseNetwork.step
    made = implementation.WorkMeter

    def step(self: Any, *arguments: Any, **options: Any) -> Any:
        meter = self.__dict__.setdefault("_meter", made(self._device))
        implementation.WorkMeter = lambda device: meter
        try:
            return correct(self, *arguments, **options)
        finally:
            implementation.WorkMeter = made

    implementation.SparseNetwork.step = step


@plant("impl.work", killed_by=BYTES)
def elements_counted_for_bytes(work: Module) -> None:
    """Bytes are counted as elements, four to eight times too few."""
    correct = work.WorkMeter.count
    work.WorkMeter.count = lambda self, layer, multiply_adds, moved: correct(self, layer, multiply_adds, moved // 8)


@plant("impl.weights.eager", OURS, killed_by=BETWEEN)
def update_counted_dense(eager: Module) -> None:
    """The update counts n·m² though it writes k × k blocks: no dense rival counts more."""
    correct = eager.EagerWeights.plan_update

    def plan_update(self: Any, right: Any, right_values: Any, left: Any, left_values: Any, work: Any) -> Any:
        work.count(self._layer, 2 * right.samples * self.table.numel(), 0)
        return correct(self, right, right_values, left, left_values, work)

    eager.EagerWeights.plan_update = plan_update


@plant("impl.gram", killed_by=BETWEEN)
def gram_matrix_not_counted(gram: Module) -> None:
    """The Gram matrix counts the sum over the layers, and not the inner products."""
    correct = gram._inner_products

    def _inner_products(*arguments: Any) -> Any:
        *others, work = arguments
        return correct(*others, Divided(work, 1 << 62))

    gram._inner_products = _inner_products
