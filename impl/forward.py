"""The forward pass by column gather: n·m·k per layer (reference/README.md, sections 1 and 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from impl.activation import LayerActivation
from impl.kernels import Kernels
from impl.readout import Readout
from impl.support import Support
from impl.weights import Weights
from impl.work import WorkMeter, tensor_bytes
from reference.contract import LayerCertificate, SolveError
from reference.contract.shapes import Bool, Float


class TransposedProduct(Protocol):
    """W_ℓᵀ, as far as the backward pass needs it."""

    def apply_transpose(
        self, rows: Support, columns: Support, values: Float[torch.Tensor, "c column_entries"], work: WorkMeter
    ) -> Float[torch.Tensor, "c row_entries"]:
        """See Weights."""


class LeftFactors(Protocol):
    """Left factors that are there already."""

    def take(self, work: WorkMeter) -> list[Float[torch.Tensor, "c _"]]:
        """g_{i,o,ℓ} for layers ℓ = 1 … L, on the active units; counts what they took."""


@dataclass(frozen=True)
class Trace:
    """What a forward pass leaves for the rest of the iteration.

    Attributes:
        supports: Nonzero inputs, then the active units of layers 1 … L.
        hidden: On each support its values: h_0 = x, h_1, …, h_L.
        outputs: f, of shape (n, c).
        operators: For every layer what the backward pass multiplies with.
        certificates: What was certified, layer by layer; empty where nothing was tried.
        notes: What was out of the ordinary.
        left: Left factors that the pass has taken with it, as it was told that they are wanted; or None.
    """

    supports: list[Support]
    hidden: list[Float[torch.Tensor, " _"]]
    outputs: Float[torch.Tensor, "n c"]
    operators: Sequence[TransposedProduct]
    certificates: tuple[LayerCertificate, ...] = ()
    notes: tuple[str, ...] = ()
    left: LeftFactors | None = None


class ForwardPass(Protocol):
    """A way to evaluate the network. All compute the same function."""

    def __call__(self, X: Float[torch.Tensor, "n d"], work: WorkMeter, *, left: bool = False) -> Trace:
        """Evaluates the network.

        Args:
            X: Samples.
            work: Counts.
            left: Whether left factors will be wanted: a pass may take them with it.

        Raises:
            SolveError: where a preactivation or an output overflows.
        """

    def settle(self, trace: Trace) -> tuple[str, ...]:
        """Takes account of a step that is about to be taken on a trace; evaluations without one leave no mark.

        Returns:
            What there is to say about it.
        """


class GatherForward:
    """See ForwardPass. Every layer reads the columns of its weights that its active inputs name.

    Args:
        weights: W_1 … W_L.
        biases: β_1 … β_L, or None.
        activations: Of the layers.
        readout: A.
        kernels: The sparse products.

    Attributes:
        notes: What every pass has to say.
    """

    def __init__(
        self,
        weights: Sequence[Weights],
        biases: Sequence[Float[torch.Tensor, " _"]] | None,
        activations: Sequence[LayerActivation],
        readout: Readout,
        kernels: Kernels,
    ):
        self.weights, self.activations, self.readout, self.kernels = weights, activations, readout, kernels
        self.biases: Sequence[Float[torch.Tensor, " _"] | None] = biases or [None] * len(weights)
        self.notes: tuple[str, ...] = ()

    def __call__(self, X: Float[torch.Tensor, "n d"], work: WorkMeter, *, left: bool = False) -> Trace:
        """See ForwardPass. Left factors are not taken."""
        support, values = nonzero_inputs(X)
        supports, hidden, overflow = [support], [values], Overflow()
        for layer, activation in enumerate(self.activations, start=1):
            support, active = self._layer(layer, supports[-1], hidden[-1], work, overflow)
            supports.append(support)
            hidden.append(activation.value(active))
        outputs = self.readout.apply(supports[-1], hidden[-1], work)
        overflow.look_at(outputs, "outputs")
        overflow.check()
        return Trace(supports, hidden, outputs, self.weights, notes=self.notes)

    def settle(self, trace: Trace) -> tuple[str, ...]:
        """See ForwardPass. There is nothing to account for."""
        return ()

    def layer(
        self, layer: int, support: Support, values: Float[torch.Tensor, " entries"], work: WorkMeter
    ) -> tuple[Support, Float[torch.Tensor, " active_entries"]]:
        """Active units of a layer and their preactivations, from those of the layer below.

        Raises:
            SolveError: where a preactivation overflows.
        """
        overflow = Overflow()
        above, active = self._layer(layer, support, values, work, overflow)
        overflow.check()
        return above, active

    def _layer(
        self,
        layer: int,
        support: Support,
        values: Float[torch.Tensor, " entries"],
        work: WorkMeter,
        overflow: Overflow,
    ) -> tuple[Support, Float[torch.Tensor, " active_entries"]]:
        z = self.weights[layer - 1].apply(support, values, work)
        bias = self.biases[layer - 1]
        if bias is not None:
            z += bias
        overflow.look_at(z, f"preactivations in layer {layer}")  # a NaN would pass for an inactive unit
        above, active = self.kernels.select(z, self.activations[layer - 1].threshold)
        work.count(layer, above.entries, tensor_bytes(z, above.units, active, active))
        return above, active


def nonzero_inputs(X: Float[torch.Tensor, "n d"]) -> tuple[Support, Float[torch.Tensor, " entries"]]:
    """h_0 = x where it is not zero."""
    positions = X.view(-1).nonzero()[:, 0]
    return Support.of_positions(positions, *X.shape), X.view(-1)[positions]


def check_finite(values: Float[torch.Tensor, "*shape"], what: str) -> None:
    """Raises SolveError where numbers overflowed."""
    overflow = Overflow()
    overflow.look_at(values, what)
    overflow.check()


class Overflow:
    """Finds numbers that overflowed: on the CPU at once; on a CUDA device by one wait for all that were looked at."""

    def __init__(self) -> None:
        self._finite: list[tuple[Bool[torch.Tensor, ""], str]] = []

    def look_at(self, values: Float[torch.Tensor, "*shape"], what: str) -> None:
        """Remembers whether values are finite; on the CPU raises as `check` does."""
        if values.is_cuda:
            self._finite.append((torch.isfinite(values).all(), what))
        # The sum of finite values may itself overflow; only then are they looked at one by one.
        elif not math.isfinite(values.sum()) and not torch.isfinite(values).all():
            raise _overflowed(what)

    def check(self) -> None:
        """Raises SolveError for the first that were not finite."""
        found = torch.stack([finite for finite, _ in self._finite]).tolist() if self._finite else []
        for finite, (_, what) in zip(found, self._finite, strict=True):
            if not finite:
                raise _overflowed(what)


def _overflowed(what: str) -> SolveError:
    return SolveError(f"forward: expected finite {what}, got an overflow")
