"""A layer whose units are all screened at every pass: for kernels that work on every device."""

from __future__ import annotations

import torch

from impl.activation import LayerActivation
from impl.certified.anchors import LayerCounts
from impl.certified.interface import ScreeningKernels
from impl.certified.layer import CertifiedLayer, LayerPass
from impl.certified.row_magnitudes import RowMagnitudes
from impl.forward import check_finite
from impl.kernels import Kernels
from impl.support import Support
from impl.weights import LazyWeights
from impl.work import WorkMeter
from reference.contract.shapes import Float, Int


class ScreenedLayer(CertifiedLayer):
    """See CertifiedLayer."""

    _anchor_kernels: ScreeningKernels

    def __init__(
        self,
        layer: int,
        weights: LazyWeights,
        bias: Float[torch.Tensor, " fan_out"] | None,
        activation: LayerActivation,
        kernels: Kernels,
        anchor_kernels: ScreeningKernels,
        room: int,
        below: CertifiedLayer | None,
    ):
        super().__init__(layer, weights, bias, activation, kernels, anchor_kernels, room, below)
        self._magnitudes = RowMagnitudes(self.bias)

    def forward(
        self,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        work: WorkMeter,
    ) -> LayerPass:
        """See CertifiedLayer."""
        self._follow_base()
        counts = LayerCounts()
        bounds, places = self._screened(slots, support, values, counts, work)
        batch = support, values, places
        found = self._anchor_kernels.activate(self.arrays, bounds, *batch, self.activation.threshold)
        check_finite(found.values, f"preactivations in layer {self.layer}")
        return self._pass(slots, support, found, self.activation.value(found.values), counts, work)

    def _row_magnitudes(self, work: WorkMeter) -> Float[torch.Tensor, " fan_out"]:
        """See CertifiedLayer."""
        return self._magnitudes.of(self.weights.state.low_rank, work, self.layer)
