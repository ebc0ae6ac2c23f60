"""The kernels for CPUs, compiled by numba, which carries its own compiler.

All of them are bound by memory. What makes them fast is the order of reading: every product goes through the
table in increasing order of units, so that a row that several samples need is fetched once. `gather` streams
whole rows, four at a time so that the accumulator is loaded once for four. Units are unsigned, which spares
a test for negative indices and lets the inner loops of the k × k kernels become vector gathers.

Every output element is summed by one thread in a fixed order: results do not depend on the thread count.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numba
import numpy as np
import torch

from impl.kernels import factor_loops, loops, meeting_loops
from impl.kernels.factors import Factors, Unions
from impl.kernels.stored import stored
from impl.kernels.workspace import Workspace
from impl.support import Support, offsets_of
from reference.contract import ArgumentError
from reference.contract.shapes import Float, Int

# Multiply-adds or elements below which one thread does all: waking the others, and waiting for one that the
# machine has given to somebody else, would cost more than they save.
LEAST_PARALLEL_WORK = 1 << 18

# What an entry costs where lists are merged or copied, in multiply-adds: it waits, and the next one for it (measured).
MERGING = 16

# Bytes that memory hands over at a time. A row of which more elements are wanted than it has cache lines comes
# whole anyway; read from one end to the other it comes faster. The work counts are of the wanted elements alone.
CACHE_LINE = 64

# Columns of a table that is narrow: rows of the output are then shared out among the threads, not columns.
NARROW = 512

# Pairs of entries that meet are listed where there are at most so many, and one in so many of all products that there
# could be: each is read here and there, where the others are read from one end to the other (measured).
MOST_MEETINGS = 1 << 18
MEETING = 32

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
        loops.count_above(array, limit, counts.numpy())
        offsets = offsets_of(counts)
        entries = int(offsets[-1])
        samples, units, values = offsets.new_empty(entries), offsets.new_empty(entries), dense.new_empty(entries)
        loops.list_above(array, limit, offsets.numpy(), samples.numpy(), units.numpy(), values.numpy())
        return Support(offsets, samples, units, dense.shape[1]), values

    def gather(
        self, support: Support, values: Float[torch.Tensor, " entries"], table: Float[torch.Tensor, "m fan_out"]
    ) -> Float[torch.Tensor, "n fan_out"]:
        """See Kernels."""
        out = values.new_empty(support.samples, table.shape[1])
        threads = use_threads(support.entries * table.shape[1])
        arguments = *support.lists, values.numpy(), stored(table), out.numpy()
        if table.shape[1] <= NARROW:
            loops.gather_narrow(*arguments)
        else:
            loops.gather(*arguments, threads)
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
        loops.gather_restricted(
            order.offsets.numpy(),
            unsigned(order.entry),
            unsigned(rows.sample_of_entry),
            *columns.lists,
            values.numpy(),
            stored(table),
            out.numpy(),
            table.shape[1] * table.element_size() // CACHE_LINE,
        )
        return out

    def add_vectors(
        self,
        support: Support,
        values: Float[torch.Tensor, " entries"],
        other: Support,
        other_values: Float[torch.Tensor, " other_entries"],
    ) -> tuple[Support, Float[torch.Tensor, " union_entries"]]:
        """See Kernels. Both are merged, once to count and once to add."""
        here, there = support.lists, other.lists
        counts = torch.empty(support.samples, dtype=torch.int64)
        use_threads(MERGING * (support.entries + other.entries))
        loops.count_unions(*here, *there, counts.numpy())
        union, entries = support, int(counts.sum())
        if entries > support.entries:
            samples, units = torch.empty(2, entries, dtype=torch.int32)
            union = Support(offsets_of(counts), samples, units, support.width)
        sums = values.new_empty(entries)
        lists = union.offsets.numpy(), union.sample_of_entry.numpy(), union.units.numpy(), sums.numpy()
        loops.add_vectors(*here, values.numpy(), *there, other_values.numpy(), *lists, union is not support)
        return union, sums

    def unions(self, right: Factors, more_right: Support, left: Factors, more_left: Support) -> Unions:
        """See Kernels."""
        use_threads(MERGING * (more_right.entries + right.entries + more_left.entries + left.entries))
        sizes: Int[np.ndarray, "2 n"] = np.empty((2, right.samples), np.int64)
        sides = (
            (factors.counts.numpy(), unsigned(factors.units), *support.lists)
            for factors, support in ((right, more_right), (left, more_left))
        )
        loops.size_unions(*sides, sizes)
        return Unions(*loops.add_up_unions(sizes))

    def insert(self, factors: Factors, support: Support, values: Float[torch.Tensor, " entries"]) -> None:
        """See Kernels."""
        use_threads((support.entries + factors.entries) * (MERGING + factors.vectors))
        vectors = *support.lists, values.numpy()
        arrays, before = (factors.counts.numpy(), unsigned(factors.units), factors.values.numpy()), factors.entries
        loops.insert(*arrays, factors.vectors, *vectors)
        factors.vectors, factors.entries = factors.vectors + 1, int(factors.counts.sum())
        if factors.entries != before:
            factors.kept = None

    def project(
        self, factors: Factors, support: Support, values: Float[torch.Tensor, "c entries"]
    ) -> Float[torch.Tensor, "samples t nc"]:
        """See Kernels. Only where a unit is in both supports, which is seldom."""
        outputs, samples = values.shape[0], support.samples
        out = values.new_empty(outputs * samples, factors.samples, factors.values.shape[2])
        use_threads(_meetings(factors, support) * outputs)
        vectors = *support.lists, values.numpy()
        factor_loops.project(
            *by_unit(factors), factors.values.shape[2], *vectors, out.view(outputs * samples, -1).numpy()
        )
        return out[:, :, : factors.vectors].permute(1, 2, 0)

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
        loops.spread(*_of_factors(factors), coefficients.contiguous().numpy(), out.numpy(), anew)

    def subtract_transposed(self, by_unit: Float[torch.Tensor, "m n"], out: Float[torch.Tensor, "n m"]) -> None:
        """See Kernels."""
        use_threads(out.numel())
        loops.subtract_transposed(by_unit.numpy(), out.numpy())

    def collect(
        self, factors: Factors, coefficients: Float[torch.Tensor, "samples t nc"], rows: Support
    ) -> Float[torch.Tensor, "c row_entries"]:
        """See Kernels. Likewise."""
        padding = factors.values.shape[2] - factors.vectors
        inner = torch.nn.functional.pad(coefficients.permute(2, 0, 1), (0, padding)).flatten(1)
        out = inner.new_empty(inner.shape[0] // rows.samples, rows.entries)
        use_threads(_meetings(factors, rows) * out.shape[0])
        places = rows.lists
        factor_loops.collect(*by_unit(factors), factors.values.shape[2], *places, inner.numpy(), out.numpy())
        return out

    def inner_products(
        self, support: Support, vectors: Sequence[Float[torch.Tensor, "_ entries"]], block: slice
    ) -> list[Float[torch.Tensor, "_ _"]]:
        """See Kernels. By meetings where samples have few; else those of two samples of the block are computed once."""
        length, products = block.stop - block.start, []
        lists, samples = support.lists, unsigned(support.sample_of_entry)
        meetings, count = np.empty((2, 0), np.uint32), -1
        if length == support.samples:
            most = min(MOST_MEETINGS, support.entries * support.samples // MEETING)
            meetings, count = meeting_loops.list_meetings(lists[1], support.width, most)
        for values in vectors:
            outputs = values.shape[0]
            out = values.new_empty(support.samples, outputs, length, outputs, dtype=torch.float64)
            if count >= 0:
                meeting_loops.inner_products_at(meetings[:, :count], lists[0], samples, values.numpy(), out.numpy())
            else:
                threads = use_threads(support.entries * length * outputs**2)
                places = support.width, block.start, block.stop, threads
                loops.inner_products(*lists, values.numpy(), *places, out.numpy())
            products.append(out.view(support.samples * outputs, length * outputs))
        return products

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
        longest = int(columns.counts.max()) if row_values.shape[1] > 1 and columns.entries else 0
        self._sums = table.new_empty(MOST_THREADS, longest).numpy()
        self._arguments = (
            order.offsets.numpy(),
            unsigned(order.entry),
            unsigned(rows.sample_of_entry),
            row_values.numpy(),
            *columns.lists,
            column_values.T.contiguous().numpy(),
            table.numpy(),
        )
        self._work = rows.pairs_with(columns) * row_values.shape[1]

    def apply(self) -> None:
        """See OuterUpdate."""
        threads = use_threads(self._work)
        loops.subtract_outer(*self._arguments, self._sums[:threads])

    def revert(self) -> None:
        """See OuterUpdate."""


FactorsByUnit = tuple[np.ndarray, np.ndarray, np.ndarray]


def by_unit(factors: Factors) -> FactorsByUnit:
    """Where entries of a unit begin, the entries as listed, and their vectors; one tuple as long as they are the same.

    Raises:
        ArgumentError: for more samples or numbers than an entry can tell apart.
    """
    if factors.kept is None:
        length = factors.values.shape[2]
        if factors.values.numel() >> factor_loops.LISTED or factors.samples >> 63 - factor_loops.LISTED:
            raise ArgumentError("X", "fewer samples: their updates do not fit the lists", str(factors.samples))
        order = np.zeros(factors.width + 1, np.int32), np.empty(factors.entries, np.uint64)
        factor_loops.order_by_unit(factors.counts.numpy(), unsigned(factors.units), length, *order)
        factors.kept = *order, factors.values.view(-1).numpy()
    found: FactorsByUnit = factors.kept
    return found


def _meetings(factors: Factors, support: Support) -> int:
    """About how many products there are where a support meets factors, if both are spread out evenly."""
    return support.entries * (1 + factors.entries // factors.width) * factors.vectors


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
