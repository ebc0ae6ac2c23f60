"""The kernels in plain torch, for every device.

The k × k blocks are taken in parts of bounded size, so that index arrays stay small even where all units are active.
Products go by `embedding_bag`: each of its sums is taken by one thread in one order, and no setting of the process
rounds its operands. Updates are written sample by sample: within a block every element of the table occurs once, so
plain indexing is enough, and results do not depend on the order in which a device runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from impl.kernels.factors import Factors, Unions
from impl.kernels.sparse_sums import add_vectors
from impl.kernels.tabulated import collect_by_table, inner_products_by_table, project_by_table
from impl.kernels.widened import gather_widened
from impl.kernels.workspace import Workspace
from impl.support import Support, offsets_of
from reference.contract.shapes import Float, Int

# Elements of a part of the blocks: a few arrays of this length are alive at a time, indices with 8 bytes an element.
CHUNK = 1 << 16

# Elements of table rows that are widened at a time, where values are of a wider dtype than the table.
WIDENED = 1 << 20


class TorchKernels:
    """See Kernels."""

    name = "torch"

    def __init__(self) -> None:
        self.workspace = Workspace()

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
        if table.dtype == values.dtype:
            return _bags(support.units, table, support.offsets, values)
        if table.dtype == torch.bfloat16:
            return gather_widened(support, values, table)
        out = values.new_zeros(support.samples, table.shape[1])
        length = max(1, WIDENED // table.shape[1])
        for begin in range(0, support.entries, length):  # the rows that are named, never the whole table
            some = slice(begin, min(begin + length, support.entries))
            rows = table[support.units[some].long()].to(values.dtype)
            here = torch.arange(len(rows), dtype=torch.int32, device=rows.device)
            out += _bags(here, rows, (support.offsets - begin).clamp(0, len(rows)), values[some])
        return out

    def gather_restricted(
        self,
        rows: Support,
        columns: Support,
        values: Float[torch.Tensor, "c column_entries"],
        table: Float[torch.Tensor, "m fan_out"],
    ) -> Float[torch.Tensor, "c row_entries"]:
        """See Kernels."""
        out = values.new_empty(values.shape[0], rows.entries)
        by_column, flat = values.T, table.view(-1)
        for part in _parts(rows, columns):
            numbers = flat.take(part.positions).to(values.dtype)
            out[:, part.rows] = _bags(part.columns, by_column, part.offsets, numbers).T
        return out

    def add_vectors(
        self,
        support: Support,
        values: Float[torch.Tensor, " entries"],
        other: Support,
        other_values: Float[torch.Tensor, " other_entries"],
    ) -> tuple[Support, Float[torch.Tensor, " union_entries"]]:
        """See Kernels."""
        return add_vectors(support, values, other, other_values)

    def unions(self, right: Factors, more_right: Support, left: Factors, more_left: Support) -> Unions:
        """See Kernels."""
        return Unions.of(right.counts + self.missing(right, more_right), left.counts + self.missing(left, more_left))

    def missing(self, factors: Factors, support: Support) -> Int[torch.Tensor, " n"]:
        """How many units of a support are not in the unions, sample by sample."""
        absent = ~torch.isin(_positions(support), _positions(factors.support))
        return torch.zeros_like(factors.counts).index_add_(0, support.sample_of_entry.long(), absent.long())

    def insert(self, factors: Factors, support: Support, values: Float[torch.Tensor, " entries"]) -> None:
        """See Kernels."""
        here, there, old = _positions(factors.support), _positions(support), factors.listed_values
        positions, place = torch.unique(torch.cat([here, there]), return_inverse=True)
        union = Support.of_positions(positions, support.samples, support.width)
        sample = union.sample_of_entry.long()
        row = torch.arange(union.entries, device=sample.device) - union.offsets.long()[sample]
        factors.units[sample, row] = union.units
        factors.values.zero_()
        here, there = place.tensor_split([here.numel()])
        factors.values[sample[here], row[here], : factors.vectors] = old
        factors.values[sample[there], row[there], factors.vectors] = values
        factors.counts = union.counts.long()
        factors.vectors, factors.entries = factors.vectors + 1, union.entries

    def contract(self, factors: Factors, table: Float[torch.Tensor, "m nc"]) -> Float[torch.Tensor, "samples t nc"]:
        """See TabulatingKernels."""
        union = factors.support
        chosen, offsets = union.units.long(), union.offsets.long()
        return torch.stack([_bags(chosen, table, offsets, vector) for vector in factors.listed_values.T], dim=1)

    def spread(
        self,
        factors: Factors,
        coefficients: Float[torch.Tensor, "samples t nc"],
        out: Float[torch.Tensor, "m nc"],
        *,
        anew: bool,
    ) -> None:
        """See Kernels. By unit: what is added to a unit is summed in one fixed order, on every device."""
        if anew:
            out.zero_()
        union, values = factors.support, factors.listed_values
        order, offsets = union.by_unit.entry.long(), union.by_unit.offsets.long()
        sample = union.sample_of_entry[order].long()
        for vector, rows in zip(values[order].T, coefficients.transpose(0, 1), strict=True):
            out += _bags(sample, rows, offsets, vector)

    def subtract_transposed(self, by_unit: Float[torch.Tensor, "m n"], out: Float[torch.Tensor, "n m"]) -> None:
        """See Kernels."""
        out -= by_unit.T

    def pick(self, by_unit: Float[torch.Tensor, "m nc"], rows: Support) -> Float[torch.Tensor, "c row_entries"]:
        """See TabulatingKernels."""
        by_sample = by_unit.view(by_unit.shape[0], -1, rows.samples)
        return by_sample[rows.units.long(), :, rows.sample_of_entry.long()].T.contiguous()

    def tabulate(self, support: Support, values: Float[torch.Tensor, "c entries"]) -> Float[torch.Tensor, "m nc"]:
        """See TabulatingKernels."""
        size = support.width, values.shape[0] * support.samples
        table = self.workspace.empty("table", *size, values.dtype, values.device).zero_()
        by_sample = table.view(support.width, -1, support.samples)
        by_sample[support.units.long(), :, support.sample_of_entry.long()] = values.T
        return table

    def project(
        self, factors: Factors, support: Support, values: Float[torch.Tensor, "c entries"]
    ) -> Float[torch.Tensor, "samples t nc"]:
        """See Kernels."""
        return project_by_table(self, factors, support, values)

    def collect(
        self, factors: Factors, coefficients: Float[torch.Tensor, "samples t nc"], rows: Support
    ) -> Float[torch.Tensor, "c row_entries"]:
        """See Kernels."""
        return collect_by_table(self, factors, coefficients, rows)

    def inner_products(
        self, support: Support, vectors: Sequence[Float[torch.Tensor, "_ entries"]], block: slice
    ) -> list[Float[torch.Tensor, "_ _"]]:
        """See Kernels."""
        return [inner_products_by_table(self, support, values, block) for values in vectors]

    def plan_update(
        self,
        rows: Support,
        row_values: Float[torch.Tensor, "row_entries t"],
        columns: Support,
        column_values: Float[torch.Tensor, "column_entries t"],
        table: Float[torch.Tensor, "m fan_out"],
    ) -> TorchUpdate:
        """See Kernels."""
        return TorchUpdate(rows, row_values, columns, column_values, table)


def _bags(
    chosen: Int[torch.Tensor, " entries"],
    table: Float[torch.Tensor, "rows nc"],
    offsets: Int[torch.Tensor, " bags_plus_1"],
    weights: Float[torch.Tensor, " entries"],
) -> Float[torch.Tensor, "bags nc"]:
    """Σ weights · (chosen rows of the table), bag by bag."""
    rows, weights = table.contiguous(), weights.contiguous()
    return torch.nn.functional.embedding_bag(
        chosen, rows, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


def _positions(support: Support) -> Int[torch.Tensor, " entries"]:
    """Of the entries in a flattened (samples, width) array."""
    return support.sample_of_entry.long() * support.width + support.units


class TorchUpdate:
    """See OuterUpdate. Keeps the old values of the k × k blocks, since a block may fail to be allocated."""

    def __init__(
        self,
        rows: Support,
        row_values: Float[torch.Tensor, "row_entries t"],
        columns: Support,
        column_values: Float[torch.Tensor, "column_entries t"],
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
            change = torch.matmul(self._row_values[block.rows], self._column_values[block.columns].T)
            self._flat[block.positions] = (self._flat[block.positions] - change).to(self._flat.dtype)

    def revert(self) -> None:
        """See OuterUpdate. A position that several samples share is written with the same old value by each."""
        self._reserve = None
        for block, old in zip(_blocks(self._rows, self._columns), self._old, strict=True):
            self._flat[block.positions] = old


class _Part(NamedTuple):
    """Some row entries, of whatever samples, each against all column entries of its sample."""

    rows: slice
    offsets: Int[torch.Tensor, " part_rows_plus_1"]  # where the pairs of each row begin
    columns: Int[torch.Tensor, " pairs"]  # column entries
    positions: Int[torch.Tensor, " pairs"]  # in the flattened table


def _parts(rows: Support, columns: Support) -> Iterator[_Part]:
    """The k × k blocks of all samples, in parts of at most CHUNK elements, or of one row."""
    lengths = columns.host_counts.long().repeat_interleave(rows.host_counts.long())
    ends = lengths.cumsum(0)
    begin, before = 0, 0
    while begin < rows.entries:
        end = max(begin + 1, int(torch.searchsorted(ends, before + CHUNK, right=True)))
        total = int(ends[end - 1]) - before
        sample = rows.sample_of_entry[begin:end].long()
        counts = columns.counts[sample].long()
        offsets = offsets_of(counts).long()
        first = (columns.offsets[sample] - offsets[:-1]).repeat_interleave(counts, output_size=total)
        column = first + torch.arange(total, device=first.device)
        row = (rows.units[begin:end].long() * columns.width).repeat_interleave(counts, output_size=total)
        yield _Part(slice(begin, end), offsets, column, row + columns.units[column])
        begin, before = end, before + total


class _Block(NamedTuple):
    """Some row entries of one sample against all its column entries; no position occurs twice."""

    rows: slice
    columns: slice
    positions: Int[torch.Tensor, "block_rows block_columns"]  # in the flattened table


def _blocks(rows: Support, columns: Support) -> Iterator[_Block]:
    """The k × k blocks of all samples, in parts of about CHUNK elements."""
    row_offsets, column_offsets = rows.host_offsets.tolist(), columns.host_offsets.tolist()
    for sample in range(rows.samples):
        across = slice(column_offsets[sample], column_offsets[sample + 1])
        length = max(1, CHUNK // max(1, across.stop - across.start))
        for begin in range(row_offsets[sample], row_offsets[sample + 1], length):
            down = slice(begin, min(begin + length, row_offsets[sample + 1]))
            first = rows.units[down].long() * columns.width
            yield _Block(down, across, first[:, None] + columns.units[across].long())
