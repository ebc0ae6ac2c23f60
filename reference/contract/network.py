"""A network as plain data: numbers and names, nothing that computes (reference/README.md, section 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from reference.contract.arguments import ArgumentError, array, number, one_of
from reference.contract.device_array import is_device_array

ACTIVATIONS = ("shifted_relu", "thresholded_identity")

# Above 30 no unit of any sensible network fires, and the scale √c nears the end of float64 (1e99 at 30).
LOWEST_B, HIGHEST_B = -1e6, 30.0


class Activation(NamedTuple):
    """The name of an activation and its threshold parameter.

    Attributes:
        kind: "shifted_relu" or "thresholded_identity".
        b: The threshold in units of the initial standard deviation √(2/m_ℓ) of a weight; None stands
            for √(0.4·ln m_ℓ), layer by layer. With b = 0 the shifted ReLU is the plain ReLU.
    """

    kind: str = "shifted_relu"
    b: float | None = None


DEFAULT_ACTIVATION = Activation()


@dataclass(frozen=True, eq=False)
class Network:
    """Weights, biases, readout and activation of a fully connected network.

    Attributes:
        weights: W_1 … W_L, with W_ℓ of shape (m_ℓ, m_{ℓ−1}) and m_0 = d, the input dimension. They may also be arrays
            on a device (see DeviceArray): of these the shapes alone are checked here, their entries by the factory
            that takes them; one that computes on the host refuses them.
        biases: β_1 … β_L, with β_ℓ of shape (m_ℓ,), or None for a network without biases.
        readout: A, of shape (c, m_L). It is not trained.
        activation: An Activation, a pair (kind, b), or a kind alone.
        readout_bias: Added to the outputs, of shape (c,), or None. It is not trained.

    The arrays are kept as they are (float32 and float64 are not copied); whoever computes with them copies.

    Raises:
        ArgumentError: for shapes that do not chain, entries that are not finite, unknown activations.
    """

    weights: Sequence[np.ndarray]
    biases: Sequence[np.ndarray] | None = None
    readout: np.ndarray = None  # type: ignore[assignment]  # required, but biases come before it and may be left out
    activation: Activation = DEFAULT_ACTIVATION
    readout_bias: np.ndarray | None = None

    def __post_init__(self) -> None:
        if isinstance(self.weights, np.ndarray) or not isinstance(self.weights, Sequence) or not self.weights:
            raise ArgumentError(
                "weights", "a sequence of at least one matrix", f"{type(self.weights).__name__} {self.weights!r:.60}"
            )
        weights: list[np.ndarray] = []
        for layer, value in enumerate(self.weights, start=1):
            fan_in = weights[-1].shape[0] if weights else None
            weights.append(_matrix(f"weights[{layer - 1}] (layer {layer})", value, fan_in))
        readout = array("readout", self.readout, (None, weights[-1].shape[0]))
        biases = None
        if self.biases is not None:
            expected = f"a sequence of {len(weights)} vectors, one a layer"
            if not isinstance(self.biases, Sequence):
                raise ArgumentError("biases", expected, f"{type(self.biases).__name__} {self.biases!r:.60}")
            if len(self.biases) != len(weights):
                raise ArgumentError("biases", expected, f"{len(self.biases)}")
            biases = tuple(
                array(f"biases[{layer}] (layer {layer + 1})", value, (weights[layer].shape[0],))
                for layer, value in enumerate(self.biases)
            )
        object.__setattr__(self, "weights", tuple(weights))
        object.__setattr__(self, "readout", readout)
        object.__setattr__(self, "biases", biases)
        object.__setattr__(self, "activation", check_activation(self.activation))
        if self.readout_bias is not None:
            bias = array("readout_bias", self.readout_bias, (readout.shape[0],))
            object.__setattr__(self, "readout_bias", bias)

    @property
    def widths(self) -> tuple[int, ...]:
        """(d, m_1, …, m_L): the input dimension, then the width of every hidden layer."""
        return (self.weights[0].shape[1], *(weight.shape[0] for weight in self.weights))

    @property
    def depth(self) -> int:
        """L, the number of hidden layers."""
        return len(self.weights)

    @property
    def outputs(self) -> int:
        """c, the number of outputs."""
        return self.readout.shape[0]


def _matrix(argument: str, value: Any, fan_in: int | None) -> Any:
    """A matrix with so many columns; typed as NumPy's, as all but the factories for devices see no other."""
    if not is_device_array(value):
        return array(argument, value, (None, fan_in))
    shape = tuple(value.shape)
    if len(shape) != 2 or min(shape) < 1 or fan_in not in (None, shape[1]):
        raise ArgumentError(argument, f"shape (≥1, {'≥1' if fan_in is None else fan_in})", f"shape {shape}")
    return value


def check_activation(value: object) -> Activation:
    """Returns an Activation from itself, from a pair (kind, b), or from a kind alone."""
    if isinstance(value, str):
        value = Activation(value)
    if not isinstance(value, tuple) or len(value) != 2:
        raise ArgumentError("activation", "an Activation, a pair (kind, b) or a kind", repr(value))
    kind, b = value
    return Activation(
        one_of("activation.kind", kind, ACTIVATIONS),
        None if b is None else number("activation.b", b, LOWEST_B, HIGHEST_B),
    )
