"""The kernels of certified passes for CPUs, compiled by numba. As in impl/kernels/compiled.py, each output is summed by
one thread in a fixed order: results do not depend on the thread count.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from impl.certified import combine_loops, loops
from impl.certified.arrays import AnchorArrays
from impl.certified.bound import Bounds, Combination
from impl.certified.compiled_rows import CompiledRowKernels, views_of
from impl.certified.views import BoundViews
from impl.kernels.compiled import CACHE_LINE, unsigned, use_threads
from impl.support import Support
from reference.contract.shapes import Bool, Float, Int


class CompiledAnchorKernels:
    """See AnchorKernels. For tables on the CPU, in float32 or float64."""

    def __init__(self) -> None:
        self.rows = CompiledRowKernels()

    def product_and_squares(
        self, support: Support, values: Float[torch.Tensor, " entries"], table: Float[torch.Tensor, "fan_in fan_out"]
    ) -> tuple[Float[torch.Tensor, "n fan_out"], Float[torch.Tensor, "n fan_out"]]:
        """See AnchorKernels."""
        product = values.new_empty(support.samples, table.shape[1])
        squares = torch.empty_like(product)
        threads = use_threads(2 * support.entries * table.shape[1])
        arguments = *support.lists, values.numpy(), table.numpy()
        loops.product_and_squares(*arguments, product.numpy(), squares.numpy(), threads)
        return product, squares

    def locate(
        self, arrays: AnchorArrays, slots: Int[torch.Tensor, " n"], support: Support
    ) -> tuple[Int[torch.Tensor, " entries"], Int[torch.Tensor, " n"]]:
        """See AnchorKernels."""
        places, missing = torch.empty_like(support.units), torch.empty_like(slots)
        use_threads(support.entries)
        batch = slots.numpy(), *support.lists
        loops.locate(views_of(arrays), *batch, places.numpy(), missing.numpy())
        return places, missing

    def combine(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        places: Int[torch.Tensor, " entries"],
        terms: int,
    ) -> Combination:
        """See AnchorKernels."""
        samples, count = support.samples, arrays.references.shape[1]
        coefficients, row_coefficients = values.new_empty(samples, count - 1), values.new_empty(samples, count)
        radius, row_radius, looseness = (values.new_empty(samples) for _ in range(3))
        combination = Combination(coefficients, radius, row_coefficients, row_radius, looseness)
        use_threads(count**2 * support.entries)
        batch = slots.numpy(), support.offsets.numpy(), values.numpy(), unsigned(places)
        combine_loops.combine(views_of(arrays), *batch, terms, *(part.numpy() for part in combination))
        return combination

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
        batch = slots.numpy(), *support.lists
        loops.append_columns(views_of(arrays), *batch, places.numpy(), table.numpy())

    def screen(self, arrays: AnchorArrays, bounds: Bounds) -> Int[torch.Tensor, " n"]:
        """See AnchorKernels."""
        threads = use_threads(bounds.slots.numel() * arrays.fan_out)
        counts = bounds.slots.new_empty(threads, 2, bounds.slots.numel())
        loops.screen(views_of(arrays), _bound_views(bounds), counts.numpy())
        return counts[:, 0].sum(dim=0)

    def exact(self, arrays: AnchorArrays, bounds: Bounds) -> Float[torch.Tensor, "n fan_out"]:
        """See AnchorKernels."""
        out = bounds.change.new_empty(bounds.slots.numel(), arrays.fan_out)
        use_threads(out.numel())
        loops.exact(views_of(arrays), _bound_views(bounds), out.numpy())
        return out

    def radius_for(
        self,
        arrays: AnchorArrays,
        bounds: Bounds,
        exact: Float[torch.Tensor, "n fan_out"],
        target: Int[torch.Tensor, " n"],
    ) -> Float[torch.Tensor, " n"]:
        """See AnchorKernels."""
        radius = torch.empty_like(bounds.radius)
        use_threads(exact.numel())
        loops.radius_for(views_of(arrays), _bound_views(bounds), exact.numpy(), target.numpy(), radius.numpy())
        return radius

    def within(
        self,
        arrays: AnchorArrays,
        bounds: Bounds,
        exact: Float[torch.Tensor, "n fan_out"],
        radius: Float[torch.Tensor, " n"],
    ) -> Bool[torch.Tensor, "n fan_out"]:
        """See AnchorKernels."""
        mask = torch.empty_like(exact, dtype=torch.bool)
        use_threads(exact.numel())
        loops.within(views_of(arrays), _bound_views(bounds), exact.numpy(), radius.numpy(), mask.numpy())
        return mask

    def append_rows(
        self,
        arrays: AnchorArrays,
        bounds: Bounds,
        exact: Float[torch.Tensor, "n fan_out"],
        mask: Bool[torch.Tensor, "n fan_out"],
    ) -> None:
        """See AnchorKernels."""
        use_threads(exact.numel())
        loops.append_rows(views_of(arrays), _bound_views(bounds), exact.numpy(), mask.numpy())

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
        grouped = columns.offsets.numpy(), order.offsets.numpy(), unsigned(order.entry)
        lines = table.shape[1] * table.element_size() // CACHE_LINE
        batch = slots.numpy(), first.numpy()
        loops.fill(views_of(arrays), *batch, *grouped, unsigned(columns.sample_of_entry), table.numpy(), lines)

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
        above = *columns.lists, values.numpy()
        below = rows.offsets.numpy(), unsigned(places)
        loops.apply_transpose(views_of(arrays), slots.numpy(), *below, *above, out.numpy())
        return out


@lru_cache(maxsize=1)  # a layer's bounds go to one kernel after the other
def _bound_views(bounds: Bounds) -> BoundViews:
    arrays = {name: getattr(bounds, name).numpy() for name in BoundViews._fields[:-1]}
    return BoundViews(**arrays, limit=arrays["change"].dtype.type(bounds.limit))
