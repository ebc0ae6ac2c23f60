"""Left factors: signs, scales, outputs, layers."""

from __future__ import annotations

from typing import Any

import torch

from tests.planted.registry import NUMPY, ORACLE, OURS, Module, plant


@plant("impl.weights.eager", killed_by="jacobian_factors_match_the_oracle gradient_matches_automatic_differentiation")
def flipped_sign(eager: Module) -> None:
    """The backward pass has a wrong sign: g_ℓ = −D W_{ℓ+1}ᵀ g_{ℓ+1}."""
    correct = eager.apply_table_transpose
    eager.apply_table_transpose = lambda *arguments: -correct(*arguments)


@plant("impl.backward", killed_by="jacobian_factors_match_the_oracle")
def scale_forgotten_backward(backward: Module) -> None:
    """√c is missing in the left factors of the last layer."""
    correct = backward.left_factors

    def left_factors(trace: Any, activations: Any, *more: Any) -> Any:
        factors = correct(trace, activations, *more)
        return [*factors[:-1], factors[-1] / activations[-1].scale]

    backward.left_factors = left_factors


@plant("impl.backward", killed_by="jacobian_factors_match_the_oracle")
def scale_of_the_layer_above(backward: Module) -> None:
    """The slope φ'(z_ℓ) is taken with the scale of layer ℓ + 1: wrong where widths differ and b is the default."""
    correct = backward.left_factors
    backward.left_factors = lambda trace, activations, *more: correct(trace, [*activations[1:], activations[-1]], *more)


@plant("impl.backward", killed_by="jacobian_factors_match_the_oracle")
def outputs_beyond_the_first_ignored(backward: Module) -> None:
    """The left factors of every output are those of the first."""
    correct = backward.left_factors
    backward.left_factors = lambda *arguments: [factor[:1].expand_as(factor) for factor in correct(*arguments)]


@plant("impl.weights.eager", killed_by="jacobian_factors_match_the_oracle")
def square_weights_not_transposed(eager: Module) -> None:
    """The backward product uses W for Wᵀ where the matrix is square, and so no shape gives it away."""
    correct = eager.apply_table_transpose

    def apply_table_transpose(layer: int, table: torch.Tensor, *more: Any) -> Any:
        return correct(layer, table.T.contiguous() if table.shape[0] == table.shape[1] else table, *more)

    eager.apply_table_transpose = apply_table_transpose


@plant("reference.jacobian", ORACLE, killed_by="jacobian_factors_match_the_oracle gradient_matches_the_oracle")
def last_mask_forgotten(jacobian: Module) -> None:
    """The derivative of the last layer's activation is √c at inactive units, too."""
    correct = jacobian.phi.derivative

    def left_factors(network: Any, trace: Any) -> Any:
        slopes = [correct(network.activation, mask)[:, None, :] for mask in trace.masks]
        factors = [slopes[-1].max() * network.readout[None].repeat(len(slopes[-1]), axis=0)]
        for layer in range(network.depth - 2, -1, -1):
            factors.insert(0, slopes[layer] * (factors[0] @ network.weights[layer + 1]))
        return factors

    jacobian.left_factors = left_factors


@plant("properties.examples.numpy_dense", NUMPY, killed_by="jacobian_factors_match_the_oracle")
def masks_in_the_wrong_order(dense: Module) -> None:
    """The backward pass meets the masks in forward order, wherever all widths are equal."""
    correct = dense.DenseNetwork._left

    def _left(self: Any, masks: list[Any]) -> Any:
        return correct(self, masks[::-1] if len({mask.shape for mask in masks}) == 1 else masks)

    dense.DenseNetwork._left = _left


@plant("impl.implementation", OURS, killed_by="gradient_matches_the_oracle")
def outputs_averaged_in_the_gradient(implementation: Module) -> None:
    """The gradient combines the outputs by their mean instead of their sum."""
    correct = implementation._combine
    implementation._combine = lambda q, *more: correct(q, *more) / q.shape[1]
