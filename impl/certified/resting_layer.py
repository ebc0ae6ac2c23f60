"""A layer whose certificates rest: a sample is screened again only when it has travelled, or D has drifted, too far."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from impl.activation import LayerActivation
from impl.certified.anchors import COPYING, LayerCounts
from impl.certified.bound import Bounds, limit_of
from impl.certified.collected import Collected, Totals
from impl.certified.compiled import CompiledAnchorKernels
from impl.certified.compiled_rows import Batch, Units
from impl.certified.course import Course
from impl.certified.interface import Activation
from impl.certified.layer import CertifiedLayer, LayerPass
from impl.certified.rest import Drift, RestArrays
from impl.kernels import Kernels
from impl.support import Support
from impl.weights import LazyWeights
from impl.weights.panels import Panel
from impl.work import WorkMeter
from reference.contract.shapes import Bool, Float, Int


class Screened(NamedTuple):
    """Samples that have been screened.

    Attributes:
        bounds: By which they were.
        batch: They, with their inputs.
        places: Of these among the columns.
    """

    bounds: Bounds
    batch: Batch
    places: Int[torch.Tensor, " entries"]


class RestingLayer(CertifiedLayer):
    """See CertifiedLayer. It takes compiled kernels, and a course (course.py) for the pass itself.

    Attributes:
        rest: What certificates rest on.
        units: What is known by unit; of the present course.
        panel: D as one panel, or None where it is more than that; of the present course.
        change: D h by unit, where D is no panel and samples have been screened.
    """

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
        self.rest = RestArrays(self.arrays.fan_out, self.bias)
        self._drift = Drift(anchor_kernels.rows, self.bias)
        self._epoch, self._counts = self._drift.epoch, LayerCounts()
        self.panel: tuple[Panel, ...] | None = None
        self.change: Float[torch.Tensor, "fan_out n"] | None = None
        self._alone = Course([self], None)

    @property
    def bytes(self) -> int:
        """See CertifiedLayer."""
        return super().bytes + self.rest.bytes

    @property
    def rests(self) -> bool:
        """Whether there is anything to rest: D must be one panel, as D h is taken unit by unit."""
        return self.weights.panel is not None

    def make_room(self, samples: int) -> None:
        """See CertifiedLayer."""
        super().make_room(samples)
        self.rest.fit(self.arrays)

    def forward(
        self,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        work: WorkMeter,
    ) -> LayerPass:
        """See CertifiedLayer."""
        return self._alone.run(slots, support, values, work, left=False)[0][0]

    def begin(self, work: WorkMeter) -> None:
        """At the beginning of a course: where D is not what updates have made of it, nothing rests."""
        self._follow_base()
        low_rank = self.weights.state.low_rank
        work.count(self.layer, self._drift.follow(low_rank), 0)
        self.rest.fit(self.arrays)
        if self._drift.epoch != self._epoch:
            self.rest.valid[:] = False
            self._epoch = self._drift.epoch
        self.panel, self.change, self._counts = self.weights.panel, None, LayerCounts()
        limit = limit_of(self.activation.threshold, self._largest_bias, self.bias.dtype)
        drift, terms = (self._drift.magnitudes, self._drift.sums, self._drift.largest), low_rank.longest_sum
        self.units = Units(self.bias, *drift, terms, limit, self.activation.threshold)

    def screen(
        self,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        stopped: Bool[np.ndarray, " n"],
        work: WorkMeter,
    ) -> Screened:
        """Screens the samples of a course that have stopped here; raises OutOfRoom."""
        chosen = torch.from_numpy(stopped.nonzero()[0])
        support, entries = support.only(chosen)
        slots, values = slots[chosen], values[entries]
        self.rest.valid[slots] = False
        bounds, places = self._screened(slots, support, values, self._counts, work)
        self.rest.fit(self.arrays)
        if self.panel is None:
            self.change = bounds.change
        return Screened(bounds, Batch(slots, support, values), places)

    def set_to_rest(self, screened: Screened) -> None:
        """By the bounds of samples in which nothing but rows is not certified."""
        bounds, batch, places = screened
        if self.panel is not None:
            inputs = batch.slots, batch.support, batch.values, places
            combination = self._anchor_kernels.combine(self.arrays, *inputs, self.units.terms)
            bounds = replace(bounds, **combination._asdict())  # for a row reference may just have come
            exact = self._anchor_kernels.exact(self.arrays, bounds)
            self._rows_kernels.set_to_rest(self.arrays, self.rest, batch, places, self.units, bounds, exact)

    def taken(self, slots: Int[torch.Tensor, " n"], inputs: Support, found: Collected, work: WorkMeter) -> LayerPass:
        """What a course leaves of this layer, once all samples are through."""
        totals = found.totals
        self._count(totals, work)
        activation = Activation(found.support, found.active, totals.live, totals.products, totals.moved)
        return self._pass(slots, inputs, activation, found.hidden, self._counts, work, totals.changes_back)

    def _row_magnitudes(self, work: WorkMeter) -> Float[torch.Tensor, " fan_out"]:
        """See CertifiedLayer. Drift has counted them."""
        work.count(self.layer, self._drift.follow(self.weights.state.low_rank), 0)
        return self._drift.magnitudes

    def _count(self, done: Totals, work: WorkMeter) -> None:
        """What was done within the samples' passes."""
        counts, width, size = self._counts, self.arrays.fan_out, self.bias.element_size()
        counts.screened += done.screened
        counts.anchors += done.references
        counts.appended += done.columns + done.rows
        anew = done.gathered * width
        counts.work += anew + 2 * done.columns * width + COPYING * done.copies
        products = anew + done.changes + 2 * done.columns * width
        moved = anew + 2 * done.references * width + done.changes + 3 * done.columns * width + 2 * done.copies
        work.count(self.layer, products, size * moved)
