"""A prepared update of a table on a CUDA device."""

from __future__ import annotations

from typing import Protocol

import torch

from impl.kernels.triton.device import outer_products
from impl.kernels.triton.launch import blocks, launch
from impl.support import Support
from reference.contract.shapes import Float, Int

# Column entries that a program takes at a time: most often all that a sample has, so that they are under way together.
# On an H200 that was faster at m = 16384 than 256 entries and four warps, and no slower at 65536.
BLOCK, WARPS = 1024, 8

# Where a table has fewer rows than this, the columns of a row are shared out among several programs.
ENOUGH_PROGRAMS = 2048

# Columns that are not shared out any further.
LEAST_COLUMNS = 512


class TritonUpdate:
    """See OuterUpdate. Kernels are compiled and memory is taken here, so that `apply` and `revert` only launch."""

    def __init__(
        self,
        rows: Support,
        row_values: Float[torch.Tensor, "row_entries t"],
        columns: Support,
        column_values: Float[torch.Tensor, "column_entries t"],
        table: Float[torch.Tensor, "m fan_out"],
    ):
        pairs = rows.pairs_with(columns)
        self._before: Before = Blocks(rows, columns, pairs, table) if pairs < table.numel() else Whole(table)
        self._subtraction = Subtraction(rows, row_values, columns, column_values, table)

    def apply(self) -> None:
        """See OuterUpdate."""
        self._subtraction.run()

    def revert(self) -> None:
        """See OuterUpdate."""
        self._before.restore()


class Subtraction:
    """What an update writes, ready to be launched. Arguments are those of Kernels.plan_update."""

    def __init__(
        self,
        rows: Support,
        row_values: Float[torch.Tensor, "row_entries t"],
        columns: Support,
        column_values: Float[torch.Tensor, "column_entries t"],
        table: Float[torch.Tensor, "m fan_out"],
    ):
        slices = max(1, min(ENOUGH_PROGRAMS // rows.width, blocks(columns.width, LEAST_COLUMNS)))
        order = rows.by_unit
        self._arguments = (
            order.offsets,
            order.entry,
            rows.sample_of_entry,
            row_values.contiguous(),
            _bounds(columns, slices),
            columns.units,
            column_values.T.contiguous(),
            table,
            table.stride(0),
            slices,
            row_values.shape[1],
            columns.entries,
        )
        self._grid = rows.width, slices
        self._launch((0, 1))

    def run(self) -> None:
        """Launches it; nothing is kept of what was there."""
        self._launch(self._grid)

    def _launch(self, grid: tuple[int, ...]) -> None:
        launch(outer_products.subtract_outer, grid, *self._arguments, BLOCK=BLOCK, num_warps=WARPS, num_stages=1)


class Before(Protocol):
    """What a table held before an update."""

    def restore(self) -> None:
        """Puts it back."""


class Blocks:
    """See Before. The k × k blocks; an element that several samples share is kept for each, and put back by each."""

    def __init__(self, rows: Support, columns: Support, pairs: int, table: Float[torch.Tensor, "m fan_out"]):
        lengths = columns.counts[rows.sample_of_entry.long()]
        starts = torch.cumsum(lengths, dim=0) - lengths  # in 64 bits
        supports = rows.sample_of_entry, rows.units, columns.offsets, columns.units
        self._arguments = *supports, table, table.new_empty(pairs), starts, table.stride(0)
        self._rows = rows.entries
        self._copy(self._rows, back=False)
        self._copy(0, back=True)

    def restore(self) -> None:
        """See Before."""
        self._copy(self._rows, back=True)

    def _copy(self, rows: int, *, back: bool) -> None:
        launch(outer_products.copy_blocks, (rows,), *self._arguments, BACK=back, BLOCK=BLOCK, num_warps=WARPS)


class Whole:
    """See Before. All of a table that has fewer elements than the blocks together."""

    def __init__(self, table: Float[torch.Tensor, "m fan_out"]):
        self._table, self._copy = table, table.clone()

    def restore(self) -> None:
        """See Before."""
        self._table.copy_(self._copy)


def _bounds(columns: Support, slices: int) -> Int[torch.Tensor, " bounds"]:
    """Where in every sample every slice of the columns begins, and at last where all end."""
    if slices == 1:
        return columns.offsets
    device = columns.units.device
    first = (torch.arange(slices, device=device) * columns.width) // slices
    begins = torch.arange(columns.samples, device=device)[:, None] * columns.width + first
    positions = columns.sample_of_entry.long() * columns.width + columns.units
    inner = torch.searchsorted(positions, begins.view(-1), out_int32=True)
    return torch.cat([inner, columns.offsets[-1:]])
