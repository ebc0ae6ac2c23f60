"""The kernels for CUDA devices: how each is launched.

All are bound by memory, or by the time that a read takes to arrive. So programs are many and small, and sizes are
chosen for the number of programs: some thousand keep a large device busy. None of these sizes was tuned on a device.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from impl.kernels.factors import Factors, Unions
from impl.kernels.sparse_sums import add_vectors
from impl.kernels.tabulated import collect_by_table, project_by_table
from impl.kernels.triton.device import gathering, panels, selection, tables
from impl.kernels.triton.launch import blocks, launch, power_of_two
from impl.kernels.triton.update import TritonUpdate
from impl.kernels.workspace import Workspace
from impl.support import Support
from reference.contract.shapes import Float, Int

# Elements of a plain pass over entries or units that a program takes.
BLOCK = 1024

# Columns that a warp takes of a wide table, as 16 bytes a thread in float32, and the most warps of a program.
WARP_COLUMNS = 128
MOST_WARPS = 4

# With so many programs a gather has hardly a part of the device idle; below, programs of fewer columns are better.
ENOUGH_PROGRAMS = 1024

# Rows of a wide table that are on their way at a time: a read takes far longer than a product.
AHEAD = 8

# A table of at most so many columns is narrow: a program takes all of them, and some rows at a time.
NARROW = 64

# Numbers of a tile that is summed into: 32 for each thread of four warps.
TILE = 4096

# Units of an output of `spread` that a program adds to.
SPREAD_ROWS = 32


class TritonKernels:
    """See Kernels. For tables on CUDA devices; by Triton's interpreter on the CPU, for tests.

    Tables may be of a narrower dtype than the values: numbers are widened as they are read. Launches go to the current
    stream of the tensors' device. Only `select` and `insert` wait for the device, since sizes are decided there.
    """

    name = "triton"

    def __init__(self) -> None:
        self.workspace = Workspace()

    def select(
        self, dense: Float[torch.Tensor, "n m"], threshold: float
    ) -> tuple[Support, Float[torch.Tensor, " entries"]]:
        """See Kernels. Two passes, and between them the offsets come to the host: the one wait of a layer."""
        limit, starts, offsets = self._count_above(dense, threshold)
        host_offsets = offsets.cpu()
        entries = int(host_offsets[-1])
        listed = offsets.new_empty(entries), offsets.new_empty(entries), dense.new_empty(entries)
        self._list_above(dense, limit, starts, listed)
        return Support(offsets, *listed[:2], dense.shape[1], host_offsets), listed[2]

    def list_above(
        self, dense: Float[torch.Tensor, "n m"], threshold: float, room: int
    ) -> tuple[
        Int[torch.Tensor, " n_plus_1"],
        tuple[Int[torch.Tensor, " room"], Int[torch.Tensor, " room"], Float[torch.Tensor, " room"]],
    ]:
        """The entries that `select` would find, in lists of a fixed size, without waiting for the device.

        Args:
            dense: Numbers.
            threshold: Entries are above it, strictly.
            room: Of the lists.

        Returns:
            Offsets, the last perhaps beyond the room; and of every entry sample, unit and number. Where there are no
            entries the sample is n, the unit m, and the number 0.
        """
        samples, width = dense.shape
        limit, starts, offsets = self._count_above(dense, threshold)
        listed = offsets.new_full((room,), samples), offsets.new_full((room,), width), dense.new_zeros(room)
        self._list_above(dense, limit, starts, listed)
        return offsets, listed

    def _count_above(
        self, dense: Float[torch.Tensor, "n m"], threshold: float
    ) -> tuple[Float[torch.Tensor, " 1"], Int[torch.Tensor, " tiles_plus_1"], Int[torch.Tensor, " n_plus_1"]]:
        """The threshold there, where in the lists each tile begins, and where each sample."""
        samples, width = dense.shape
        tiles = blocks(width, BLOCK)
        limit = torch.full((1,), threshold, dtype=dense.dtype, device=dense.device)
        starts = torch.zeros(samples * tiles + 1, dtype=torch.int32, device=dense.device)
        counts = torch.empty_like(starts[1:])
        launch(selection.count_above, (samples * tiles,), dense, limit, counts, width, tiles, BLOCK=BLOCK)
        torch.cumsum(counts, dim=0, out=starts[1:])
        return limit, starts, starts[::tiles].contiguous()

    def _list_above(
        self,
        dense: Float[torch.Tensor, "n m"],
        limit: Float[torch.Tensor, " 1"],
        starts: Int[torch.Tensor, " tiles_plus_1"],
        listed: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    ) -> None:
        samples, width = dense.shape
        tiles = blocks(width, BLOCK)
        sizes = width, tiles, listed[0].numel()
        launch(selection.list_above, (samples * tiles,), dense, limit, starts, *listed, *sizes, BLOCK=BLOCK)

    def gather(
        self, support: Support, values: Float[torch.Tensor, " entries"], table: Float[torch.Tensor, "m fan_out"]
    ) -> Float[torch.Tensor, "n fan_out"]:
        """See Kernels."""
        samples, width, table = support.samples, table.shape[1], table.contiguous()
        out = values.new_empty(samples, width)
        arguments = support.offsets, support.units, values.contiguous(), table, out, width, table.stride(0)
        if width <= NARROW:
            columns = power_of_two(width, NARROW)
            launch(gathering.gather_narrow, (samples,), *arguments, ENTRIES=TILE // columns // 2, COLUMNS=columns)
            return out
        warps = MOST_WARPS
        while warps > 1 and samples * blocks(width, WARP_COLUMNS * warps) < ENOUGH_PROGRAMS:
            warps //= 2
        grid = samples, blocks(width, WARP_COLUMNS * warps)
        launch(gathering.gather_wide, grid, *arguments, BLOCK=WARP_COLUMNS * warps, AHEAD=AHEAD, num_warps=warps)
        return out

    def gather_restricted(
        self,
        rows: Support,
        columns: Support,
        values: Float[torch.Tensor, "c column_entries"],
        table: Float[torch.Tensor, "m fan_out"],
    ) -> Float[torch.Tensor, "c row_entries"]:
        """See Kernels."""
        outputs, together, values = values.shape[0], power_of_two(values.shape[0], 8), values.contiguous()
        out = values.new_empty(outputs, rows.entries)
        launch(
            gathering.gather_restricted,
            (rows.entries, blocks(outputs, together)),
            rows.by_unit.entry,
            rows.sample_of_entry,
            rows.units,
            columns.offsets,
            columns.units,
            values,
            table,
            out,
            outputs,
            table.stride(0),
            values.stride(0),
            out.stride(0),
            OUTPUTS=together,
            BLOCK=min(512, TILE // 4 // together),
        )
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
        """See Kernels. They come to the host, for which it waits."""
        return Unions.of(right.counts + self.missing(right, more_right), left.counts + self.missing(left, more_left))

    def missing(self, factors: Factors, support: Support) -> Int[torch.Tensor, " n"]:
        """How many units of a support are not in the unions, sample by sample."""
        missing = torch.empty_like(factors.counts)
        arguments = *_union(factors), support.offsets, support.units, missing
        launch(panels.count_missing, (factors.samples,), *arguments, BLOCK=BLOCK)
        return missing

    def insert(self, factors: Factors, support: Support, values: Float[torch.Tensor, " entries"]) -> None:
        """See Kernels. Into new arrays, which take the place of the old ones when they are complete."""
        samples, room, vector_room = factors.values.shape
        known, numbers = torch.zeros_like(factors.units), torch.zeros_like(factors.values)
        places, shifts = torch.empty_like(support.units), torch.empty_like(support.units)
        counts = torch.empty_like(factors.counts)
        added = support.offsets, support.units
        launch(panels.place_support, (samples,), *_union(factors), *added, places, shifts, counts, BLOCK=BLOCK)
        old = factors.counts, factors.units, factors.values, room, vector_room, factors.vectors
        grid = samples, blocks(room, 64)
        launch(panels.move_known, grid, *old, *added, shifts, counts, known, numbers, PLACES=64, VECTORS=16)
        entries = support.sample_of_entry, support.units, values, places
        sizes = support.entries, room, vector_room, factors.vectors
        launch(panels.place_new, (blocks(support.entries, BLOCK),), *entries, known, numbers, *sizes, BLOCK=BLOCK)
        total = int(counts.sum())
        factors.counts, factors.units, factors.values = counts, known, numbers
        factors.vectors, factors.entries = factors.vectors + 1, total

    def contract(self, factors: Factors, table: Float[torch.Tensor, "m nc"]) -> Float[torch.Tensor, "samples t nc"]:
        """See TabulatingKernels."""
        samples, vectors, width = factors.samples, factors.vectors, table.shape[1]
        out = table.new_empty(samples, vectors, width)
        together, columns = (1 if vectors == 1 else 8), power_of_two(width, 32)  # few kernels: vectors become more
        grid = samples, blocks(vectors, together), blocks(width, columns)
        sizes = {"PLACES": TILE // 256, "VECTORS": together, "COLUMNS": columns}
        launch(panels.contract, grid, factors.counts, *_vectors(factors), table, out, width, **sizes)
        return out

    def spread(
        self,
        factors: Factors,
        coefficients: Float[torch.Tensor, "samples t nc"],
        out: Float[torch.Tensor, "m nc"],
        *,
        anew: bool,
    ) -> None:
        """See Kernels."""
        if anew:
            out.zero_()
        samples, (units, width) = factors.samples, out.shape
        parts, columns = blocks(units, SPREAD_ROWS), power_of_two(width, 128)
        bounds = factors.units.new_empty(samples, parts + 1)
        grid = samples, blocks(parts + 1, BLOCK)
        launch(panels.bound_parts, grid, *_union(factors), bounds, parts, SPREAD_ROWS, BLOCK=BLOCK)
        operands = *_vectors(factors), bounds, parts, coefficients, out, samples, width
        sizes = {"VECTORS": min(32, TILE // columns), "COLUMNS": columns}
        launch(panels.spread, (parts, blocks(width, columns)), *operands, **sizes, num_stages=1)

    def subtract_transposed(self, by_unit: Float[torch.Tensor, "m n"], out: Float[torch.Tensor, "n m"]) -> None:
        """See Kernels."""
        samples, width = out.shape
        grid = blocks(width, 64), blocks(samples, 32)
        launch(tables.subtract_transposed, grid, by_unit, out, samples, width, SAMPLES=32, UNITS=64)

    def pick(self, by_unit: Float[torch.Tensor, "m nc"], rows: Support) -> Float[torch.Tensor, "c row_entries"]:
        """See TabulatingKernels."""
        out = by_unit.new_empty(by_unit.shape[1] // rows.samples, rows.entries)
        grid = blocks(rows.entries, BLOCK), out.shape[0]
        sizes = rows.entries, rows.samples, by_unit.stride(0)
        launch(tables.pick, grid, rows.sample_of_entry, rows.units, by_unit, out, *sizes, BLOCK=BLOCK)
        return out

    def tabulate(self, support: Support, values: Float[torch.Tensor, "c entries"]) -> Float[torch.Tensor, "m nc"]:
        """See TabulatingKernels."""
        outputs, samples = values.shape[0], support.samples
        size = support.width, outputs * samples
        table = self.workspace.empty("table", *size, values.dtype, values.device).zero_()
        grid = blocks(support.entries, BLOCK), outputs
        sizes = support.entries, support.width, samples, values.stride(0), table.stride(0)
        launch(tables.tabulate, grid, support.sample_of_entry, support.units, values, table, *sizes, BLOCK=BLOCK)
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
        """See Kernels. All vectors against a table of those of the block."""
        return [self._inner_products(support, values, block) for values in vectors]

    def plan_update(
        self,
        rows: Support,
        row_values: Float[torch.Tensor, "row_entries t"],
        columns: Support,
        column_values: Float[torch.Tensor, "column_entries t"],
        table: Float[torch.Tensor, "m fan_out"],
    ) -> TritonUpdate:
        """See Kernels."""
        return TritonUpdate(rows, row_values, columns, column_values, table)

    def _inner_products(
        self, support: Support, values: Float[torch.Tensor, "c entries"], block: slice
    ) -> Float[torch.Tensor, "nc block_c"]:
        outputs, samples, length = values.shape[0], support.samples, block.stop - block.start
        others, entries = support.between(block.start, block.stop)
        table = self.tabulate(others, values[:, entries].contiguous())
        out = values.new_empty(samples * outputs, outputs * length, dtype=torch.float64)
        columns = power_of_two(outputs * length, NARROW)
        grid = samples, outputs, blocks(outputs * length, columns)
        sizes = outputs, length, values.stride(0), table.stride(0)
        entries_at_once = TILE // columns // 2
        arguments = support.offsets, support.units, values, table, out, *sizes
        launch(gathering.inner_products, grid, *arguments, ENTRIES=entries_at_once, COLUMNS=columns)
        return out


def _union(factors: Factors) -> tuple[torch.Tensor, torch.Tensor, int]:
    return factors.counts, factors.units, factors.units.shape[1]


def _vectors(factors: Factors) -> tuple[torch.Tensor, torch.Tensor, int, int, int]:
    return factors.units, factors.values, *factors.values.shape[1:], factors.vectors
