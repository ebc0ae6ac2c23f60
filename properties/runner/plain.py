"""The formulas of the method in the dtype under test, dense and without any thought for rounding.

Not an oracle: it says how far plain arithmetic of that dtype is from float64 at the element where an implementation
failed, so that a reader sees whether the number is hard or the implementation wrong.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.linalg

from reference import Reference
from reference import activation as phi
from reference import loss as losses
from reference.contract import LOSSES, Capabilities, Network, StepReport, targets
from reference.contract.arguments import array, number, one_of, trained
from reference.contract.shapes import Float
from reference.forward import Trace, forward
from reference.gram import gram_from_jacobian
from reference.jacobian import right_factors, weighted_sum


def factory(network: Network, *, device: str = "cpu", dtype: str = "float64", trained_layers: Any = None) -> Plain:
    """Builds it; the arguments are those of reference.factory."""
    one_of("device", str(device), ("cpu",))
    return Plain(network, dtype, trained("trained_layers", trained_layers, network.depth))


factory.capabilities = Capabilities(  # type: ignore[attr-defined]  # functions have attributes, but no type for them
    losses=LOSSES, readout_bias=True, trained_layers=True
)


class Plain(Reference):
    """The contract (reference.contract.Implementation), computed in its dtype throughout."""

    def __init__(self, network: Network, dtype: str, trained_layers: tuple[int, ...]):
        self._dtype, self._trained = dtype, trained_layers
        self._network = self._rounded(network)

    def jacobian_factors(self, X: Any) -> list[tuple[np.ndarray, np.ndarray]]:
        """See the contract."""
        trace = self._trace(X)
        return list(zip(self._left(trace), right_factors(trace), strict=True))

    def gradient(self, X: Any, y: Any, loss: str = "squared") -> list[np.ndarray]:
        """See the contract."""
        trace = self._trace(X)
        r = losses.gradient(loss, trace.outputs, self._targets(y, trace, loss))
        return [weighted_sum(r, g, h) for g, h in zip(self._left(trace), right_factors(trace), strict=True)]

    def to_network(self) -> Network:
        """See the contract."""
        return self._rounded(self._network)

    def step(
        self,
        X: Any,
        y: Any,
        *,
        method: str = "gauss_newton",
        loss: str = "squared",
        learning_rate: float = 1.0,
        damping: float = 1e-6,
    ) -> StepReport:
        """See the contract."""
        learning_rate, damping = number("learning_rate", learning_rate, 0.0), number("damping", damping, 0.0)
        trace = self._trace(X)
        r = losses.gradient(loss, trace.outputs, self._targets(y, trace, loss))
        q = r
        if method == "gauss_newton":
            H = scipy.linalg.block_diag(*losses.hessian(loss, trace.outputs, self._targets(y, trace, loss)))
            q = self._solved(H.astype(self._dtype), self._gram(trace), r.reshape(-1), damping).reshape(r.shape)
        left, right = self._left(trace), right_factors(trace)
        weights = list(self._network.weights)
        for layer in self._trained:
            weights[layer - 1] = weights[layer - 1] - weighted_sum(learning_rate * q, left[layer - 1], right[layer - 1])
        self._network = self._rounded(replace(self._network, weights=weights))
        counts = tuple(mask.sum(axis=1) for mask in trace.masks)
        dead = np.flatnonzero(np.min(counts, axis=0) == 0)
        value = losses.value(loss, trace.outputs, self._targets(y, trace, loss))
        return StepReport(value, dead_samples=tuple(int(sample) for sample in dead), active_counts=counts)

    def _trace(self, X: Any) -> Trace:
        return forward(self._network, array("X", X, (None, self._network.widths[0]), self._dtype).copy())

    def _left(self, trace: Trace) -> list[np.ndarray]:
        network = self._network
        slopes = [phi.derivative(network.activation, mask).astype(self._dtype)[:, None, :] for mask in trace.masks]
        factors = [slopes[-1] * network.readout]
        for layer in range(network.depth - 2, -1, -1):
            factors.insert(0, slopes[layer] * (factors[0] @ network.weights[layer + 1]))
        return factors

    def _solved(self, H: np.ndarray, G: np.ndarray, r: np.ndarray, damping: float) -> np.ndarray:
        """(H G + λI)⁻¹ r; without damping the solution of least norm within the range of H."""
        if damping > 0.0:
            return np.linalg.solve(H @ G + damping * np.eye(r.size, dtype=self._dtype), r)
        basis = scipy.linalg.orth(H)
        cutoff = r.size * float(np.finfo(self._dtype).eps)
        return basis @ np.linalg.lstsq(basis.T @ H @ G @ basis, basis.T @ r, rcond=cutoff)[0]

    def _gram(self, trace: Trace) -> Float[np.ndarray, "nc nc"]:
        left, right = self._left(trace), right_factors(trace)
        return gram_from_jacobian(
            [left[layer - 1] for layer in self._trained], [right[layer - 1] for layer in self._trained]
        )

    def _targets(self, y: Any, trace: Trace, loss: str) -> np.ndarray:
        return targets("y", y, trace.outputs.shape[0], trace.outputs.shape[1], self._dtype, loss)

    def _rounded(self, network: Network) -> Network:
        def numbers(value: np.ndarray) -> np.ndarray:
            return value.astype(self._dtype)

        return Network(
            [numbers(weight) for weight in network.weights],
            None if network.biases is None else [numbers(bias) for bias in network.biases],
            numbers(network.readout),
            network.activation,
            None if network.readout_bias is None else numbers(network.readout_bias),
        )
