"""The oracle behind the contract: dense, float64, one line of mathematics a line of code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from reference import loss as losses
from reference import step as steps
from reference.contract import LOSSES, METHODS, ArgumentError, Network, SolveError, StepReport
from reference.contract.arguments import array, dtype_name, number, one_of, targets
from reference.contract.shapes import Bool, Float, Real
from reference.forward import Trace, forward
from reference.gram import gram
from reference.jacobian import left_factors, right_factors, weighted_sum


def factory(network: Network, *, device: str = "cpu", dtype: str = "float64") -> Reference:
    """Builds the oracle.

    Args:
        network: The initial network; its arrays are copied.
        device: "cpu".
        dtype: Accepted for the contract's sake; the oracle computes in float64 whatever is asked for.

    Raises:
        ArgumentError: for another device, an unknown dtype, something that is not a Network.
    """
    if not isinstance(network, Network):
        raise ArgumentError("network", "a Network", type(network).__name__)
    one_of("device", str(device), ("cpu",))
    dtype_name("dtype", dtype)
    return Reference(network)


class Reference:
    """The contract (reference.contract.Implementation), computed densely in float64."""

    def __init__(self, network: Network):
        self._network = _in_float64(network)

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
        residual = losses.squared_gradient(trace.outputs, self._targets(y, trace))
        return [
            weighted_sum(residual, g, h)
            for g, h in zip(left_factors(self._network, trace), right_factors(trace), strict=True)
        ]

    def gram(self, X: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "nc nc"]:
        """See the contract."""
        trace = self._trace(X)
        return gram(left_factors(self._network, trace), right_factors(trace))

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
        y = self._targets(y, trace)

        residual = losses.squared_gradient(trace.outputs, y)
        left, right = left_factors(self._network, trace), right_factors(trace)
        if method == "gauss_newton":
            q = steps.gauss_newton(gram(left, right), residual, learning_rate, damping)
        else:
            q = steps.gradient_descent(residual, learning_rate)
        moved = [
            weight - weighted_sum(q, g, h) for weight, g, h in zip(self._network.weights, left, right, strict=True)
        ]

        if not all(np.isfinite(weight).all() for weight in moved):
            raise SolveError("step: expected finite new weights, got an overflow; the network is unchanged")
        self._network = replace(self._network, weights=moved)
        counts = tuple(mask.sum(axis=1) for mask in trace.masks)
        dead = np.flatnonzero(np.min(counts, axis=0) == 0)
        return StepReport(
            loss=losses.squared(trace.outputs, y),
            dead_samples=tuple(int(sample) for sample in dead),
            active_counts=counts,
            solver="eigenvectors" if method == "gauss_newton" else "",
        )

    def to_network(self) -> Network:
        """See the contract."""
        return _in_float64(self._network)

    def _trace(self, X: Any) -> Trace:
        samples = array("X", X, (None, self._network.widths[0]), "float64")
        return forward(self._network, samples.copy())  # h_0 is handed out; the caller's array is not

    def _targets(self, y: Any, trace: Trace) -> np.ndarray:
        return targets("y", y, trace.outputs.shape[0], trace.outputs.shape[1], "float64")


def _in_float64(network: Network) -> Network:
    return Network(
        weights=[weight.astype(np.float64) for weight in network.weights],
        biases=None if network.biases is None else [bias.astype(np.float64) for bias in network.biases],
        readout=network.readout.astype(np.float64),
        activation=network.activation,
    )
