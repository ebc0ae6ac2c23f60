"""Threshold, scale and bias of the forward pass."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch

from tests.planted.registry import NUMPY, ORACLE, TORCH, Module, plant


@plant("impl.kernels.portable", TORCH, killed_by="evaluation_is_exact_on_integers")
def tie_is_active(portable: Module) -> None:
    """A unit with z = τ counts as active: ≥ where the method says >."""

    def select(self: Any, dense: torch.Tensor, threshold: float) -> tuple[Any, torch.Tensor]:
        positions = (dense >= threshold).view(-1).nonzero()[:, 0]
        return portable.Support.of_positions(positions, *dense.shape), dense.view(-1)[positions]

    portable.TorchKernels.select = select


@plant("impl.activation", killed_by="active_sets_are_the_units_above_the_threshold")
def b_for_tau(activation: Module) -> None:
    """The threshold is b instead of τ = b·√(2/m)."""
    correct = activation.layer_activation

    def layer_activation(kind: Any, width: int, dtype: torch.dtype) -> Any:
        right = correct(kind, width, dtype)
        b = right.threshold / math.sqrt(2 / width)
        return replace(right, threshold=b, shift=b if right.shift else 0.0)

    activation.layer_activation = layer_activation


@plant("impl.implementation", killed_by="active_sets_are_the_units_above_the_threshold")
def threshold_of_the_layer_before(implementation: Module) -> None:
    """τ is computed with the width of the layer's input instead of its own."""
    network = implementation.SparseNetwork
    correct = network.__init__

    def init(self: Any, shell: Any, *arguments: Any) -> None:
        correct(self, shell, *arguments)
        self._activations = [
            replace(right, threshold=right.threshold * math.sqrt(own / before))
            for right, before, own in zip(self._activations, shell.widths, shell.widths[1:], strict=False)
        ]
        self._forward_pass.activations = self._activations

    network.__init__ = init


@plant("impl.activation", killed_by="outputs_match_the_oracle")
def shift_forgotten(activation: Module) -> None:
    """The shifted ReLU does not subtract τ: √c·z where z > τ."""
    activation.LayerActivation.value = lambda self, z: z * self.scale


@plant("impl.activation", killed_by="outputs_match_the_oracle")
def scale_forgotten_forward(activation: Module) -> None:
    """√c is missing in the hidden values, though not in the backward pass."""
    activation.LayerActivation.value = lambda self, z: z - self.shift


@plant("impl.activation", killed_by="outputs_match_the_oracle")
def scale_forgotten_everywhere(activation: Module) -> None:
    """√c is missing forward and backward, so that derivatives are consistent and wrong."""
    correct = activation.layer_activation
    activation.layer_activation = lambda *arguments: replace(correct(*arguments), scale=1.0)


@plant("impl.activation", killed_by="outputs_match_the_oracle")
def scale_of_the_other_activation(activation: Module) -> None:
    """The thresholded identity is scaled by the shifted ReLU's √c."""
    correct = activation._second_moment
    activation._second_moment = lambda kind, b: correct("shifted_relu", b)


@plant("impl.activation", killed_by="outputs_match_the_oracle")
def tail_without_its_density(activation: Module) -> None:
    """The second moment forgets the term b·p(b), which is small where b is."""
    correct = activation._second_moment

    def _second_moment(kind: str, b: float) -> float:
        density = math.exp(-b * b / 2) / math.sqrt(2 * math.pi)
        return correct(kind, b) + (b * density if kind == "shifted_relu" else -b * density)

    activation._second_moment = _second_moment


@plant("impl.activation", killed_by="active_sets_are_the_units_above_the_threshold")
def default_b_with_another_logarithm(activation: Module) -> None:
    """The default threshold takes log₂ m for ln m."""
    correct = activation.layer_activation

    def layer_activation(kind: Any, width: int, dtype: torch.dtype) -> Any:
        b = math.sqrt(0.4 * math.log2(width)) if kind.b is None else kind.b
        return correct(kind._replace(b=b), width, dtype)

    activation.layer_activation = layer_activation


@plant("impl.activation", killed_by="active_sets_are_the_units_above_the_threshold")
def negative_threshold_clipped(activation: Module) -> None:
    """A negative b is taken for 0, so that a network meant to be dense is a plain ReLU network."""
    correct = activation.layer_activation
    activation.layer_activation = lambda kind, *more: correct(
        kind._replace(b=None if kind.b is None else max(kind.b, 0.0)), *more
    )


@plant("impl.forward", killed_by="active_sets_are_the_units_above_the_threshold outputs_match_the_oracle")
def bias_forgotten_in_the_last_layer(forward: Module) -> None:
    """Biases are added in every layer but the last."""
    correct = forward.GatherForward.__init__

    def built(self: Any, weights: Any, biases: Any, *more: Any) -> None:
        cut = None if biases is None else [*biases[:-1], torch.zeros_like(biases[-1])]
        correct(self, weights, cut, *more)

    forward.GatherForward.__init__ = built


@plant("reference.jacobian", ORACLE, killed_by="jacobian_factors_match_the_oracle")
def bias_forgotten_backward(jacobian: Module) -> None:
    """The backward pass computes the masks anew, from preactivations without biases."""
    correct = jacobian.left_factors

    def left_factors(network: Any, trace: Any) -> Any:
        bare = [h @ weight.T for h, weight in zip(trace.hidden, network.weights, strict=False)]
        return correct(network, replace(trace, masks=[jacobian.phi.active(network.activation, z) for z in bare]))

    jacobian.left_factors = left_factors


@plant("impl.implementation", killed_by="outputs_match_the_oracle")
def readout_bias_forgotten(implementation: Module) -> None:
    """The readout bias is not added to the outputs."""
    correct = implementation.Readout
    implementation.Readout = lambda matrix, bias, kernels: correct(matrix, None, kernels)


@plant(
    "properties.examples.numpy_dense",
    NUMPY,
    killed_by="gauss_newton_step_matches_the_oracle gradient_descent_step_matches_the_oracle report_describes_the_step",
)
def readout_bias_left_out_of_the_residual(dense: Module) -> None:
    """Outputs have the readout bias; the residual of a step is taken without it."""
    correct = dense.DenseNetwork.step

    def step(self: Any, X: Any, y: Any, **options: Any) -> Any:
        bias = self._network.readout_bias
        try:
            return correct(
                self, X, y if bias is None else dense.targets("y", y, len(X), len(bias), "float64") + bias, **options
            )
        except TypeError:  # X without a length
            return correct(self, X, y, **options)

    dense.DenseNetwork.step = step
