"""The oracle behind the contract: dense, float64, one line of mathematics a line of code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from reference import loss as losses
from reference import step as steps
from reference.contract import (
    LOSSES,
    METHODS,
    ArgumentError,
    Capabilities,
    Network,
    SolveError,
    SolveReport,
    StepReport,
    is_device_array,
    targets,
)
from reference.contract.arguments import array, dtype_name, number, one_of, trained
from reference.contract.shapes import Bool, Float, Real
from reference.forward import Trace, forward
from reference.gram import gram
from reference.initialization import random_network
from reference.jacobian import left_factors, right_factors, weighted_sum


def factory(
    network: Network, *, device: str = "cpu", dtype: str = "float64", trained_layers: Iterable[int] | None = None
) -> Reference:
    """Builds the oracle.

    Args:
        network: The initial network; its arrays are copied.
        device: "cpu".
        dtype: Accepted for the contract's sake; the oracle computes in float64 whatever is asked for.
        trained_layers: The numbers ℓ of the layers that steps train; None for all.

    Raises:
        ArgumentError: for another device, an unknown dtype, something that is not a Network, layers that it
            does not have.
    """
    if not isinstance(network, Network):
        raise ArgumentError("network", "a Network", type(network).__name__)
    if any(is_device_array(weight) for weight in network.weights):
        raise ArgumentError("network", "weights that NumPy can read", "weights on a device")
    one_of("device", str(device), ("cpu",))
    dtype_name("dtype", dtype)
    return Reference(network, trained("trained_layers", trained_layers, network.depth))


factory.capabilities = Capabilities(  # type: ignore[attr-defined]  # functions have attributes, but no type for them
    losses=LOSSES, readout_bias=True, trained_layers=True, initialization=True
)
factory.random_network = random_network  # type: ignore[attr-defined]  # likewise


class Reference:
    """The contract (reference.contract.Implementation), computed densely in float64."""

    def __init__(self, network: Network, trained_layers: tuple[int, ...]):
        self._network = _in_float64(network)
        self._trained = trained_layers

    def forward(self, X: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """See the contract."""
        return self._trace(X).outputs

    def active_sets(self, X: Real[np.ndarray, "n d"]) -> list[Bool[np.ndarray, "n _"]]:
        """See the contract."""
        return self._trace(X).masks

    def jacobian_factors(
        self, X: Real[np.ndarray, "n d"]
    ) -> list[tuple[Float[np.ndarray, "n c _"], Float[np.ndarray, "n _"]]]:
        """See the contract."""
        trace = self._trace(X)
        return list(zip(left_factors(self._network, trace), right_factors(trace), strict=True))

    def gradient(
        self, X: Real[np.ndarray, "n d"], y: Real[np.ndarray, " ..."], loss: str = "squared"
    ) -> list[Float[np.ndarray, "_ _"]]:
        """See the contract."""
        one_of("loss", loss, LOSSES)
        trace = self._trace(X)
        residual = losses.gradient(loss, trace.outputs, self._targets(y, trace, loss))
        return [
            weighted_sum(residual, g, h)
            for g, h in zip(left_factors(self._network, trace), right_factors(trace), strict=True)
        ]

    def gram(self, X: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "nc nc"]:
        """See the contract."""
        return self._gram(self._trace(X))

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
        """See the contract. Raises SolveError where a number overflows."""
        one_of("method", method, METHODS)
        one_of("loss", loss, LOSSES)
        learning_rate = number("learning_rate", learning_rate, 0.0)
        damping = number("damping", damping, 0.0)
        trace = self._trace(X)
        y = self._targets(y, trace, loss)

        r = losses.gradient(loss, trace.outputs, y)
        if method == "gauss_newton":
            H = losses.hessian(loss, trace.outputs, y)
            q = steps.gauss_newton(self._gram(trace), r, H, learning_rate, damping)
        else:
            q = steps.gradient_descent(r, learning_rate)
        left, right = left_factors(self._network, trace), right_factors(trace)
        moved = list(self._network.weights)
        for layer in self._trained:
            moved[layer - 1] = moved[layer - 1] - weighted_sum(q, left[layer - 1], right[layer - 1])

        if not all(np.isfinite(weight).all() for weight in moved):
            raise SolveError("step: expected finite new weights, got an overflow; the network is unchanged")
        self._network = replace(self._network, weights=moved)
        counts = tuple(mask.sum(axis=1) for mask in trace.masks)
        dead = np.flatnonzero(np.min(counts, axis=0) == 0)
        return StepReport(
            loss=losses.value(loss, trace.outputs, y),
            dead_samples=tuple(int(sample) for sample in dead),
            active_counts=counts,
            solver="least squares" if method == "gauss_newton" else "",
            solve=SolveReport() if method == "gauss_newton" else None,
        )

    def to_network(self) -> Network:
        """See the contract."""
        return _in_float64(self._network)

    def _trace(self, X: Any) -> Trace:
        samples = array("X", X, (None, self._network.widths[0]), "float64")
        return forward(self._network, samples.copy())  # h_0 is handed out; the caller's array is not

    def _gram(self, trace: Trace) -> Float[np.ndarray, "nc nc"]:
        left, right = left_factors(self._network, trace), right_factors(trace)
        return gram([left[layer - 1] for layer in self._trained], [right[layer - 1] for layer in self._trained])

    def _targets(self, y: Any, trace: Trace, loss: str) -> np.ndarray:
        return targets("y", y, trace.outputs.shape[0], trace.outputs.shape[1], "float64", loss)


def _in_float64(network: Network) -> Network:
    return Network(
        weights=[weight.astype(np.float64) for weight in network.weights],
        biases=None if network.biases is None else [bias.astype(np.float64) for bias in network.biases],
        readout=network.readout.astype(np.float64),
        activation=network.activation,
        readout_bias=None if network.readout_bias is None else network.readout_bias.astype(np.float64),
    )
