"""What compiled passes work on, as numpy has it; and the kernels by which certificates rest: see rest_loops.py."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from impl.certified import rest_loops
from impl.certified.arrays import AnchorArrays
from impl.certified.bound import Bounds
from impl.certified.rest import RestArrays
from impl.certified.views import CombinationViews, InputViews, RestViews, UnitViews, Views
from impl.kernels.compiled import unsigned, use_threads
from impl.support import Support
from reference.contract.shapes import Float, Int


@dataclass(frozen=True)
class Batch:
    """Some samples and their inputs.

    Attributes:
        slots: Of the samples.
        support: Active inputs.
        values: On them.
    """

    slots: Int[torch.Tensor, " n"]
    support: Support
    values: Float[torch.Tensor, " entries"]


@dataclass(frozen=True)
class Units:
    """What is known by unit.

    Attributes:
        bias: β.
        magnitudes: A.
        drift: Of D.
        largest_drift: No unit's is larger.
        terms: Of a sum, beside the columns.
        limit: Of bounds.
        threshold: τ.
    """

    bias: Float[torch.Tensor, " m"]
    magnitudes: Float[torch.Tensor, " m"]
    drift: Float[torch.Tensor, " m"]
    largest_drift: float
    terms: int
    limit: float
    threshold: float


class CompiledRowKernels:
    """What there is to do for certificates to rest, for tables on the CPU, in float32 or float64."""

    def set_to_rest(
        self,
        arrays: AnchorArrays,
        rest: RestArrays,
        batch: Batch,
        places: Int[torch.Tensor, " entries"],
        units: Units,
        bounds: Bounds,
        exact: Float[torch.Tensor, "n fan_out"],
    ) -> None:
        """Writes down by how much the units of samples that have just been screened are certified."""
        use_threads(exact.numel())
        inputs = batch.support.offsets.numpy(), batch.values.numpy(), unsigned(places)
        known = views_of(arrays), rest_views(rest), InputViews(batch.slots.numpy(), *inputs), unit_views(units)
        combination = CombinationViews(*(getattr(bounds, name).numpy() for name in CombinationViews._fields))
        rest_loops.set_to_rest(*known, combination, exact.numpy(), bounds.change.numpy())

    def add_drift(
        self,
        right: Support,
        right_values: Float[torch.Tensor, " right_entries"],
        before: tuple[Support, Float[torch.Tensor, " _"]] | None,
        after: tuple[Support, Float[torch.Tensor, " _"]],
        sums: Float[torch.Tensor, " fan_out"],
        rounded: Float[torch.Tensor, " fan_out"],
    ) -> float:
        """See DriftKernel."""
        support, values = after
        left = *support.lists, values.numpy()
        old = np.zeros_like(left[0]), left[1][:0], left[2][:0]
        if before is not None:
            old = *before[0].lists, before[1].numpy()
        rights = right.offsets.numpy(), right_values.numpy()
        return float(rest_loops.add_drift(rights, old, left, sums.numpy(), rounded.numpy()))


def views_of(arrays: AnchorArrays) -> Views:
    """The arrays as numpy has them."""
    if arrays.kept is None:
        taken = {name: getattr(arrays, name).numpy() for name in Views._fields if hasattr(arrays, name)}
        for name in ("rows", "columns"):
            taken[name] = taken[name].view(np.uint32)
        blocks = {name: getattr(arrays.blocks, name).numpy() for name in ("numbers", "offset", "lines", "stride")}
        arrays.kept = Views(**taken, **blocks)
    views: Views = arrays.kept
    return views


def rest_views(rest: RestArrays) -> RestViews:
    """Likewise."""
    if rest.kept is None:
        taken = {name: getattr(rest, name).numpy() for name in RestViews._fields}
        taken["near"] = taken["near"].view(np.uint32)
        rest.kept = RestViews(**taken)
    views: RestViews = rest.kept
    return views


def unit_views(units: Units) -> UnitViews:
    """Likewise."""
    arrays = units.bias.numpy(), units.magnitudes.numpy(), units.drift.numpy()
    number = arrays[0].dtype.type
    return UnitViews(*arrays, units.largest_drift, units.terms, number(units.limit), number(units.threshold))
