"""A layer whose units are all screened at every pass: for kernels that work on every device."""

from __future__ import annotations

import torch

from impl.activation import LayerActivation
from impl.certified.anchors import LayerCounts
from impl.certified.interface import Activation, ScreeningKernels
from impl.certified.layer import CertifiedLayer
from impl.kernels import Kernels
from impl.support import Support
from impl.weights import LazyWeights
from impl.work import WorkMeter
from reference.contract.shapes import Float, Int


class ScreenedLayer(CertifiedLayer):
    """See CertifiedLayer."""

    def __init__(
        self,
        layer: int,
        weights: LazyWeights,
        bias: Float[torch.Tensor, " fan_out"] | None,
        activation: LayerActivation,
        kernels: Kernels,
        anchor_kernels: ScreeningKernels,
        room: int,
    ):
        super().__init__(layer, weights, bias, activation, kernels, anchor_kernels, room)
        self._kernels = anchor_kernels

    def _find(
        self,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        counts: LayerCounts,
        work: WorkMeter,
    ) -> tuple[Activation, Int[torch.Tensor, " entries"]]:
        """See CertifiedLayer."""
        bounds, places = self._screened(slots, support, values, counts, work)
        return self._kernels.activate(self.arrays, bounds, support, values, places, self.activation.threshold), places
