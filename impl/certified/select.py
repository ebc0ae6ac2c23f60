"""The kernels of certified passes that go with those of everything else, and the layers that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch

from impl.activation import LayerActivation
from impl.certified.interface import AnchorKernels, ScreeningKernels
from impl.certified.layer import CertifiedLayer
from impl.kernels import Kernels
from impl.readout import Readout
from impl.weights import LazyWeights
from reference.contract.shapes import Float

if TYPE_CHECKING:
    from impl.certified.course import Course


def select_anchor_kernels(kernels: Kernels) -> AnchorKernels:
    """Compiled ones beside compiled kernels, and else those in torch."""
    if kernels.name == "compiled":
        from impl.certified.compiled import CompiledAnchorKernels  # numba takes a while to import

        return CompiledAnchorKernels()
    from impl.certified.portable import TorchAnchorKernels

    return TorchAnchorKernels()


def certified_layer(
    layer: int,
    weights: LazyWeights,
    bias: Float[torch.Tensor, " fan_out"] | None,
    activation: LayerActivation,
    kernels: Kernels,
    anchor_kernels: AnchorKernels,
    room: int,
    below: CertifiedLayer | None = None,
) -> CertifiedLayer:
    """A layer whose certificates rest where kernels are compiled, and else one that is screened at every pass.

    Args: see CertifiedLayer.
    """
    if kernels.name == "compiled":
        from impl.certified.compiled import CompiledAnchorKernels
        from impl.certified.resting_layer import RestingLayer

        compiled = cast("CompiledAnchorKernels", anchor_kernels)
        return RestingLayer(layer, weights, bias, activation, kernels, compiled, room, below)
    from impl.certified.screened_layer import ScreenedLayer

    screening = cast("ScreeningKernels", anchor_kernels)
    return ScreenedLayer(layer, weights, bias, activation, kernels, screening, room, below)


def certified_course(layers: Sequence[CertifiedLayer], readout: Readout | None) -> Course:
    """The course of samples through layers that rest."""
    from impl.certified.course import Course
    from impl.certified.resting_layer import RestingLayer

    return Course([layer for layer in layers if isinstance(layer, RestingLayer)], readout)
