"""Memory shared with the caller."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tests.planted.registry import NUMPY, ORACLE, OURS, Module, plant

CALLER = "arrays_of_the_caller_are_neither_written_nor_kept "
RETURNED = "evaluating_changes_nothing overwriting_returned_arrays_changes_nothing "


@plant("reference.implementation", ORACLE, killed_by=CALLER)
def weights_of_the_caller_kept(implementation: Module) -> None:
    """The network's arrays are kept instead of copied, where they are in float64."""

    def _in_float64(network: Any) -> Any:
        return implementation.Network(
            weights=[np.asarray(weight, np.float64) for weight in network.weights],
            biases=None if network.biases is None else [np.asarray(bias, np.float64) for bias in network.biases],
            readout=np.asarray(network.readout, np.float64),
            activation=network.activation,
            readout_bias=network.readout_bias,
        )

    implementation._in_float64 = _in_float64


@plant("impl.shell", OURS, killed_by=CALLER)
def readout_of_the_caller_kept(shell: Module) -> None:
    """`to_network` copies the readout that was handed in, as it is by then."""
    correct = shell.Shell.of

    def of(network: Any, dtype: str) -> Any:
        return replace(correct(network, dtype), readout=np.asarray(network.readout, dtype))

    shell.Shell.of = of


@plant("impl.weights.eager", OURS, killed_by=RETURNED)
def returned_weights_are_the_table(eager: Module) -> None:
    """`to_network` returns a view of the weights instead of a copy."""
    eager.EagerWeights.materialize = lambda self: self.table.T.numpy()


@plant("properties.examples.numpy_dense", NUMPY, killed_by=CALLER)
def targets_overwritten(dense: Module) -> None:
    """The residual is computed in place, in the caller's y."""
    correct = dense.DenseNetwork.step

    def step(self: Any, X: Any, y: Any, **options: Any) -> Any:
        report = correct(self, X, y, **options)
        if isinstance(y, np.ndarray) and y.dtype == self._dtype and y.flags.writeable:
            y -= self._trace(X)[2]
        return report

    dense.DenseNetwork.step = step


@plant("properties.examples.numpy_dense", NUMPY, killed_by=RETURNED + CALLER)
def samples_returned_as_factors(dense: Module) -> None:
    """The first right factor is the caller's X itself, without a copy."""
    correct = dense.DenseNetwork._trace

    def _trace(self: Any, X: Any) -> Any:
        hidden, masks, f = correct(self, X)
        if isinstance(X, np.ndarray) and X.dtype == self._dtype and X.flags.c_contiguous:
            hidden[0] = X
        return hidden, masks, f

    dense.DenseNetwork._trace = _trace


@plant("properties.examples.numpy_dense", NUMPY, killed_by="returned_outputs_survive_the_next_evaluation")
def outputs_in_a_reused_buffer(dense: Module) -> None:
    """`forward` returns a buffer that the next call of the same shape writes again."""
    correct = dense.DenseNetwork.forward
    buffers: dict[tuple[int, ...], np.ndarray] = {}

    def forward(self: Any, X: Any) -> np.ndarray:
        f = correct(self, X)
        buffer = buffers.setdefault(f.shape, np.empty(f.shape, f.dtype))
        buffer[...] = f
        return buffer

    dense.DenseNetwork.forward = forward
