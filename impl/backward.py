"""The backward pass on the k × k supports: n·k² per layer (reference/README.md, sections 2 and 4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from impl.activation import LayerActivation
from impl.forward import Trace
from impl.readout import Readout
from impl.work import WorkMeter, tensor_bytes
from reference.contract.shapes import Float


def left_factors(
    trace: Trace,
    activations: Sequence[LayerActivation],
    readout: Readout,
    work: WorkMeter,
) -> list[Float[torch.Tensor, "c _"]]:
    """g_{i,o,ℓ} for layers ℓ = 1 … L, on the active units of the layer, which are all that it lives on."""
    if trace.left is not None:
        return trace.left.take(work)
    factors = [readout.columns(trace.supports[-1], work) * activations[-1].scale]
    for layer in range(len(activations) - 1, 0, -1):
        rows, columns = trace.supports[layer], trace.supports[layer + 1]
        left = trace.operators[layer].apply_transpose(rows, columns, factors[0], work)
        left *= activations[layer - 1].scale
        work.count(layer + 1, left.numel(), 2 * tensor_bytes(left))
        factors.insert(0, left)
    return factors
