"""What a step writes, and where."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from tests.planted.registry import NUMPY, ORACLE, TORCH, Module, plant

STEPS = "gradient_descent_step_matches_the_oracle gauss_newton_step_matches_the_oracle "
RUNS = "every_step_of_a_run_matches_the_oracle every_step_of_a_run_over_changing_batches_matches_the_oracle "


@plant("impl.implementation", killed_by=STEPS + "layers_are_updated_independently")
def forgotten_layer(implementation: Module) -> None:
    """A step updates every layer but the last."""
    correct = implementation._apply_all_or_none
    implementation._apply_all_or_none = lambda updates: correct(updates[:-1] if len(updates) > 1 else updates)


@plant("impl.implementation", killed_by=STEPS + "layers_are_updated_independently")
def untrained_layers_trained(implementation: Module) -> None:
    """The update ignores `trained_layers` wherever they begin with the first: it trains all up to the last of them."""
    network = implementation.SparseNetwork
    correct = network.__init__

    def init(self: Any, *arguments: Any) -> None:
        *most, trained = arguments
        correct(self, *most, tuple(range(1, max(trained) + 1)))

    network.__init__ = init


@plant("reference.implementation", ORACLE, killed_by=STEPS)
def factors_of_updated_weights(implementation: Module) -> None:
    """Layers are updated from the last to the first, each from left factors that already see the updates behind it."""
    correct = implementation.Reference.step

    def step(self: Any, X: Any, y: Any, **options: Any) -> Any:
        trained, before = self._trained, self._network
        report = correct(self, X, y, **options)
        if options.get("method") != "gradient_descent":
            return report
        self._network = before
        try:
            for layer in reversed(trained):
                self._trained = (layer,)
                correct(self, X, y, **options)
        finally:
            self._trained = trained
        return report

    implementation.Reference.step = step


@plant("impl.kernels.portable", TORCH, killed_by=STEPS)
def shared_positions_written_once(portable: Module) -> None:
    """Where two samples change the same weight, only the later change stays."""

    def apply(self: Any) -> None:
        for block, old in zip(portable._blocks(self._rows, self._columns), self._old, strict=True):
            change = torch.outer(self._row_values[block.rows], self._column_values[block.columns])
            self._flat[block.positions] = old - change

    portable.TorchUpdate.apply = apply


@plant("properties.examples.numpy_dense", NUMPY, killed_by=RUNS)
def update_accumulates(dense: Module) -> None:
    """Changes are added to those of the step before, as if gradients had not been zeroed."""
    step = dense.DenseNetwork.step

    def accumulating(self: Any, X: Any, y: Any, **options: Any) -> Any:
        before = self._network
        report = step(self, X, y, **options)
        last = getattr(self, "_last", None)
        self._last = [new - old for new, old in zip(self._network.weights, before.weights, strict=True)]
        if last is not None:
            moved = [weight + change for weight, change in zip(self._network.weights, last, strict=True)]
            self._network = replace(self._network, weights=moved)
        return report

    dense.DenseNetwork.step = accumulating


@plant("properties.examples.numpy_dense", NUMPY, killed_by=STEPS)
def readout_bias_trained(dense: Module) -> None:
    """The readout bias takes a step of gradient descent, too."""
    correct = dense.DenseNetwork.step

    def step(self: Any, X: Any, y: Any, **options: Any) -> Any:
        report = correct(self, X, y, **options)
        f = self._trace(X)[2]
        residual = f - dense.targets("y", y, len(f), f.shape[1], self._dtype)
        if self._network.readout_bias is not None:
            bias = self._network.readout_bias - 1e-3 * residual.sum(axis=0)
            self._network = replace(self._network, readout_bias=bias)
        return report

    dense.DenseNetwork.step = step


@plant("impl.implementation", killed_by=STEPS)
def outputs_averaged_in_the_update(implementation: Module) -> None:
    """The update takes the first output's left factor with the sum of all coefficients."""

    def _combine(q: torch.Tensor, left: torch.Tensor, trace: Any, layer: int, work: Any = None) -> torch.Tensor:
        sample = trace.supports[layer].sample_of_entry.long()
        return q.sum(dim=1)[sample] * left[0] if work is not None else (q.T[:, sample] * left).sum(dim=0)

    implementation._combine = _combine


@plant("impl.implementation", killed_by=STEPS + "doubling_the_learning_rate_doubles_the_update")
def update_clipped(implementation: Module) -> None:
    """Coefficients of a step are clipped to ±1, without a word."""
    correct = implementation._combine

    def _combine(q: torch.Tensor, left: Any, trace: Any, layer: int, work: Any = None) -> torch.Tensor:
        return correct(q if work is None else q.clamp(-1.0, 1.0), left, trace, layer, work)

    implementation._combine = _combine
