"""The kernels for CPUs, compiled by numba, which carries its own compiler.

All of them are bound by memory. What makes them fast is the order of reading: every product goes through the
table in increasing order of units, so that a row that several samples need is fetched once. `gather` streams
whole rows, four at a time so that the accumulator is loaded once for four. Units are unsigned, which spares
a test for negative indices and lets the inner loops of the k × k kernels become vector gathers.

Every output element is summed by one thread in a fixed order: results do not depend on the thread count.
"""

from __future__ import annotations

import numba
import numpy as np
import torch

from impl.support import Support, offsets_of
from reference.contract.shapes import Float

# Multiply-adds or elements below which one thread does all: waking the others, and waiting for one that the
# machine has given to somebody else, would cost more than they save.
LEAST_PARALLEL_WORK = 1 << 18

# Bytes that memory hands over at a time. A row of which more elements are wanted than it has cache lines comes
# whole anyway; read from one end to the other it comes faster. The work counts are of the wanted elements alone.
CACHE_LINE = 64

# numba.config's members are made at run time, out of a type checker's sight.
MOST_THREADS: int = getattr(numba.config, "NUMBA_NUM_THREADS")  # noqa: B009


class CompiledKernels:
    """See Kernels. For tables on the CPU, in float32 or float64."""

    name = "compiled"

    def select(
        self, dense: Float[torch.Tensor, "n m"], threshold: float
    ) -> tuple[Support, Float[torch.Tensor, " entries"]]:
        """See Kernels."""
        array = dense.numpy()
        limit = array.dtype.type(threshold)
        counts = dense.new_empty(dense.shape[0], dtype=torch.int64)
        _use_threads(array.size)
        _count_above(array, limit, counts.numpy())
        offsets = offsets_of(counts)
        entries = int(offsets[-1])
        samples, units, values = offsets.new_empty(entries), offsets.new_empty(entries), dense.new_empty(entries)
        _list_above(array, limit, offsets.numpy(), samples.numpy(), units.numpy(), values.numpy())
        return Support(offsets, samples, units, dense.shape[1]), values

    def gather(
        self, support: Support, values: Float[torch.Tensor, " entries"], table: Float[torch.Tensor, "m fan_out"]
    ) -> Float[torch.Tensor, "n fan_out"]:
        """See Kernels."""
        out = values.new_empty(support.samples, table.shape[1])
        threads = _use_threads(support.entries * table.shape[1])
        _gather(support.offsets.numpy(), _unsigned(support.units), values.numpy(), table.numpy(), out.numpy(), threads)
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
        order = rows.by_unit
        _use_threads(rows.pairs_with(columns) * values.shape[0])
        _gather_restricted(
            order.offsets.numpy(),
            _unsigned(order.entry),
            _unsigned(rows.sample_of_entry),
            columns.offsets.numpy(),
            _unsigned(columns.units),
            values.numpy(),
            table.numpy(),
            out.numpy(),
            table.shape[1] * table.element_size() // CACHE_LINE,
        )
        return out

    def spread(
        self,
        support: Support,
        values: Float[torch.Tensor, " entries"],
        coefficients: Float[torch.Tensor, "R n"],
        out: Float[torch.Tensor, "n m"],
    ) -> None:
        """See Kernels."""
        _use_threads(support.entries * out.shape[0])
        _spread(support.offsets.numpy(), _unsigned(support.units), values.numpy(), coefficients.T.numpy(), out.numpy())

    def plan_update(
        self,
        rows: Support,
        row_values: Float[torch.Tensor, " row_entries"],
        columns: Support,
        column_values: Float[torch.Tensor, " column_entries"],
        table: Float[torch.Tensor, "m fan_out"],
    ) -> CompiledUpdate:
        """See Kernels."""
        return CompiledUpdate(rows, row_values, columns, column_values, table)


class CompiledUpdate:
    """See OuterUpdate. Its `apply` allocates nothing and cannot fail, so there is nothing to revert."""

    def __init__(
        self,
        rows: Support,
        row_values: Float[torch.Tensor, " row_entries"],
        columns: Support,
        column_values: Float[torch.Tensor, " column_entries"],
        table: Float[torch.Tensor, "m fan_out"],
    ):
        order = rows.by_unit
        self._arguments = (
            order.offsets.numpy(),
            _unsigned(order.entry),
            _unsigned(rows.sample_of_entry),
            row_values.numpy(),
            columns.offsets.numpy(),
            _unsigned(columns.units),
            column_values.numpy(),
            table.numpy(),
        )
        self._work = rows.pairs_with(columns)

    def apply(self) -> None:
        """See OuterUpdate."""
        _use_threads(self._work)
        _subtract_outer(*self._arguments)

    def revert(self) -> None:
        """See OuterUpdate."""


def _unsigned(indices: torch.Tensor) -> np.ndarray:
    return indices.numpy().view(np.uint32)


def _use_threads(work: int) -> int:
    """Sets as many threads as torch uses, or one for little work, and returns their number."""
    allowed = torch.get_num_threads()
    threads = min(allowed, MOST_THREADS) if work >= LEAST_PARALLEL_WORK else 1
    numba.set_num_threads(threads)
    if torch.get_num_threads() != allowed:  # numba starts its threads at the first call, and sets OpenMP's number
        torch.set_num_threads(allowed)
    return threads


# Sums may be reassociated and products contracted: rounding within the derived tolerances. NaN and
# infinities keep their meaning.
_compile = numba.njit(parallel=True, fastmath={"contract", "reassoc", "nsz"}, cache=True, nogil=True)


@_compile
def _count_above(dense, threshold, counts):
    for i in numba.prange(dense.shape[0]):
        row, count = dense[i], 0
        for j in range(row.size):
            count += row[j] > threshold
        counts[i] = count


@_compile
def _list_above(dense, threshold, offsets, samples, units, values):
    for i in numba.prange(dense.shape[0]):
        row, entry = dense[i], offsets[i]
        for j in range(row.size):
            if row[j] > threshold:
                samples[entry] = i
                units[entry] = j
                values[entry] = row[j]
                entry += 1


# Table rows that a pass over the samples shares: they stay in cache from the first sample to the last.
BLOCK_ROWS = 256


@_compile
def _gather(offsets, units, values, table, out, tiles):
    samples, width = out.shape
    for tile in numba.prange(tiles):  # each thread has its own columns of the output
        low, high = width * tile // tiles, width * (tile + 1) // tiles
        out[:, low:high] = 0
        position = offsets[:samples].copy()
        for block in range((table.shape[0] + BLOCK_ROWS - 1) // BLOCK_ROWS):
            limit = (block + 1) * BLOCK_ROWS
            last = limit >= table.shape[0]
            for i in range(samples):
                total = out[i, low:high]
                entry, end = position[i], offsets[i + 1]
                while entry + 4 <= end and units[entry + 3] < limit:
                    p, q, r, s = (
                        table[units[entry], low:high],
                        table[units[entry + 1], low:high],
                        table[units[entry + 2], low:high],
                        table[units[entry + 3], low:high],
                    )
                    vp, vq, vr, vs = values[entry], values[entry + 1], values[entry + 2], values[entry + 3]
                    for j in range(total.size):
                        total[j] += vp * p[j] + vq * q[j] + vr * r[j] + vs * s[j]
                    entry += 4
                while last and entry < end:
                    p, vp = table[units[entry], low:high], values[entry]
                    for j in range(total.size):
                        total[j] += vp * p[j]
                    entry += 1
                position[i] = entry


@_compile
def _gather_restricted(
    unit_offsets, entry_by_unit, sample_of_entry, column_offsets, column_units, values, table, out, lines
):
    for unit in numba.prange(unit_offsets.size - 1):
        row, wanted = table[unit], 0
        for position in range(unit_offsets[unit], unit_offsets[unit + 1]):
            sample = sample_of_entry[entry_by_unit[position]]
            wanted += column_offsets[sample + 1] - column_offsets[sample]
        if wanted > lines:
            row = row.copy()
        for position in range(unit_offsets[unit], unit_offsets[unit + 1]):
            entry = entry_by_unit[position]
            sample = sample_of_entry[entry]
            low, high = column_offsets[sample], column_offsets[sample + 1]
            units = column_units[low:high]
            for output in range(values.shape[0]):
                factors = values[output, low:high]
                total = values.dtype.type(0)
                for j in range(units.size):
                    total += row[units[j]] * factors[j]
                out[output, entry] = total


@_compile
def _spread(offsets, units, values, coefficients, out):
    for i in numba.prange(out.shape[0]):
        row = out[i]
        for j in range(offsets.size - 1):
            factor = coefficients[i, j]
            low, high = offsets[j], offsets[j + 1]
            targets, numbers = units[low:high], values[low:high]
            for e in range(targets.size):
                row[targets[e]] += factor * numbers[e]


@_compile
def _subtract_outer(
    unit_offsets,
    entry_by_unit,
    sample_of_entry,
    row_values,
    column_offsets,
    column_units,
    column_values,
    table,
):
    for unit in numba.prange(unit_offsets.size - 1):
        row = table[unit]
        for position in range(unit_offsets[unit], unit_offsets[unit + 1]):
            entry = entry_by_unit[position]
            sample = sample_of_entry[entry]
            factor = row_values[entry]
            low, high = column_offsets[sample], column_offsets[sample + 1]
            units = column_units[low:high]
            factors = column_values[low:high]
            for j in range(units.size):
                row[units[j]] -= factor * factors[j]
