"""A layer whose units are all screened at every pass: for kernels that work on every device."""

from __future__ import annotations

import torch

from impl.certified.anchors import LayerCounts
from impl.certified.interface import Activation, ScreeningKernels
from impl.certified.layer import CertifiedLayer
from impl.support import Support
from impl.work import WorkMeter
from reference.contract.shapes import Float, Int


class ScreenedLayer(CertifiedLayer):
    """See CertifiedLayer."""

    _anchor_kernels: ScreeningKernels

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
        batch = support, values, places
        return self._anchor_kernels.activate(self.arrays, bounds, *batch, self.activation.threshold), places
