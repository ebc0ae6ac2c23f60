"""A layer whose certificates rest: a sample is screened again only when it has travelled, or D has drifted, too far."""

from __future__ import annotations

from dataclasses import replace

import torch

from impl.activation import LayerActivation
from impl.certified.anchors import LayerCounts
from impl.certified.bound import Bounds, Combination, limit_of
from impl.certified.compiled import CompiledAnchorKernels
from impl.certified.compiled_rows import Batch, Found, Units, change_of
from impl.certified.interface import RENEWAL, Activation
from impl.certified.layer import CertifiedLayer
from impl.certified.rest import LOOKS, Drift, RestArrays
from impl.kernels import Kernels
from impl.support import Support
from impl.weights import LazyWeights
from impl.work import WorkMeter
from reference.contract.shapes import Bool, Float, Int


class RestingLayer(CertifiedLayer):
    """See CertifiedLayer. It takes compiled kernels."""

    def __init__(
        self,
        layer: int,
        weights: LazyWeights,
        bias: Float[torch.Tensor, " fan_out"] | None,
        activation: LayerActivation,
        kernels: Kernels,
        anchor_kernels: CompiledAnchorKernels,
        room: int,
    ):
        super().__init__(layer, weights, bias, activation, kernels, anchor_kernels, room)
        self._rows_kernels = anchor_kernels.rows
        self._rest = RestArrays(self.arrays.fan_out, self.bias)
        self._drift = Drift(self.arrays.fan_out, anchor_kernels.rows, self.bias.device)
        self._epoch = self._drift.epoch

    @property
    def bytes(self) -> int:
        """See CertifiedLayer."""
        return super().bytes + self._rest.bytes

    def _find(
        self,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        counts: LayerCounts,
        work: WorkMeter,
    ) -> tuple[Activation, Int[torch.Tensor, " entries"]]:
        """See CertifiedLayer. Twice at most: samples that prove on the way not to rest are screened, and come again."""
        self._follow_drift()
        panel = self.weights.panel
        places, missing = self._anchor_kernels.locate(self.arrays, slots, support)
        screened = self._unrested(slots, missing)
        if panel is None:
            screened[:] = True
        found, todo = Found(slots.numel(), values), torch.ones_like(screened)
        while bool(todo.any()):
            chosen, bounds = (todo & screened).nonzero()[:, 0], None
            if chosen.numel():
                some, entries = support.only(chosen)
                self._rest.valid[slots[chosen]] = False
                bounds, some_places = self._screened(slots[chosen], some, values[entries], counts, work)
                places[entries] = some_places
            units, combination = self._units(work), self._combination(slots, support, values, places)
            batch = Batch(slots, support, values, places, combination)
            table = bounds.change if panel is None and bounds is not None else None
            change = change_of(panel, table, values, (self.arrays.fan_in, self.arrays.fan_out))
            self._rest.fit(self.arrays)
            self._rows_kernels.advance(self.arrays, self._rest, batch, units, change, screened, todo, found)
            if bounds is not None and panel is not None:
                self._set_to_rest(bounds, some, values[entries], some_places, units)
            screened = todo = found.stopped
        products = found.change_products
        work.count(self.layer, products, values.element_size() * products)
        return found.activation(self.arrays.fan_out), places

    def _follow_drift(self) -> None:
        """Where D is not what updates have made of it, nothing rests."""
        self._drift.follow(self.weights.state.low_rank)
        self._rest.fit(self.arrays)
        if self._drift.epoch != self._epoch:
            self._rest.valid[:] = False
            self._epoch = self._drift.epoch

    def _unrested(self, slots: Int[torch.Tensor, " n"], missing: Int[torch.Tensor, " n"]) -> Bool[torch.Tensor, " n"]:
        """Samples that are new, or have other columns, or rows due for a new order, or were looked at too often."""
        due = self.arrays.excess[slots] > RENEWAL * self.arrays.row_count[slots]
        due |= self._rest.looks[slots] > LOOKS * self.arrays.fan_out
        return ~self._rest.valid[slots] | ~self.anchors.begun(slots) | (missing > 0) | due

    def _units(self, work: WorkMeter) -> Units:
        low_rank = self.weights.state.low_rank
        magnitudes = self._magnitudes.of(low_rank, work, self.layer)
        limit = limit_of(self.activation.threshold, self._largest_bias, self.bias.dtype)
        drift, terms = (self._drift.sums, self._drift.largest), low_rank.longest_sum
        return Units(self.bias, magnitudes, *drift, terms, limit, self.activation.threshold)

    def _combination(
        self,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        places: Int[torch.Tensor, " entries"],
    ) -> Combination:
        terms = self.weights.state.low_rank.longest_sum
        return self._anchor_kernels.combine(self.arrays, slots, support, values, places, terms)

    def _set_to_rest(
        self,
        bounds: Bounds,
        support: Support,
        values: Float[torch.Tensor, " entries"],
        places: Int[torch.Tensor, " entries"],
        units: Units,
    ) -> None:
        """By the bounds of samples in which nothing but rows is not certified."""
        combination = self._combination(bounds.slots, support, values, places)  # a row reference may just have come
        bounds = replace(bounds, **combination._asdict())
        exact = self._anchor_kernels.exact(self.arrays, bounds)
        batch = Batch(bounds.slots, support, values, places, combination)
        self._rows_kernels.set_to_rest(self.arrays, self._rest, batch, units, exact, bounds.change)
