"""The kernels for CPUs, compiled by numba, which carries its own compiler.

All of them are bound by memory. What makes them fast is the order of reading: every product goes through the
table in increasing order of units, so that a row that several samples need is fetched once. `gather` streams
whole rows, four at a time so that the accumulator is loaded once for four. Units are unsigned, which spares
a test for negative indices and lets the inner loops of the k × k kernels become vector gathers.

Every output element is summed by one thread in a fixed order: results do not depend on the thread count.
"""

from __future__ import annotations

import threading
from typing import Any

import numba
import numpy as np
import torch

from impl.kernels.factors import Factors
from impl.kernels.stored import number, stored
from impl.kernels.workspace import Workspace
from impl.support import Support, offsets_of
from reference.contract.shapes import Float, Int

# Multiply-adds or elements below which one thread does all: waking the others, and waiting for one that the
# machine has given to somebody else, would cost more than they save.
LEAST_PARALLEL_WORK = 1 << 18

# Bytes that memory hands over at a time. A row of which more elements are wanted than it has cache lines comes
# whole anyway; read from one end to the other it comes faster. The work counts are of the wanted elements alone.
CACHE_LINE = 64

# Columns of a table that is narrow: rows of the output are then shared out among the threads, not columns.
NARROW = 512

# numba.config's members are made at run time, out of a type checker's sight.
MOST_THREADS: int = getattr(numba.config, "NUMBA_NUM_THREADS")  # noqa: B009


class CompiledKernels:
    """See Kernels. For tables on the CPU: in float32 or float64, and in bfloat16 those that products read."""

    name = "compiled"

    def __init__(self) -> None:
        self.workspace = Workspace()

    def select(
        self, dense: Float[torch.Tensor, "n m"], threshold: float
    ) -> tuple[Support, Float[torch.Tensor, " entries"]]:
        """See Kernels."""
        array = dense.numpy()
        limit = array.dtype.type(threshold)
        counts = dense.new_empty(dense.shape[0], dtype=torch.int64)
        use_threads(array.size)
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
        threads = use_threads(support.entries * table.shape[1])
        arguments = support.offsets.numpy(), unsigned(support.units), values.numpy(), stored(table), out.numpy()
        if table.shape[1] <= NARROW:
            _gather_narrow(*arguments)
        else:
            _gather(*arguments, threads)
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
        use_threads(rows.pairs_with(columns) * values.shape[0])
        _gather_restricted(
            order.offsets.numpy(),
            unsigned(order.entry),
            unsigned(rows.sample_of_entry),
            columns.offsets.numpy(),
            unsigned(columns.units),
            values.numpy(),
            stored(table),
            out.numpy(),
            table.shape[1] * table.element_size() // CACHE_LINE,
        )
        return out

    def missing(self, factors: Factors, support: Support) -> Int[torch.Tensor, " n"]:
        """See Kernels."""
        missing = torch.empty_like(factors.counts)
        use_threads(support.entries + factors.entries)
        vectors = support.offsets.numpy(), unsigned(support.units)
        _missing(factors.counts.numpy(), unsigned(factors.units), *vectors, missing.numpy())
        return missing

    def insert(self, factors: Factors, support: Support, values: Float[torch.Tensor, " entries"]) -> None:
        """See Kernels."""
        use_threads((support.entries + factors.entries) * (1 + factors.vectors))
        vectors = support.offsets.numpy(), unsigned(support.units), values.numpy()
        arrays = factors.counts.numpy(), unsigned(factors.units), factors.values.numpy()
        _insert(*arrays, factors.vectors, *vectors)
        factors.vectors += 1
        factors.entries = int(factors.counts.sum())

    def contract(self, factors: Factors, table: Float[torch.Tensor, "m nc"]) -> Float[torch.Tensor, "samples t nc"]:
        """See Kernels."""
        out = table.new_empty(factors.samples, factors.vectors, table.shape[1])
        use_threads(factors.size * table.shape[1])
        _contract(*_of_factors(factors), table.numpy(), out.numpy())
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
        use_threads(factors.size * out.shape[1])
        _spread(*_of_factors(factors), coefficients.numpy(), out.numpy(), anew)

    def subtract_transposed(self, by_unit: Float[torch.Tensor, "m n"], out: Float[torch.Tensor, "n m"]) -> None:
        """See Kernels."""
        use_threads(out.numel())
        _subtract_transposed(by_unit.numpy(), out.numpy())

    def pick(self, by_unit: Float[torch.Tensor, "m nc"], rows: Support) -> Float[torch.Tensor, "c row_entries"]:
        """See Kernels."""
        out = by_unit.new_empty(by_unit.shape[1] // rows.samples, rows.entries)
        use_threads(out.numel())
        _pick(by_unit.numpy(), unsigned(rows.sample_of_entry), unsigned(rows.units), rows.samples, out.numpy())
        return out

    def tabulate(self, support: Support, values: Float[torch.Tensor, "c entries"]) -> Float[torch.Tensor, "m nc"]:
        """See Kernels."""
        size = support.width, values.shape[0] * support.samples
        places = unsigned(support.sample_of_entry), unsigned(support.units)

        def write(table: torch.Tensor, numbers: torch.Tensor) -> None:
            use_threads(numbers.numel())
            _tabulate(*places, numbers.numpy(), support.samples, table.numpy())

        nothing = torch.zeros_like(values)
        table = self.workspace.zeros("table", *size, values.dtype, values.device, lambda old: write(old, nothing))
        write(table, values)
        return table

    def plan_update(
        self,
        rows: Support,
        row_values: Float[torch.Tensor, "row_entries t"],
        columns: Support,
        column_values: Float[torch.Tensor, "column_entries t"],
        table: Float[torch.Tensor, "m fan_out"],
    ) -> CompiledUpdate:
        """See Kernels."""
        return CompiledUpdate(rows, row_values, columns, column_values, table)


class CompiledUpdate:
    """See OuterUpdate. Its `apply` allocates nothing and cannot fail, so there is nothing to revert."""

    def __init__(
        self,
        rows: Support,
        row_values: Float[torch.Tensor, "row_entries t"],
        columns: Support,
        column_values: Float[torch.Tensor, "column_entries t"],
        table: Float[torch.Tensor, "m fan_out"],
    ):
        order = rows.by_unit
        self._arguments = (
            order.offsets.numpy(),
            unsigned(order.entry),
            unsigned(rows.sample_of_entry),
            row_values.numpy(),
            columns.offsets.numpy(),
            unsigned(columns.units),
            column_values.T.contiguous().numpy(),
            table.numpy(),
        )
        self._work = rows.pairs_with(columns) * row_values.shape[1]

    def apply(self) -> None:
        """See OuterUpdate."""
        use_threads(self._work)
        _subtract_outer(*self._arguments)

    def revert(self) -> None:
        """See OuterUpdate."""


def _of_factors(factors: Factors) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    return factors.counts.numpy(), unsigned(factors.units), factors.values.numpy(), factors.vectors


def unsigned(indices: torch.Tensor) -> np.ndarray:
    """Indices that are never negative, as numba likes them."""
    return indices.numpy().view(np.uint32)


def use_threads(work: int) -> int:
    """Sets as many threads as torch uses, or one for little work, and returns their number."""
    allowed = torch.get_num_threads()
    threads = min(allowed, MOST_THREADS) if work >= LEAST_PARALLEL_WORK else 1
    if threads != getattr(_set, "threads", None):  # numba keeps the number thread by thread
        numba.set_num_threads(threads)
        _set.threads = threads
        if torch.get_num_threads() != allowed:  # numba starts its threads at the first call, and sets OpenMP's number
            torch.set_num_threads(allowed)
    return threads


_set = threading.local()


# Sums may be reassociated and products contracted: rounding within the derived tolerances. NaN and
# infinities keep their meaning.
# Only what says prange is parallel: array expressions would else become regions of their own, unseen, at whose end the
# threads wait for each other, and that is long where others use the machine.
EXPLICIT: Any = {
    "prange": True,
    "comprehension": False,
    "reduction": False,
    "inplace_binop": False,
    "setitem": False,
    "numpy": False,
    "stencil": False,
    "fusion": False,
}
compile_parallel: Any = numba.njit(parallel=EXPLICIT, fastmath={"contract", "reassoc", "nsz"}, cache=True, nogil=True)


@compile_parallel
def _count_above(dense, threshold, counts):
    for i in numba.prange(dense.shape[0]):
        row, count = dense[i], 0
        for j in range(row.size):
            count += row[j] > threshold
        counts[i] = count


@compile_parallel
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


@compile_parallel
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
                        total[j] += vp * number(p[j]) + vq * number(q[j]) + vr * number(r[j]) + vs * number(s[j])
                    entry += 4
                while last and entry < end:
                    p, vp = table[units[entry], low:high], values[entry]
                    for j in range(total.size):
                        total[j] += vp * number(p[j])
                    entry += 1
                position[i] = entry


@compile_parallel
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
                    total += number(row[units[j]]) * factors[j]
                out[output, entry] = total


@compile_parallel
def _gather_narrow(offsets, units, values, table, out):
    for i in numba.prange(out.shape[0]):
        total = out[i]
        total[:] = 0
        entry, end = offsets[i], offsets[i + 1]
        while entry + 4 <= end:
            p, q, r, s = table[units[entry]], table[units[entry + 1]], table[units[entry + 2]], table[units[entry + 3]]
            vp, vq, vr, vs = values[entry], values[entry + 1], values[entry + 2], values[entry + 3]
            for j in range(total.size):
                total[j] += vp * number(p[j]) + vq * number(q[j]) + vr * number(r[j]) + vs * number(s[j])
            entry += 4
        while entry < end:
            p, vp = table[units[entry]], values[entry]
            for j in range(total.size):
                total[j] += vp * number(p[j])
            entry += 1


@compile_parallel
def _missing(counts, known, offsets, units, missing):
    for i in numba.prange(counts.size):
        place, absent = 0, 0
        for entry in range(offsets[i], offsets[i + 1]):
            while place < counts[i] and known[i, place] < units[entry]:
                place += 1
            absent += not (place < counts[i] and known[i, place] == units[entry])
        missing[i] = absent


@compile_parallel
def _insert(counts, known, numbers, vectors, offsets, units, values):
    for i in numba.prange(counts.size):
        place, absent = 0, 0
        for entry in range(offsets[i], offsets[i + 1]):
            while place < counts[i] and known[i, place] < units[entry]:
                place += 1
            absent += not (place < counts[i] and known[i, place] == units[entry])
        place, entry = counts[i] - 1, offsets[i + 1] - 1
        counts[i] += absent
        for last in range(counts[i] - 1, -1, -1):  # merged from the last unit on, in place
            new = entry >= offsets[i] and (place < 0 or known[i, place] <= units[entry])
            old = place >= 0 and (entry < offsets[i] or units[entry] <= known[i, place])
            if old:
                if last > place:
                    known[i, last] = known[i, place]
                    numbers[i, last, :vectors] = numbers[i, place, :vectors]
                place -= 1
            else:
                known[i, last] = units[entry]
                numbers[i, last, :vectors] = 0
            numbers[i, last, vectors] = values[entry] if new else 0
            entry -= new


@compile_parallel
def _contract(counts, units, values, vectors, table, out):
    for i in numba.prange(out.shape[0]):
        totals, mine, numbers = out[i], units[i], values[i]
        totals[:] = 0
        e, end = 0, counts[i]
        while e + 4 <= end:
            p, q, r, s = table[mine[e]], table[mine[e + 1]], table[mine[e + 2]], table[mine[e + 3]]
            for t in range(vectors):
                total = totals[t]
                vp, vq, vr, vs = numbers[e, t], numbers[e + 1, t], numbers[e + 2, t], numbers[e + 3, t]
                for j in range(total.size):
                    total[j] += vp * p[j] + vq * q[j] + vr * r[j] + vs * s[j]
            e += 4
        while e < end:
            p = table[mine[e]]
            for t in range(vectors):
                total, vp = totals[t], numbers[e, t]
                for j in range(total.size):
                    total[j] += vp * p[j]
            e += 1


# Elements of the part of a table that additions are scattered over at a time: it stays in cache.
SCATTERED = 1 << 16


@compile_parallel
def _spread(counts, units, values, vectors, coefficients, out, anew):
    rows = max(1, SCATTERED // out.shape[1])
    for part in numba.prange((out.shape[0] + rows - 1) // rows):
        first, last = part * rows, (part + 1) * rows
        if anew:
            out[first:last] = 0
        for i in range(counts.size):
            mine, factors = units[i, : counts[i]], coefficients[i]
            e = np.searchsorted(mine, first)
            while e < mine.size and mine[e] < last:
                total, value, t = out[mine[e]], values[i, e], 0
                while t + 4 <= vectors:
                    p, q, r, s = factors[t], factors[t + 1], factors[t + 2], factors[t + 3]
                    vp, vq, vr, vs = value[t], value[t + 1], value[t + 2], value[t + 3]
                    for j in range(total.size):
                        total[j] += vp * p[j] + vq * q[j] + vr * r[j] + vs * s[j]
                    t += 4
                while t < vectors:
                    p, vp = factors[t], value[t]
                    for j in range(total.size):
                        total[j] += vp * p[j]
                    t += 1
                e += 1


# Rows and columns of a tile that is transposed at a time.
TILE = 64


@compile_parallel
def _subtract_transposed(by_unit, out):
    samples, width = out.shape
    for tile in numba.prange((width + TILE - 1) // TILE):
        low, high = tile * TILE, min(width, (tile + 1) * TILE)
        for i in range(samples):
            for j in range(low, high):
                out[i, j] -= by_unit[j, i]


@compile_parallel
def _pick(by_unit, sample_of_entry, units, samples, out):
    for entry in numba.prange(units.size):
        for output in range(out.shape[0]):
            out[output, entry] = by_unit[units[entry], output * samples + sample_of_entry[entry]]


@compile_parallel
def _tabulate(sample_of_entry, units, values, samples, table):
    for entry in numba.prange(units.size):
        for output in range(values.shape[0]):
            table[units[entry], output * samples + sample_of_entry[entry]] = values[output, entry]


@compile_parallel
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
            if factor.size > 1:
                _subtract_sum(row, units, factor, column_values[:, low:high])
            else:
                factors = column_values[0, low:high]
                for j in range(units.size):
                    row[units[j]] -= factor[0] * factors[j]


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _subtract_sum(row, units, factor, vectors):
    """row[units] −= Σ_t factor[t] · vectors[t]: summed first, so that each scattered element is written once."""
    total = np.zeros(units.size, row.dtype)
    t = 0
    while t + 4 <= factor.size:
        p, q, r, s = vectors[t], vectors[t + 1], vectors[t + 2], vectors[t + 3]
        vp, vq, vr, vs = factor[t], factor[t + 1], factor[t + 2], factor[t + 3]
        for j in range(total.size):
            total[j] += vp * p[j] + vq * q[j] + vr * r[j] + vs * s[j]
        t += 4
    while t < factor.size:
        p, vp = vectors[t], factor[t]
        for j in range(total.size):
            total[j] += vp * p[j]
        t += 1
    for j in range(units.size):
        row[units[j]] -= total[j]
