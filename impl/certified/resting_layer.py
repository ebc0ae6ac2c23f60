"""A layer whose certificates rest: a sample is screened again only when it has travelled, or D has drifted, too far."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from impl.activation import LayerActivation
from impl.certified.anchors import COPYING, LayerCounts
from impl.certified.bound import Bounds, limit_of
from impl.certified.compiled import CompiledAnchorKernels
from impl.certified.compiled_rows import Batch, Found, Units, change_views
from impl.certified.interface import Activation
from impl.certified.layer import CertifiedLayer
from impl.certified.rest import Drift, RestArrays
from impl.kernels import Kernels
from impl.support import Support
from impl.weights import LazyWeights
from impl.work import WorkMeter
from reference.contract.shapes import Float, Int


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
        below: CertifiedLayer | None,
    ):
        super().__init__(layer, weights, bias, activation, kernels, anchor_kernels, room, below)
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
        """See CertifiedLayer. First the samples that find what they need; then the others, which are screened."""
        self._follow_drift()
        panel, table, units = self.weights.panel, self.weights.table, self._units(work)
        batch = Batch(slots, support, values, torch.empty_like(support.units))
        found, everybody = Found(slots.numel(), values), np.ones(slots.numel(), np.bool_)
        known, advance = (self.arrays, self._rest, batch, units), self._rows_kernels.advance
        if panel is not None:
            change = change_views(panel, None, self.arrays)
            advance(*known, change, table, everybody, found, screened=False)
        stopped = found.stopped
        if stopped.any():
            bounds, some = self._screen(batch, torch.from_numpy(stopped.nonzero()[0]), counts, work)
            if panel is None:  # nothing rests, where D h is not taken unit by unit
                change = change_views(panel, bounds.change, self.arrays)
            advance(*known, change, table, stopped, found, screened=True)
            if panel is not None:
                self._set_to_rest(bounds, some, units)
        self._count(found, counts, work)
        return found.activation(self.arrays.fan_out), batch.places

    def _count(self, found: Found, counts: LayerCounts, work: WorkMeter) -> None:
        """What was done within the samples' passes."""
        done, width, size = found.done, self.arrays.fan_out, self.bias.element_size()
        counts.screened += done.screened
        counts.appended += done.columns + done.rows
        counts.work += 2 * done.columns * width + COPYING * done.copies
        products = done.changes + 2 * done.columns * width
        work.count(self.layer, products, size * (done.changes + 3 * done.columns * width + 2 * done.copies))

    def _follow_drift(self) -> None:
        """Where D is not what updates have made of it, nothing rests."""
        self._drift.follow(self.weights.state.low_rank)
        self._rest.fit(self.arrays)
        if self._drift.epoch != self._epoch:
            self._rest.valid[:] = False
            self._epoch = self._drift.epoch

    def _units(self, work: WorkMeter) -> Units:
        low_rank = self.weights.state.low_rank
        magnitudes = self._magnitudes.of(low_rank, work, self.layer)
        limit = limit_of(self.activation.threshold, self._largest_bias, self.bias.dtype)
        drift, terms = (self._drift.sums, self._drift.largest), low_rank.longest_sum
        return Units(self.bias, magnitudes, *drift, terms, limit, self.activation.threshold)

    def _screen(
        self, batch: Batch, chosen: Int[torch.Tensor, " some"], counts: LayerCounts, work: WorkMeter
    ) -> tuple[Bounds, Batch]:
        """Screens some samples of a batch."""
        slots = batch.slots[chosen]
        support, entries = batch.support.only(chosen)
        values = batch.values[entries]
        self._rest.valid[slots] = False
        bounds, places = self._screened(slots, support, values, counts, work)
        self._rest.fit(self.arrays)
        return bounds, Batch(slots, support, values, places)

    def _set_to_rest(self, bounds: Bounds, some: Batch, units: Units) -> None:
        """By the bounds of samples in which nothing but rows is not certified."""
        inputs = some.slots, some.support, some.values, some.places
        combination = self._anchor_kernels.combine(self.arrays, *inputs, units.terms)
        bounds = replace(bounds, **combination._asdict())  # for a row reference may just have come
        exact = self._anchor_kernels.exact(self.arrays, bounds)
        self._rows_kernels.set_to_rest(self.arrays, self._rest, some, units, bounds, exact)
