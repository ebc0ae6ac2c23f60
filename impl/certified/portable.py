"""The kernels of certified passes in plain torch, for every device: blocks are taken sample by sample."""

from __future__ import annotations

import torch

from impl.certified.arrays import AnchorArrays
from impl.certified.bound import Bounds, Combination, gamma, rounded_up
from impl.certified.interface import RENEWAL, Activation
from impl.support import Support
from reference.contract.shapes import Bool, Float, Int


class TorchAnchorKernels:
    """See AnchorKernels."""

    def product_and_squares(
        self, support: Support, values: Float[torch.Tensor, " entries"], table: Float[torch.Tensor, "fan_in fan_out"]
    ) -> tuple[Float[torch.Tensor, "n fan_out"], Float[torch.Tensor, "n fan_out"]]:
        """See AnchorKernels."""
        product = values.new_zeros(support.samples, table.shape[1])
        squares = torch.zeros_like(product)
        for sample, entries in _samples(support):
            columns = table[support.units[entries].long()]
            product[sample] = values[entries] @ columns
            squares[sample] = columns.square().sum(dim=0)
        return product, squares

    def locate(
        self, arrays: AnchorArrays, slots: Int[torch.Tensor, " n"], support: Support
    ) -> tuple[Int[torch.Tensor, " entries"], Int[torch.Tensor, " n"]]:
        """See AnchorKernels."""
        sample = support.sample_of_entry.long()
        places = arrays.column_place[slots[sample], support.units.long()]
        missing = torch.zeros_like(slots).index_add_(0, sample, (places < 0).long())
        return places, missing

    def append_columns(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        places: Int[torch.Tensor, " entries"],
        table: Float[torch.Tensor, "fan_in fan_out"],
    ) -> None:
        """See AnchorKernels."""
        limits = torch.finfo(table.dtype)
        for sample, entries in _samples(support):
            slot = int(slots[sample])
            new = (places[entries] < 0).nonzero()[:, 0] + entries.start
            begin, end = int(arrays.column_count[slot]), int(arrays.column_count[slot]) + new.numel()
            if begin == end:
                continue
            units = support.units[new].long()
            place = torch.arange(begin, end, device=units.device)
            places[new] = place.to(torch.int32)
            arrays.column_place[slot, units] = place.to(torch.int32)
            arrays.columns[slot, begin:end] = support.units[new]
            arrays.column_count[slot] = end
            columns = table[units]
            added = (arrays.norms[slot].square() + columns.square().sum(dim=0)) * (1 + 8 * new.numel() * limits.eps)
            arrays.norms[slot] = (added + (1 + new.numel()) * limits.tiny).sqrt() * (1 + 8 * limits.eps)
            rows = arrays.rows[slot, : int(arrays.row_count[slot])].long()
            arrays.blocks.view(slot)[begin:end, : rows.numel()] = columns[:, rows]

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
        dtype, most = values.dtype, int(arrays.column_count[slots].max())
        rounding = gamma(most + terms, dtype)
        known = arrays.references[slots].double()
        inputs = known.new_zeros(slots.numel(), known.shape[2])
        inputs[support.sample_of_entry.long(), places.long()] = values.double()
        norm = torch.linalg.vector_norm(inputs, dim=1)
        coefficients, references, distance = _least_squares(known[:, :-1], inputs, rounding**2, dtype)
        radius = rounded_up(distance + rounding * (norm + references + distance), dtype)
        row_coefficients, references, distance = _least_squares(known, inputs, rounding**2, dtype)
        row_radius = rounded_up(distance + rounding * (norm + references + distance), dtype)
        return Combination(coefficients, radius, row_coefficients, row_radius, rounded_up(2 * rounding * norm, dtype))

    def screen(self, arrays: AnchorArrays, bounds: Bounds) -> Int[torch.Tensor, " n"]:
        """See AnchorKernels."""
        slots, exact = bounds.slots, self.exact(arrays, bounds)
        place = arrays.row_place[slots].long()
        near = _uncertified(arrays, bounds, exact, bounds.radius)
        known = (place >= 0) & (place < arrays.known_count[slots][:, None])
        row_products = arrays.row_products[slots].gather(1, torch.where(known, place, 0))
        total = _beside_products(bounds) + _combination(bounds.row_coefficients[:, :-1], arrays.products[slots])
        row_exact = total + bounds.row_coefficients[:, -1:] * row_products
        live = near & (place >= 0) & ~(known & ~_uncertified(arrays, bounds, row_exact, bounds.row_radius))
        due = arrays.excess[slots] > RENEWAL * arrays.row_count[slots]
        arrays.live_count[slots] = torch.where(
            due, arrays.row_count[slots], torch.where(live, place + 1, 0).amax(dim=1)
        )
        return (near & (place < 0)).sum(dim=1)

    def exact(self, arrays: AnchorArrays, bounds: Bounds) -> Float[torch.Tensor, "n fan_out"]:
        """See AnchorKernels."""
        return _beside_products(bounds) + _combination(bounds.coefficients, arrays.products[bounds.slots])

    def radius_for(
        self,
        arrays: AnchorArrays,
        bounds: Bounds,
        exact: Float[torch.Tensor, "n fan_out"],
        target: Int[torch.Tensor, " n"],
    ) -> Float[torch.Tensor, " n"]:
        """See AnchorKernels."""
        norms = arrays.norms[bounds.slots]
        reached = torch.where(norms > 0, (bounds.limit - exact) / norms, float("inf")).sort(dim=1).values
        last = target.clamp(max=reached.shape[1])
        farthest = torch.where(reached.isfinite(), reached, bounds.radius[:, None]).amax(dim=1)
        chosen = torch.where(
            last < reached.shape[1], reached.gather(1, (last - 1).clamp(min=0)[:, None])[:, 0], farthest
        )
        return torch.maximum(bounds.radius, torch.minimum(chosen, farthest))

    def within(
        self,
        arrays: AnchorArrays,
        bounds: Bounds,
        exact: Float[torch.Tensor, "n fan_out"],
        radius: Float[torch.Tensor, " n"],
    ) -> Bool[torch.Tensor, "n fan_out"]:
        """See AnchorKernels."""
        return _uncertified(arrays, bounds, exact, radius) & (arrays.row_place[bounds.slots] < 0)

    def append_rows(
        self,
        arrays: AnchorArrays,
        bounds: Bounds,
        exact: Float[torch.Tensor, "n fan_out"],
        mask: Bool[torch.Tensor, "n fan_out"],
    ) -> None:
        """See AnchorKernels."""
        near = _uncertified(arrays, bounds, exact, bounds.radius)
        for sample, slot in enumerate(bounds.slots.tolist()):
            units = mask[sample].nonzero()[:, 0]
            if not units.numel():
                continue
            reached = _reached(arrays, bounds, slot, exact[sample], units)
            units = units[torch.where(near[sample, units], -float("inf"), reached).argsort(stable=True)]
            begin = int(arrays.row_count[slot])
            end = begin + units.numel()
            place = torch.arange(begin, end, device=units.device, dtype=torch.int32)
            arrays.rows[slot, begin:end] = units.to(torch.int32)
            arrays.row_place[slot, units] = place
            arrays.row_count[slot] = end
            live = torch.where(near[sample, units], place + 1, 0).max()
            arrays.live_count[slot] = torch.maximum(arrays.live_count[slot], live)

    def fill(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        columns: Support,
        first: Int[torch.Tensor, " n"],
        table: Float[torch.Tensor, "fan_in fan_out"],
    ) -> None:
        """See AnchorKernels."""
        for sample, entries in _samples(columns):
            slot, begin = int(slots[sample]), int(first[sample])
            rows = arrays.rows[slot, begin : int(arrays.row_count[slot])].long()
            lines = columns.units[entries].long()
            arrays.blocks.view(slot)[: lines.numel(), begin : begin + rows.numel()] = table[lines[:, None], rows]

    def activate(
        self,
        arrays: AnchorArrays,
        bounds: Bounds,
        support: Support,
        values: Float[torch.Tensor, " entries"],
        places: Int[torch.Tensor, " entries"],
        threshold: float,
    ) -> Activation:
        """See AnchorKernels."""
        slots, count = bounds.slots, arrays.live_count[bounds.slots]
        products = values.new_zeros(slots.numel(), arrays.rows.shape[1])
        for sample, entries in _samples(support):
            slot, computed = int(slots[sample]), int(count[sample])
            if computed:  # without rows there is no block either
                lines = arrays.blocks.view(slot)[places[entries].long(), :computed]
                products[sample, :computed] = values[entries] @ lines
        live = torch.arange(products.shape[1], device=products.device) < count[:, None]
        units = torch.where(live, arrays.rows[slots], 0).long()
        z = products - (bounds.change[units, bounds.samples[:, None]] - bounds.bias[units])
        above = live & (z > threshold)
        arrays.excess[slots] += (live & ~above).sum(dim=1)
        at, place = above.nonzero(as_tuple=True)
        positions, order = (at * arrays.fan_out + units[at, place]).sort()
        found = Support.of_positions(positions, slots.numel(), arrays.fan_out)
        active = z[at, place][order]

        due = (count == arrays.row_count[slots]) & (arrays.excess[slots] > RENEWAL * count)
        renewed = due & torch.where(live, z, 0.0).isfinite().all(dim=1)
        for sample, entries in _samples(support):
            if renewed[sample]:
                arrays.references[slots[sample], -1] = 0.0
                arrays.references[slots[sample], -1, places[entries].long()] = values[entries]
                _reorder(arrays, bounds, sample, products[sample], z[sample], above[sample])
        multiply_adds = count * support.counts
        moved = 2 * int((multiply_adds * renewed).sum())
        return Activation(found, active, int(count.sum()), int(multiply_adds.sum()), moved)

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
        out = values.new_zeros(values.shape[0], rows.entries)
        for (sample, below), (_, above) in zip(_samples(rows), _samples(columns), strict=True):
            slot = int(slots[sample])
            if above.start == above.stop:
                continue
            across = arrays.row_place[slot, columns.units[above].long()].long()
            block = arrays.blocks.view(slot)[places[below].long()[:, None], across]
            out[:, below] = values[:, above] @ block.T
        return out


def _least_squares(
    known: Float[torch.Tensor, "n q columns"],
    inputs: Float[torch.Tensor, "n columns"],
    ridge: float,
    dtype: torch.dtype,
) -> tuple[Float[torch.Tensor, "n q"], Float[torch.Tensor, " n"], Float[torch.Tensor, " n"]]:
    """Coefficients, and Σ_q |a_q|‖h^q‖ and ‖h − Σ_q a_q h^q‖ for them as rounded."""
    gram = known @ known.transpose(1, 2)
    squares = gram.diagonal(dim1=1, dim2=2)
    system = gram + torch.diag_embed(torch.where(squares > 0, ridge * squares, 1.0))
    right = (known @ inputs[:, :, None])[:, :, 0]
    coefficients = torch.linalg.lstsq(system, right[:, :, None]).solution[:, :, 0].to(dtype)
    rest = inputs - (coefficients.double()[:, None] @ known)[:, 0]
    references = (coefficients.double().abs() * squares.sqrt()).sum(dim=1)
    return coefficients, references, torch.linalg.vector_norm(rest, dim=1)


def _reorder(
    arrays: AnchorArrays,
    bounds: Bounds,
    sample: int,
    products: Float[torch.Tensor, " row_room"],
    z: Float[torch.Tensor, " row_room"],
    active: Bool[torch.Tensor, " row_room"],
) -> None:
    """Active rows first, by unit, and then the others, by how soon they may be active."""
    slot = int(bounds.slots[sample])
    rows = int(arrays.row_count[slot])
    arrays.excess[slot], arrays.known_count[slot] = 0, rows
    units = arrays.rows[slot, :rows].long()
    exact = z.new_zeros(arrays.fan_out)
    exact[units] = z[:rows]
    reached = torch.where(active[:rows], -float("inf"), _reached(arrays, bounds, slot, exact, units))
    by_unit = units.argsort()
    old = by_unit[reached[by_unit].argsort(stable=True)]
    arrays.rows[slot, :rows] = arrays.rows[slot, old]
    arrays.row_products[slot, :rows] = products[old]
    arrays.row_place[slot, units[old]] = torch.arange(rows, device=old.device, dtype=torch.int32)
    block = arrays.blocks.view(slot)
    block[:, :rows] = block[:, old]


def _beside_products(bounds: Bounds) -> Float[torch.Tensor, "n m"]:
    """A·looseness − (D h − β)."""
    change = bounds.change[:, bounds.samples].T - bounds.bias
    return bounds.magnitudes * bounds.looseness[:, None] - change


def _combination(
    coefficients: Float[torch.Tensor, "n q"], products: Float[torch.Tensor, "n q m"]
) -> Float[torch.Tensor, "n m"]:
    """Σ_q a_q W⁰h^q, where those without a coefficient do not count, whatever they are."""
    used = (coefficients != 0)[:, :, None]
    return torch.where(used, coefficients[:, :, None] * products, 0.0).sum(dim=1)


def _uncertified(
    arrays: AnchorArrays, bounds: Bounds, exact: Float[torch.Tensor, "n m"], radius: Float[torch.Tensor, " n"]
) -> Bool[torch.Tensor, "n m"]:
    """By sample and unit; not: what is not a number is not certified."""
    return ~(exact + arrays.norms[bounds.slots] * radius[:, None] <= bounds.limit)


def _reached(
    arrays: AnchorArrays,
    bounds: Bounds,
    slot: int,
    exact: Float[torch.Tensor, " m"],
    units: Int[torch.Tensor, " some"],
) -> Float[torch.Tensor, " some"]:
    """The radius at which a unit comes within reach."""
    norms, gap = arrays.norms[slot, units], bounds.limit - exact[units]
    return torch.where(norms > 0, gap / norms, gap)


def _samples(support: Support) -> list[tuple[int, slice]]:
    """The samples, with their entries."""
    offsets = support.offsets.tolist()
    return [(sample, slice(offsets[sample], offsets[sample + 1])) for sample in range(support.samples)]
