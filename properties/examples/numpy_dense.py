"""A dense implementation in NumPy, in the dtype that it is built with: the shortest honest one.

    python -m properties --impl properties.examples.numpy_dense:factory

From the project it takes plain data and checks of arguments (reference.contract), and no computation.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from reference.contract import METHODS, Activation, Capabilities, Network, StepReport, targets
from reference.contract.arguments import ArgumentError, SolveError, array, dtype_name, number, one_of
from reference.contract.shapes import Bool, Float, Real


def factory(network: Network, *, device: str = "cpu", dtype: str = "float32") -> DenseNetwork:
    """Builds the implementation; see the contract.

    Raises:
        ArgumentError: for something that is not a Network, another device, an unknown dtype, weights that overflow it.
    """
    if not isinstance(network, Network):
        raise ArgumentError("network", "a Network", type(network).__name__)
    one_of("device", str(device), ("cpu",))
    return DenseNetwork(network, dtype_name("dtype", dtype))


factory.capabilities = Capabilities(readout_bias=True)  # type: ignore[attr-defined]  # functions have no typed attributes


class DenseNetwork:
    """The contract (reference.contract.Implementation), every product dense."""

    def __init__(self, network: Network, dtype: str):
        self._network, self._dtype = _copy(network, dtype), dtype

    def forward(self, X: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """See the contract."""
        return self._trace(X)[2]

    def active_sets(self, X: Real[np.ndarray, "n d"]) -> list[Bool[np.ndarray, "n _"]]:
        """See the contract."""
        return self._trace(X)[1]

    def jacobian_factors(
        self, X: Real[np.ndarray, "n d"]
    ) -> list[tuple[Float[np.ndarray, "n c _"], Float[np.ndarray, "n _"]]]:
        """See the contract."""
        hidden, masks, _ = self._trace(X)
        return list(zip(self._left(masks), hidden[:-1], strict=True))

    def gradient(
        self, X: Real[np.ndarray, "n d"], y: Real[np.ndarray, " ..."], loss: str = "squared"
    ) -> list[Float[np.ndarray, "_ _"]]:
        """See the contract."""
        one_of("loss", loss, ("squared",))
        hidden, masks, f = self._trace(X)
        return _weighted_sums(f - targets("y", y, len(f), f.shape[1], self._dtype), self._left(masks), hidden)

    def gram(self, X: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "nc nc"]:
        """See the contract."""
        hidden, masks, _ = self._trace(X)
        return _gram(self._left(masks), hidden)

    def step(
        self,
        X: Real[np.ndarray, "n d"],
        y: Real[np.ndarray, " ..."],
        *,
        method: str = "gauss_newton",
        loss: str = "squared",
        learning_rate: float = 1.0,
        damping: float = 1e-6,
    ) -> StepReport:
        """See the contract. Nothing is written before everything is computed; an overflow is a SolveError."""
        one_of("method", method, METHODS)
        one_of("loss", loss, ("squared",))
        learning_rate = number("learning_rate", learning_rate, 0.0)
        damping = number("damping", damping, 0.0)
        hidden, masks, f = self._trace(X)
        r = f - targets("y", y, len(f), f.shape[1], self._dtype)
        left = self._left(masks)
        q = learning_rate * (r if method == "gradient_descent" else _solved(_gram(left, hidden), damping, r))
        changes = _weighted_sums(q, left, hidden)
        moved = [weight - change for weight, change in zip(self._network.weights, changes, strict=True)]
        if not all(np.isfinite(weight).all() for weight in moved):
            raise SolveError("step: expected finite new weights, got an overflow; the network is unchanged")
        self._network = replace(self._network, weights=moved)
        counts = tuple(mask.sum(axis=1) for mask in masks)
        dead = tuple(np.flatnonzero(np.min(counts, axis=0) == 0).tolist())
        return StepReport(0.5 * float(np.sum(r * r)), dead_samples=dead, active_counts=counts)

    def to_network(self) -> Network:
        """See the contract."""
        return _copy(self._network, self._dtype)

    def _trace(self, X: Any) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
        """h_0 … h_L; the masks of the hidden layers; f."""
        network = self._network
        hidden, masks = [array("X", X, (None, network.widths[0]), self._dtype).copy()], []
        for layer, weight in enumerate(network.weights):
            tau, gain = _constants(network.activation, len(weight))
            z = hidden[-1] @ weight.T + (0.0 if network.biases is None else network.biases[layer])
            if not np.isfinite(z).all():  # a NaN would pass for an inactive unit
                raise SolveError("forward: expected finite preactivations, got an overflow")
            shift = tau if network.activation.kind == "shifted_relu" else 0.0
            masks.append(z > tau)  # strictly: z = τ is inactive
            hidden.append(np.where(masks[-1], gain * (z - shift), 0.0))
        f = hidden[-1] @ network.readout.T + (0.0 if network.readout_bias is None else network.readout_bias)
        return hidden, masks, f

    def _left(self, masks: list[np.ndarray]) -> list[np.ndarray]:
        factors, behind = [], np.repeat(self._network.readout[None], len(masks[0]), axis=0)
        for weight, mask in reversed(list(zip(self._network.weights, masks, strict=True))):
            gain = _constants(self._network.activation, len(weight))[1]
            factors.append(np.where(mask[:, None, :], gain * behind, 0.0))
            behind = factors[-1] @ weight
        return factors[::-1]


def _copy(network: Network, dtype: str) -> Network:
    def own(name: str, value: np.ndarray) -> np.ndarray:
        return array(name, value, value.shape, dtype).copy()

    return Network(
        weights=[own("weights", weight) for weight in network.weights],
        biases=None if network.biases is None else [own("biases", bias) for bias in network.biases],
        readout=own("readout", network.readout),
        activation=network.activation,
        readout_bias=None if network.readout_bias is None else own("readout_bias", network.readout_bias),
    )


def _gram(left: list[np.ndarray], hidden: list[np.ndarray]) -> np.ndarray:
    c = left[0].shape[1]
    rows = [g.reshape(-1, g.shape[2]) for g in left]  # row i·c + o
    return sum((g @ g.T) * (h @ h.T).repeat(c, 0).repeat(c, 1) for g, h in zip(rows, hidden, strict=False))


def _weighted_sums(q: np.ndarray, left: list[np.ndarray], hidden: list[np.ndarray]) -> list[np.ndarray]:
    """Σ q g hᵀ, layer by layer."""
    return [np.einsum("io,ioa->ai", q, g) @ h for g, h in zip(left, hidden, strict=False)]


def _constants(activation: Activation, width: int) -> tuple[float, float]:
    """Threshold τ and scale √c of a layer (reference/README.md, section 1)."""
    b = math.sqrt(0.4 * math.log(width)) if activation.b is None else activation.b
    Q, p = math.erfc(b / math.sqrt(2)) / 2, math.exp(-b * b / 2) / math.sqrt(2 * math.pi)
    moment = (1 + b * b) * Q - b * p if activation.kind == "shifted_relu" else Q + b * p
    return b * math.sqrt(2 / width), math.sqrt(1 / (2 * moment))


def _solved(G: np.ndarray, damping: float, r: np.ndarray) -> np.ndarray:
    """(G + λI)⁻¹ r by least squares, which gives directions that vanish no step."""
    if not np.isfinite(G).all():
        raise SolveError("step: expected a finite Gram matrix, got an overflow; the network is unchanged")
    A = G + damping * np.eye(len(G), dtype=G.dtype)
    return np.linalg.lstsq(A, r.reshape(-1), rcond=len(G) * np.finfo(G.dtype).eps)[0].reshape(r.shape)
