"""The Gram matrix: order, symmetry, layers, blocks, precision."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from tests.planted.registry import NUMPY, ORACLE, Module, plant

GRAM = "gram_matrix_matches_the_oracle"


@plant("impl.gram", killed_by=GRAM)
def outputs_before_samples(gram: Module) -> None:
    """Rows are ordered (o, i) instead of (i, o)."""
    correct = gram.gram_matrix

    def gram_matrix(factors: Any, *more: Any) -> torch.Tensor:
        order = torch.arange(factors.rows).view(factors.samples, factors.outputs).T.reshape(-1)
        return correct(factors, *more)[order][:, order]

    gram.gram_matrix = gram_matrix


@plant("impl.gram", killed_by=GRAM)
def one_triangle_only(gram: Module) -> None:
    """Only the lower triangle is filled: enough for a Cholesky factorization, which reads no other."""
    correct = gram.gram_matrix
    gram.gram_matrix = lambda *arguments: correct(*arguments).tril()


@plant("impl.gram", killed_by=GRAM)
def right_factors_of_the_layer_itself(gram: Module) -> None:
    """The Gram matrix takes h_ℓ for h_{ℓ−1}: n × n products, so that no shape gives it away."""
    blocks, products = gram._column_blocks, gram._inner_products

    def _column_blocks(factors: Any, *more: Any) -> Any:
        def _inner_products(support: Any, sides: dict[int, torch.Tensor], *rest: Any) -> list[torch.Tensor]:
            found = list(products(support, sides, *rest))
            for place, layer in enumerate(sides):
                own = factors.supports[layer]
                if own is not support:  # h_{ℓ−1}, on the support of the layer before
                    found[place] = products(own, {layer: factors.hidden[layer][None]}, *rest)[0]
            return found

        gram._inner_products = _inner_products
        yield from blocks(factors, *more)

    gram._column_blocks = _column_blocks


@plant("impl.gram", killed_by=GRAM)
def all_layers_in_the_gram_matrix(gram: Module) -> None:
    """The Gram matrix sums over all layers, also where only some are trained."""
    correct = gram.gram_matrix

    def gram_matrix(factors: Any, *more: Any) -> torch.Tensor:
        everywhere = dataclasses.replace(factors, trained=range(1, len(factors.supports)))
        matrix: torch.Tensor = correct(everywhere, *more)
        return matrix

    gram.gram_matrix = gram_matrix


@plant("impl.gram", killed_by=GRAM)
def outputs_do_not_interact(gram: Module) -> None:
    """Blocks between different outputs are left at zero."""
    correct = gram.gram_matrix

    def gram_matrix(factors: Any, *more: Any) -> torch.Tensor:
        output = torch.arange(factors.rows) % factors.outputs
        return correct(factors, *more) * (output[:, None] == output[None])

    gram.gram_matrix = gram_matrix


@plant("properties.examples.numpy_dense", NUMPY, killed_by=GRAM)
def right_products_repeated_in_turn(dense: Module) -> None:
    """⟨h_i, h_j⟩ is tiled over the outputs instead of repeated: right for one output, and for one sample."""

    def _gram(left: list[Any], hidden: list[Any]) -> Any:
        rows = [g.reshape(-1, g.shape[2]) for g in left]
        c = left[0].shape[1]
        return sum((g @ g.T) * np.tile(h @ h.T, (c, c)) for g, h in zip(rows, hidden, strict=False))

    dense._gram = _gram


@plant("impl.gram", killed_by="gram_matrix_of_a_wide_network_has_all_its_samples")
def last_sample_of_a_block_lost(gram: Module) -> None:
    """Where the samples go through the Gram matrix in blocks, the last one of a block is left out."""
    correct = gram._column_blocks

    def _column_blocks(factors: Any, *more: Any) -> Any:
        for columns, block in correct(factors, *more):
            if columns.stop < factors.rows:
                block[:, -factors.outputs :] = 0.0
            yield columns, block

    gram._column_blocks = _column_blocks


@plant("impl.gram", killed_by="gram_matrix_has_the_digits_of_float64")
def gram_in_float32(gram: Module) -> None:
    """Inner products of float32 factors are summed in float32, though float64 is promised."""
    correct = gram._inner_products

    def _inner_products(support: Any, sides: dict[int, torch.Tensor], *more: Any) -> list[torch.Tensor]:
        found = correct(support, sides, *more)
        exact = all(values.dtype == torch.float64 for values in sides.values())
        return found if exact else [products.float().double() for products in found]

    gram._inner_products = _inner_products


@plant("reference.gram", ORACLE, killed_by=GRAM)
def first_layer_forgotten(gram: Module) -> None:
    """The sum over the layers begins at the second, wherever there is one."""
    correct = gram.gram

    def summed(left: Any, right: Any) -> Any:
        return correct(left[1:], right[1:]) if len(left) > 1 else correct(left, right)

    gram.gram = summed


@plant("impl.gram", killed_by=GRAM)
def duplicates_collapsed(gram: Module) -> None:
    """Off its diagonal, a column that repeats an earlier one is zeroed, to keep the matrix regular."""
    correct = gram.gram_matrix

    def gram_matrix(*arguments: Any) -> torch.Tensor:
        total: torch.Tensor = correct(*arguments)
        for column in range(1, len(total)):
            if (total[:, :column] == total[:, column : column + 1]).all(dim=0).any():
                kept = total[column, column].clone()
                total[:, column], total[column] = 0.0, 0.0
                total[column, column] = kept
        return total

    gram.gram_matrix = gram_matrix
