"""The forward pass by column gather: n·m·k per layer (reference/README.md, sections 1 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from impl.activation import LayerActivation
from impl.kernels import Kernels
from impl.readout import Readout
from impl.support import Support
from impl.weights import Weights
from impl.work import WorkMeter, tensor_bytes
from reference.contract import SolveError
from reference.contract.shapes import Float


@dataclass(frozen=True)
class Trace:
    """What a forward pass leaves for the rest of the iteration.

    Attributes:
        supports: Nonzero inputs, then the active units of layers 1 … L.
        hidden: On each support its values: h_0 = x, h_1, …, h_L.
        outputs: f, of shape (n, c).
    """

    supports: list[Support]
    hidden: list[Float[torch.Tensor, " _"]]
    outputs: Float[torch.Tensor, "n c"]


def gather_forward(
    X: Float[torch.Tensor, "n d"],
    weights: Sequence[Weights],
    biases: Sequence[Float[torch.Tensor, " _"]] | None,
    activations: Sequence[LayerActivation],
    readout: Readout,
    kernels: Kernels,
    work: WorkMeter,
) -> Trace:
    """Evaluates the network; every layer reads the columns of its weights that its active inputs name.

    Raises:
        SolveError: where a preactivation or an output overflows.
    """
    positions = X.view(-1).nonzero()[:, 0]
    supports, hidden = [Support.of_positions(positions, *X.shape)], [X.view(-1)[positions]]
    for layer, (weight, activation) in enumerate(zip(weights, activations, strict=True), start=1):
        z = weight.apply(supports[-1], hidden[-1], work)
        if biases is not None:
            z += biases[layer - 1]
        _check_finite(z, f"preactivations in layer {layer}")  # a NaN would pass for an inactive unit
        support, active = kernels.select(z, activation.threshold)
        supports.append(support)
        hidden.append(activation.value(active))
        work.count(layer, support.entries, tensor_bytes(z, support.units, active, hidden[-1]))
    outputs = readout.apply(supports[-1], hidden[-1], work)
    _check_finite(outputs, "outputs")
    return Trace(supports, hidden, outputs)


def _check_finite(values: Float[torch.Tensor, "n _"], what: str) -> None:
    # The sum of finite values may itself overflow; only then are they looked at one by one.
    if not torch.isfinite(values.sum()) and not torch.isfinite(values).all():
        raise SolveError(f"forward: expected finite {what}, got an overflow")
