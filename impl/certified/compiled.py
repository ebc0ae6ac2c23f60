"""The kernels of certified passes for CPUs, compiled by numba. As in impl/kernels/compiled.py, each output is summed by
one thread in a fixed order: results do not depend on the thread count.
"""

from __future__ import annotations

import numpy as np
import torch

from impl.certified import loops
from impl.certified.arrays import AnchorArrays
from impl.certified.bound import Screen
from impl.kernels.compiled import CACHE_LINE, unsigned, use_threads
from impl.support import Support, offsets_of
from reference.contract.shapes import Float, Int


class CompiledAnchorKernels:
    """See AnchorKernels. For tables on the CPU, in float32 or float64."""

    def product_and_squares(
        self, support: Support, values: Float[torch.Tensor, " entries"], table: Float[torch.Tensor, "fan_in fan_out"]
    ) -> tuple[Float[torch.Tensor, "n fan_out"], Float[torch.Tensor, "n fan_out"]]:
        """See AnchorKernels."""
        product = values.new_empty(support.samples, table.shape[1])
        squares = torch.empty_like(product)
        threads = use_threads(2 * support.entries * table.shape[1])
        arguments = support.offsets.numpy(), unsigned(support.units), values.numpy(), table.numpy()
        loops.product_and_squares(*arguments, product.numpy(), squares.numpy(), threads)
        return product, squares

    def locate(
        self, arrays: AnchorArrays, slots: Int[torch.Tensor, " n"], support: Support
    ) -> tuple[Int[torch.Tensor, " entries"], Int[torch.Tensor, " n"]]:
        """See AnchorKernels."""
        places, missing = torch.empty_like(support.units), torch.empty_like(slots)
        use_threads(support.entries)
        batch = slots.numpy(), support.offsets.numpy(), unsigned(support.units)
        loops.locate(arrays.column_place.numpy(), *batch, places.numpy(), missing.numpy())
        return places, missing

    def combine(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        places: Int[torch.Tensor, " entries"],
        ridge: float,
    ) -> tuple[Float[torch.Tensor, "n references"], Float[torch.Tensor, "n 3"]]:
        """See AnchorKernels."""
        coefficients = values.new_empty(support.samples, arrays.references.shape[1])
        sizes = values.new_empty(support.samples, 3, dtype=torch.float64)
        use_threads(arrays.references.shape[1] ** 2 * support.entries)
        loops.combine(
            arrays.references.numpy(),
            arrays.column_count.numpy(),
            slots.numpy(),
            support.offsets.numpy(),
            values.numpy(),
            unsigned(places),
            ridge,
            coefficients.numpy(),
            sizes.numpy(),
        )
        return coefficients, sizes

    def exact(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        coefficients: Float[torch.Tensor, "n references"],
        correction: Float[torch.Tensor, "n fan_out"],
        magnitudes: Float[torch.Tensor, " fan_out"],
        looseness: Float[torch.Tensor, " n"],
    ) -> Float[torch.Tensor, "n fan_out"]:
        """See AnchorKernels."""
        out = torch.empty_like(correction)
        use_threads(correction.numel())
        given = coefficients.numpy(), correction.numpy(), magnitudes.numpy(), looseness.numpy()
        loops.exact(arrays.products.numpy(), slots.numpy(), *given, out.numpy())
        return out

    def append_columns(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        places: Int[torch.Tensor, " entries"],
        table: Float[torch.Tensor, "fan_in fan_out"],
    ) -> None:
        """See AnchorKernels."""
        use_threads(support.entries * table.shape[1])
        loops.append_columns(
            arrays.column_place.numpy(),
            arrays.columns.numpy(),
            arrays.column_count.numpy(),
            arrays.norms.numpy(),
            *_blocks(arrays),
            unsigned(arrays.rows),
            arrays.row_count.numpy(),
            slots.numpy(),
            support.offsets.numpy(),
            unsigned(support.units),
            places.numpy(),
            table.numpy(),
        )

    def screen(
        self, arrays: AnchorArrays, screen: Screen, outer: Float[torch.Tensor, " n"]
    ) -> Int[torch.Tensor, "2 n"]:
        """See AnchorKernels."""
        counts = screen.slots.new_empty(2, screen.slots.numel())
        use_threads(screen.exact.numel())
        radii = screen.radius.numpy(), outer.numpy()
        loops.screen(*_bounds(arrays, screen), *radii, arrays.live_count.numpy(), counts.numpy())
        return counts

    def radius_for(self, arrays: AnchorArrays, screen: Screen, spread: float) -> Float[torch.Tensor, " n"]:
        """See AnchorKernels."""
        radius = torch.empty_like(screen.radius)
        use_threads(screen.exact.numel())
        loops.radius_for(*_bounds(arrays, screen), screen.radius.numpy(), spread, radius.numpy())
        return radius

    def append_rows(self, arrays: AnchorArrays, screen: Screen, radius: Float[torch.Tensor, " n"]) -> None:
        """See AnchorKernels."""
        use_threads(screen.exact.numel())
        lists = arrays.rows.numpy(), arrays.row_order.numpy(), arrays.row_count.numpy(), arrays.live_count.numpy()
        loops.append_rows(*_bounds(arrays, screen), radius.numpy(), *lists)

    def fill(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        columns: Support,
        first: Int[torch.Tensor, " n"],
        table: Float[torch.Tensor, "fan_in fan_out"],
    ) -> None:
        """See AnchorKernels."""
        order = columns.by_unit
        use_threads(columns.entries * arrays.rows.shape[1])
        loops.fill(
            *_blocks(arrays),
            unsigned(arrays.rows),
            arrays.row_count.numpy(),
            slots.numpy(),
            first.numpy(),
            columns.offsets.numpy(),
            order.offsets.numpy(),
            unsigned(order.entry),
            unsigned(columns.sample_of_entry),
            table.numpy(),
            table.shape[1] * table.element_size() // CACHE_LINE,
        )

    def evaluate(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        places: Int[torch.Tensor, " entries"],
        correction: Float[torch.Tensor, "n fan_out"],
    ) -> Float[torch.Tensor, "n row_room"]:
        """See AnchorKernels."""
        z = values.new_empty(slots.numel(), arrays.rows.shape[1])
        use_threads(support.entries * arrays.rows.shape[1])
        loops.evaluate(
            *_blocks(arrays),
            unsigned(arrays.rows),
            arrays.live_count.numpy(),
            slots.numpy(),
            support.offsets.numpy(),
            values.numpy(),
            unsigned(places),
            correction.numpy(),
            z.numpy(),
        )
        return z

    def select(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        z: Float[torch.Tensor, "n row_room"],
        threshold: float,
    ) -> tuple[Support, Float[torch.Tensor, " entries"]]:
        """See AnchorKernels."""
        array = z.numpy()
        limit = array.dtype.type(threshold)
        counts = torch.empty_like(slots)
        where = (
            unsigned(arrays.rows),
            arrays.row_order.numpy(),
            arrays.row_count.numpy(),
            arrays.live_count.numpy(),
            slots.numpy(),
        )
        use_threads(array.size)
        loops.count(array, limit, arrays.live_count.numpy(), slots.numpy(), counts.numpy())
        offsets = offsets_of(counts)
        entries = int(offsets[-1])
        samples, units, values = offsets.new_empty(entries), offsets.new_empty(entries), z.new_empty(entries)
        loops.list_active(array, limit, *where, offsets.numpy(), samples.numpy(), units.numpy(), values.numpy())
        return Support(offsets, samples, units, arrays.fan_out), values

    def apply_transpose(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        rows: Support,
        places: Int[torch.Tensor, " row_entries"],
        columns: Support,
        values: Float[torch.Tensor, "c column_entries"],
    ) -> Float[torch.Tensor, "c row_entries"]:
        """See AnchorKernels."""
        out = values.new_empty(values.shape[0], rows.entries)
        use_threads(rows.pairs_with(columns) * values.shape[0])
        loops.apply_transpose(
            *_blocks(arrays),
            arrays.row_place.numpy(),
            arrays.live_count.numpy(),
            slots.numpy(),
            rows.offsets.numpy(),
            unsigned(places),
            columns.offsets.numpy(),
            unsigned(columns.units),
            values.numpy(),
            out.numpy(),
        )
        return out


def _blocks(arrays: AnchorArrays) -> tuple[np.ndarray, ...]:
    return arrays.blocks.numbers.numpy(), arrays.blocks.offset.numpy(), arrays.blocks.stride.numpy()


def _bounds(arrays: AnchorArrays, screen: Screen) -> tuple[np.ndarray | float, ...]:
    exact = screen.exact.numpy()
    limit = exact.dtype.type(screen.limit)
    return arrays.norms.numpy(), arrays.row_place.numpy(), screen.slots.numpy(), exact, limit
