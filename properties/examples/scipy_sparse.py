"""Hidden values and left factors as sparse matrices of SciPy; it declares that it can do less than the contract has.

    python -m properties --impl properties.examples.scipy_sparse:factory

One output, no biases, the shifted ReLU, gradient descent, neither Jacobian factors nor Gram matrix. From the project it
takes plain data and checks of arguments (reference.contract), and no computation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.sparse

from reference.contract import ArgumentError, Capabilities, Network, SolveError, StepReport, targets
from reference.contract.arguments import array, dtype_name, number, one_of
from reference.contract.shapes import Bool, Float, Real


def factory(network: Network, *, device: str = "cpu", dtype: str = "float32") -> SparseActivations:
    """Builds the implementation; see the contract.

    Raises:
        ArgumentError: for a network that it does not take, another device, an unknown dtype, weights that overflow it.
    """
    if not isinstance(network, Network):
        raise ArgumentError("network", "a Network", type(network).__name__)
    if network.biases is not None or network.readout_bias is not None or network.outputs != 1:
        raise ArgumentError("network", "one output and no biases", f"{network.outputs} outputs, or biases")
    one_of("activation", network.activation.kind, ("shifted_relu",))
    one_of("device", str(device), ("cpu",))
    return SparseActivations(network, dtype_name("dtype", dtype))


factory.capabilities = Capabilities(  # type: ignore[attr-defined]  # functions have attributes, but no type for them
    operations=("forward", "active_sets", "gradient", "step", "to_network"),
    activations=("shifted_relu",),
    methods=("gradient_descent",),
    biases=False,
    outputs=False,
)


class SparseActivations:
    """A part of the contract (reference.contract.Implementation): dense weights, sparse factors."""

    def __init__(self, network: Network, dtype: str):
        self._dtype, self._activation = dtype, network.activation
        self._weights = [array(f"weights[{i}]", W, W.shape, dtype).copy() for i, W in enumerate(network.weights)]
        self._readout = array("readout", network.readout, network.readout.shape, dtype).copy()
        self._constants = [_constants(network.activation.b, width) for width in network.widths[1:]]

    def forward(self, X: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """See the contract."""
        return self._trace(X)[2]

    def active_sets(self, X: Real[np.ndarray, "n d"]) -> list[Bool[np.ndarray, "n _"]]:
        """See the contract."""
        return [mask.toarray() for mask in self._trace(X)[1]]

    def gradient(
        self, X: Real[np.ndarray, "n d"], y: Real[np.ndarray, " ..."], loss: str = "squared"
    ) -> list[Float[np.ndarray, "_ _"]]:
        """See the contract."""
        one_of("loss", loss, ("squared",))
        hidden, masks, f = self._trace(X)
        return [
            part.toarray() for part in self._weighted_sums(f - targets("y", y, len(f), 1, self._dtype), hidden, masks)
        ]

    def step(
        self,
        X: Real[np.ndarray, "n d"],
        y: Real[np.ndarray, " ..."],
        *,
        method: str = "gradient_descent",
        loss: str = "squared",
        learning_rate: float = 1.0,
        damping: float = 1e-6,
    ) -> StepReport:
        """See the contract. Writes the elements that change; nothing before all are computed and finite."""
        one_of("method", method, ("gradient_descent",))
        one_of("loss", loss, ("squared",))
        learning_rate = number("learning_rate", learning_rate, 0.0)
        number("damping", damping, 0.0)
        hidden, masks, f = self._trace(X)
        r = f - targets("y", y, len(f), 1, self._dtype)
        changes = [part.tocoo() for part in self._weighted_sums(learning_rate * r, hidden, masks)]
        moved = [weight[part.row, part.col] - part.data for weight, part in zip(self._weights, changes, strict=True)]
        if not all(np.isfinite(values).all() for values in [r, *moved]):
            raise SolveError("step: expected finite new weights, got an overflow; the network is unchanged")
        for weight, part, values in zip(self._weights, changes, moved, strict=True):
            weight[part.row, part.col] = values
        counts = tuple(np.diff(mask.indptr) for mask in masks)
        dead = tuple(np.flatnonzero(np.min(counts, axis=0) == 0).tolist())
        return StepReport(0.5 * float(np.sum(r * r)), dead_samples=dead, active_counts=counts)

    def to_network(self) -> Network:
        """See the contract."""
        weights = [weight.copy() for weight in self._weights]
        return Network(weights=weights, readout=self._readout.copy(), activation=self._activation)

    def _trace(self, X: Any) -> tuple[list[scipy.sparse.csr_array], list[scipy.sparse.csr_array], np.ndarray]:
        """h_0 … h_L, (n, m_ℓ); the masks of the hidden layers; f."""
        samples = array("X", X, (None, self._weights[0].shape[1]), self._dtype)
        hidden, masks = [scipy.sparse.csr_array(samples)], []
        for weight, (tau, gain) in zip(self._weights, self._constants, strict=True):
            z = hidden[-1] @ weight.T
            if not np.isfinite(z).all():  # a NaN would pass for an inactive unit
                raise SolveError("forward: expected finite preactivations, got an overflow")
            masks.append(scipy.sparse.csr_array(z > tau))  # strictly: z = τ is inactive
            hidden.append(scipy.sparse.csr_array(masks[-1] * (gain * (z - tau))))
        return hidden, masks, hidden[-1] @ self._readout.T

    def _weighted_sums(
        self, q: np.ndarray, hidden: list[scipy.sparse.csr_array], masks: list[scipy.sparse.csr_array]
    ) -> list[scipy.sparse.csr_array]:
        """Σ_i q_i g_i h_iᵀ by layer: as sparse as the rows of units that some sample activates."""
        sums, behind = [], q * self._readout  # Σ_o q_o A_o, sample by sample
        for weight, mask, h, (_, gain) in reversed(
            list(zip(self._weights, masks, hidden, self._constants, strict=False))
        ):
            left = scipy.sparse.csr_array(mask * (gain * behind))
            sums.append(scipy.sparse.csr_array(left.T @ h))
            behind = left @ weight
        return sums[::-1]


def _constants(b: float | None, width: int) -> tuple[float, float]:
    """Threshold τ and scale √c of a layer (reference/README.md, section 1)."""
    b = math.sqrt(0.4 * math.log(width)) if b is None else b
    Q, p = math.erfc(b / math.sqrt(2)) / 2, math.exp(-b * b / 2) / math.sqrt(2 * math.pi)
    return b * math.sqrt(2 / width), math.sqrt(1 / (2 * ((1 + b * b) * Q - b * p)))
