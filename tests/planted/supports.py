"""Index sets that lose their first or last element, or forget their order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from tests.planted.registry import OURS, TORCH, Module, plant


@plant("impl.weights.eager", killed_by="active_sets_are_the_units_above_the_threshold")
def last_unit_lost(eager: Module) -> None:
    """The last row of every weight matrix is never read: its unit falls out of the active set."""
    correct = eager.apply_table

    def apply_table(*arguments: Any) -> torch.Tensor:
        product: torch.Tensor = correct(*arguments)
        product[:, -1] = -1e6
        return product

    eager.apply_table = apply_table


@plant("impl.kernels.portable", TORCH, killed_by="active_sets_are_the_units_above_the_threshold")
def first_unit_lost(portable: Module) -> None:
    """Unit 0 is taken for padding and dropped from every active set."""

    def select(self: Any, dense: torch.Tensor, threshold: float) -> tuple[Any, torch.Tensor]:
        positions = (dense > threshold).view(-1).nonzero()[:, 0]
        positions = positions[positions % dense.shape[1] > 0]
        return portable.Support.of_positions(positions, *dense.shape), dense.view(-1)[positions]

    portable.TorchKernels.select = select


@plant(
    "impl.kernels.portable",
    TORCH,
    killed_by="gradient_descent_step_matches_the_oracle gauss_newton_step_matches_the_oracle",
)
def last_sample_never_written(portable: Module) -> None:
    """Updates run over the samples but the last, wherever there is more than one."""
    blocks = portable._blocks

    def planned(rows: Any, columns: Any) -> Any:
        found = list(blocks(rows, columns))
        return found[:-1] if rows.samples > 1 else found

    def apply(self: Any) -> None:
        for block in planned(self._rows, self._columns):
            change = torch.outer(self._row_values[block.rows], self._column_values[block.columns])
            self._flat[block.positions] -= change

    portable.TorchUpdate.apply = apply


@plant("impl.forward", killed_by="active_sets_are_the_units_above_the_threshold outputs_match_the_oracle")
def negative_inputs_are_inactive(forward: Module) -> None:
    """The inputs' support is x > 0 instead of x ≠ 0."""
    correct = forward.nonzero_inputs
    forward.nonzero_inputs = lambda X: correct(X.clamp(min=0.0))


@plant("impl.forward", killed_by="jacobian_factors_match_the_oracle gradient_matches_the_oracle")
def masks_of_the_first_sample(forward: Module) -> None:
    """The active set of the last layer is that of the first sample, for the whole batch, once outputs are computed."""
    correct = forward.GatherForward.__call__

    def evaluate(self: Any, X: Any, work: Any) -> Any:
        trace = correct(self, X, work)
        last = trace.supports[-1]
        first = last.units[: int(last.counts[0])].long()
        positions = torch.cat([first + sample * last.width for sample in range(last.samples)])
        shared = forward.Support.of_positions(positions, last.samples, last.width)
        values = last.densify(trace.hidden[-1]).view(-1)[positions]
        return replace(trace, supports=[*trace.supports[:-1], shared], hidden=[*trace.hidden[:-1], values])

    forward.GatherForward.__call__ = evaluate


@plant("impl.kernels.select", OURS, killed_by="wide_networks_are_evaluated_to_their_last_unit")
def row_at_the_block_edge_skipped(select: Module) -> None:
    """The gather over blocks of 256 table rows leaves out the last row of every full block."""
    correct = select.select_kernels

    def select_kernels(name: str, device: torch.device) -> Any:
        kernels = correct(name, device)
        gather = kernels.gather

        def short(support: Any, values: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
            edge = (support.units % 256 == 255) & (support.units + 1 < table.shape[0])
            return gather(support, torch.where(edge, 0.0, values), table)

        kernels.gather = short
        return kernels

    select.select_kernels = select_kernels


@plant("impl.kernels.portable", TORCH, killed_by="a_step_of_a_wide_network_writes_every_active_pair")
def chunk_edge_skipped(portable: Module) -> None:
    """Where a k × k block is cut into chunks, the last row of a chunk is left out."""
    correct = portable._blocks

    def _blocks(rows: Any, columns: Any) -> Any:
        ends = set(rows.offsets.tolist())
        for block in correct(rows, columns):
            if block.rows.stop in ends:
                yield block
            else:
                whole = slice(block.rows.start, block.rows.stop - 1)
                yield block._replace(rows=whole, positions=block.positions[:-1])

    portable._blocks = _blocks


@plant("impl.support", TORCH, killed_by="wide_networks_are_evaluated_to_their_last_unit")
def units_in_sixteen_bits(support: Module) -> None:
    """Units are stored in 16 bits, and wrap around in layers wider than that."""
    correct = support.Support.densify

    def densify(self: Any, values: torch.Tensor) -> torch.Tensor:
        narrow = self.units.to(torch.int32) & 0xFFFF
        return correct(replace(self, units=narrow), values)

    support.Support.densify = densify


@plant("impl.kernels.portable", TORCH, killed_by="jacobian_factors_match_the_oracle gradient_matches_the_oracle")
def values_one_pair_behind(portable: Module) -> None:
    """In the products on the k × k blocks, values are one pair behind the elements that they are multiplied with."""
    correct = portable._parts

    def _parts(rows: Any, columns: Any) -> Any:
        for part in correct(rows, columns):
            yield part._replace(columns=part.columns.roll(1))

    portable._parts = _parts


@plant("impl.kernels.compiled", OURS, killed_by="gram_matrix_of_a_wide_network_has_all_its_samples")
def part_of_a_batch_not_shifted(compiled: Module) -> None:
    """Where the Gram matrix takes some samples at a time, they begin one late from the second part on."""
    correct = compiled.CompiledKernels.inner_products

    def inner_products(self: Any, support: Any, vectors: Any, block: slice) -> list[torch.Tensor]:
        late = int(block.start > 0)
        return correct(self, support, vectors, slice(block.start - late, block.stop - late))

    compiled.CompiledKernels.inner_products = inner_products
