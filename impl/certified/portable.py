"""The kernels of certified passes in plain torch, for every device: blocks are taken sample by sample."""

from __future__ import annotations

import torch

from impl.certified.arrays import AnchorArrays
from impl.certified.bound import Screen
from impl.support import Support
from reference.contract.shapes import Float, Int


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
        ridge: float,
    ) -> tuple[Float[torch.Tensor, "n references"], Float[torch.Tensor, "n 3"]]:
        """See AnchorKernels."""
        known = arrays.references[slots].double()
        inputs = known.new_zeros(slots.numel(), known.shape[2])
        inputs[support.sample_of_entry.long(), places.long()] = values.double()
        gram = known @ known.transpose(1, 2)
        squares = gram.diagonal(dim1=1, dim2=2)
        system = gram + torch.diag_embed(torch.where(squares > 0, ridge * squares, 1.0))
        right = (known @ inputs[:, :, None])[:, :, 0]
        coefficients = torch.linalg.lstsq(system, right[:, :, None]).solution[:, :, 0].to(values.dtype)
        rest = inputs - (coefficients.double()[:, None] @ known)[:, 0]
        references = (coefficients.double().abs() * squares.sqrt()).sum(dim=1)
        return coefficients, torch.stack([inputs.square().sum(dim=1), references, rest.square().sum(dim=1)], dim=1)

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
        total = magnitudes * looseness[:, None] - correction
        for q in range(coefficients.shape[1]):
            used = (coefficients[:, q] != 0)[:, None]
            total += torch.where(used, coefficients[:, q, None] * arrays.products[slots, q], 0.0)
        return total

    def screen(
        self, arrays: AnchorArrays, screen: Screen, outer: Float[torch.Tensor, " n"]
    ) -> Int[torch.Tensor, "2 n"]:
        """See AnchorKernels."""
        place = arrays.row_place[screen.slots].long()
        near, far = _uncertified(arrays, screen, screen.radius), _uncertified(arrays, screen, outer)
        arrays.live_count[screen.slots] = torch.where(near, place + 1, 0).amax(dim=1)
        return torch.stack([(near & (place < 0)).sum(dim=1), (far & (place < 0)).sum(dim=1)])

    def radius_for(self, arrays: AnchorArrays, screen: Screen, spread: float) -> Float[torch.Tensor, " n"]:
        """See AnchorKernels."""
        norms = arrays.norms[screen.slots]
        reached = torch.where(norms > 0, (screen.limit - screen.exact) / norms, float("inf"))
        near = _uncertified(arrays, screen, screen.radius).sum(dim=1)
        target = ((near * spread).long() + 8).clamp(max=reached.shape[1] - 1)
        chosen = reached.sort(dim=1).values.gather(1, target[:, None])[:, 0]
        return torch.maximum(screen.radius, chosen)

    def append_rows(self, arrays: AnchorArrays, screen: Screen, radius: Float[torch.Tensor, " n"]) -> None:
        """See AnchorKernels."""
        new = _uncertified(arrays, screen, radius) & (arrays.row_place[screen.slots] < 0)
        for sample, slot in enumerate(screen.slots.tolist()):
            units = new[sample].nonzero()[:, 0]
            if not units.numel():
                continue
            norms, gap = arrays.norms[slot, units], screen.limit - screen.exact[sample, units]
            units = units[torch.where(norms > 0, gap / norms, gap).argsort()]
            begin = int(arrays.row_count[slot])
            end = begin + units.numel()
            arrays.rows[slot, begin:end] = units.to(torch.int32)
            arrays.row_place[slot, units] = torch.arange(begin, end, device=units.device, dtype=torch.int32)
            arrays.row_count[slot] = arrays.live_count[slot] = end
            arrays.row_order[slot, :end] = arrays.rows[slot, :end].argsort().to(torch.int32)

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
        z = values.new_zeros(slots.numel(), arrays.rows.shape[1])
        for sample, entries in _samples(support):
            slot = int(slots[sample])
            live = int(arrays.live_count[slot])
            if not live:  # such a sample has no block either
                continue
            lines = arrays.blocks.view(slot)[places[entries].long(), :live]
            z[sample, :live] = values[entries] @ lines - correction[sample, arrays.rows[slot, :live].long()]
        return z

    def select(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        z: Float[torch.Tensor, "n row_room"],
        threshold: float,
    ) -> tuple[Support, Float[torch.Tensor, " entries"]]:
        """See AnchorKernels."""
        live = torch.arange(z.shape[1], device=z.device) < arrays.live_count[slots][:, None]
        sample, place = (live & (z > threshold)).nonzero(as_tuple=True)
        positions, order = (sample * arrays.fan_out + arrays.rows[slots[sample], place].long()).sort()
        return Support.of_positions(positions, slots.numel(), arrays.fan_out), z[sample, place][order]

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


def _uncertified(arrays: AnchorArrays, screen: Screen, radius: Float[torch.Tensor, " n"]) -> torch.Tensor:
    """By sample and unit; not: what is not a number is not certified."""
    return ~(screen.exact + arrays.norms[screen.slots] * radius[:, None] <= screen.limit)


def _samples(support: Support) -> list[tuple[int, slice]]:
    """The samples, with their entries."""
    offsets = support.offsets.tolist()
    return [(sample, slice(offsets[sample], offsets[sample + 1])) for sample in range(support.samples)]
