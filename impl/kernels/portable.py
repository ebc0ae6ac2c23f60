"""The kernels in plain torch, for every device.

The k × k blocks are taken sample by sample, in parts of bounded size, so that index arrays stay small even where
all units are active. Within a block every element of the table occurs once: plain indexing is enough, and
results do not depend on the order in which a device runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from impl.support import Support
from reference.contract.shapes import Float, Int

# Elements of a block: a few arrays of this length are alive at a time, the indices with 8 bytes an element.
CHUNK = 1 << 16


class TorchKernels:
    """See Kernels."""

    name = "torch"

    def select(
        self, dense: Float[torch.Tensor, "n m"], threshold: float
    ) -> tuple[Support, Float[torch.Tensor, " entries"]]:
        """See Kernels."""
        positions = (dense > threshold).view(-1).nonzero()[:, 0]
        return Support.of_positions(positions, *dense.shape), dense.view(-1)[positions]

    def gather(
        self, support: Support, values: Float[torch.Tensor, " entries"], table: Float[torch.Tensor, "m fan_out"]
    ) -> Float[torch.Tensor, "n fan_out"]:
        """See Kernels."""
        return torch.nn.functional.embedding_bag(
            support.units, table, support.offsets, mode="sum", per_sample_weights=values, include_last_offset=True
        )

    def gather_restricted(
        self,
        rows: Support,
        columns: Support,
        values: Float[torch.Tensor, "c column_entries"],
        table: Float[torch.Tensor, "m fan_out"],
    ) -> Float[torch.Tensor, "c row_entries"]:
        """See Kernels."""
        out = values.new_empty(values.shape[0], rows.entries)
        for block in _blocks(rows, columns):
            out[:, block.rows] = values[:, block.columns] @ table.view(-1)[block.positions].T
        return out

    def spread(
        self,
        support: Support,
        values: Float[torch.Tensor, " entries"],
        coefficients: Float[torch.Tensor, "R n"],
        out: Float[torch.Tensor, "n m"],
    ) -> None:
        """See Kernels. By unit: what is added to a unit is summed in one fixed order, on every device."""
        order = support.by_unit
        entry = order.entry.long()
        out += torch.nn.functional.embedding_bag(
            support.sample_of_entry[entry],
            coefficients,
            order.offsets,
            mode="sum",
            per_sample_weights=values[entry],
            include_last_offset=True,
        ).T

    def spread_restricted(
        self,
        support: Support,
        values: Float[torch.Tensor, " entries"],
        coefficients: Float[torch.Tensor, "R nc"],
        rows: Support,
    ) -> Float[torch.Tensor, "c row_entries"]:
        """See Kernels."""
        spread = values.new_zeros(coefficients.shape[1], support.width)
        self.spread(support, values, coefficients, spread)
        return spread.view(-1, rows.samples, support.width)[:, rows.sample_of_entry.long(), rows.units.long()]

    def tabulate(
        self, support: Support, values: Float[torch.Tensor, "c entries"], dtype: torch.dtype
    ) -> Float[torch.Tensor, "m nc"]:
        """See Kernels."""
        table = torch.zeros(support.width, values.shape[0], support.samples, dtype=dtype, device=values.device)
        table[support.units.long(), :, support.sample_of_entry.long()] = values.T.to(dtype)
        return table.view(support.width, -1)

    def plan_update(
        self,
        rows: Support,
        row_values: Float[torch.Tensor, " row_entries"],
        columns: Support,
        column_values: Float[torch.Tensor, " column_entries"],
        table: Float[torch.Tensor, "m fan_out"],
    ) -> TorchUpdate:
        """See Kernels."""
        return TorchUpdate(rows, row_values, columns, column_values, table)


class TorchUpdate:
    """See OuterUpdate. Keeps the old values of the k × k blocks, since a block may fail to be allocated."""

    def __init__(
        self,
        rows: Support,
        row_values: Float[torch.Tensor, " row_entries"],
        columns: Support,
        column_values: Float[torch.Tensor, " column_entries"],
        table: Float[torch.Tensor, "m fan_out"],
    ):
        self._rows, self._columns = rows, columns
        self._row_values, self._column_values = row_values, column_values
        self._flat = table.view(-1)
        self._old = [self._flat[block.positions] for block in _blocks(rows, columns)]
        # What `revert` needs for its own index arrays, should memory run out.
        largest = max((old.numel() for old in self._old), default=0)
        self._reserve: torch.Tensor | None = table.new_empty(2 * largest, dtype=torch.int64)

    def apply(self) -> None:
        """See OuterUpdate."""
        for block in _blocks(self._rows, self._columns):
            change = torch.outer(self._row_values[block.rows], self._column_values[block.columns])
            self._flat[block.positions] = self._flat[block.positions] - change

    def revert(self) -> None:
        """See OuterUpdate. A position that several samples share is written with the same old value by each."""
        self._reserve = None
        for block, old in zip(_blocks(self._rows, self._columns), self._old, strict=True):
            self._flat[block.positions] = old


class _Block(NamedTuple):
    """Some row entries of one sample against all its column entries; no position occurs twice."""

    rows: slice
    columns: slice
    positions: Int[torch.Tensor, "block_rows block_columns"]  # in the flattened table


def _blocks(rows: Support, columns: Support) -> Iterator[_Block]:
    """The k × k blocks of all samples, in parts of about CHUNK elements."""
    row_offsets, column_offsets = rows.offsets.tolist(), columns.offsets.tolist()
    for sample in range(rows.samples):
        across = slice(column_offsets[sample], column_offsets[sample + 1])
        length = max(1, CHUNK // max(1, across.stop - across.start))
        for begin in range(row_offsets[sample], row_offsets[sample + 1], length):
            down = slice(begin, min(begin + length, row_offsets[sample + 1]))
            first = rows.units[down].long() * columns.width
            yield _Block(down, across, first[:, None] + columns.units[across].long())
