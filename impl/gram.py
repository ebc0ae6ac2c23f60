"""The Gram matrix from sparse factors: n²·k per layer (reference/README.md, sections 2 and 4).

Sums are taken in float64: the rounding left in G is then that of its factors, G stays positive
semidefinite to 1e-16, and small dampings keep their meaning for float32 networks.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from impl.jacobian import JacobianFactors
from impl.kernels import Kernels
from impl.support import Support
from impl.work import WorkMeter, tensor_bytes
from reference.contract.arguments import affordable
from reference.contract.shapes import Float

# Bytes of the dense table of factors that is alive at a time; larger batches go through it in blocks.
TABLE_BYTES = 4 << 20

# On a CUDA device, where a launch takes longer than a table, and memory is no cache.
DEVICE_TABLE_BYTES = 512 << 20


def gram_matrix(factors: JacobianFactors, kernels: Kernels, work: WorkMeter) -> Float[torch.Tensor, "nc nc"]:
    """G[(i,o),(j,p)] = Σ_ℓ ⟨g_{i,o,ℓ}, g_{j,p,ℓ}⟩ · ⟨h_{i,ℓ−1}, h_{j,ℓ−1}⟩, in float64.

    Args:
        factors: Of the trained layers.
        kernels: The sparse products.
        work: Counts.

    Raises:
        ArgumentError: for so many samples that matrices of this size do not fit the memory.
    """
    affordable("X", 6 * 8 * factors.rows**2)  # G, its terms, and what the solve copies
    total = factors.left[0].new_zeros(factors.rows, factors.rows, dtype=torch.float64)
    for columns, block in _column_blocks(factors, kernels, work):
        total[:, columns] = block
    return total


def gram_product(
    factors: JacobianFactors, vector: Float[torch.Tensor, " nc"], kernels: Kernels, work: WorkMeter
) -> Float[torch.Tensor, " nc"]:
    """G v without keeping G: its columns are computed anew, n²·k, in blocks. For batches whose G does not fit.

    Args:
        factors: Of the trained layers.
        vector: v.
        kernels: The sparse products.
        work: Counts.
    """
    product = torch.zeros_like(vector)
    for columns, block in _column_blocks(factors, kernels, work):
        product += block @ vector[columns]
        work.count(0, block.numel(), tensor_bytes(block))
    return product


def _column_blocks(
    factors: JacobianFactors, kernels: Kernels, work: WorkMeter
) -> Iterator[tuple[slice, Float[torch.Tensor, "nc block"]]]:
    """G by groups of columns, those of as many samples as fit the table of their factors."""
    samples, outputs = factors.samples, factors.outputs
    widest = outputs * max(support.width for support in factors.supports)
    room = DEVICE_TABLE_BYTES if factors.left[0].is_cuda else TABLE_BYTES
    block = max(1, min(samples, room // 8 // widest))
    for begin in range(0, samples, block):
        end = min(begin + block, samples)
        total = factors.left[0].new_zeros(factors.rows, (end - begin) * outputs, dtype=torch.float64)
        rights: dict[int, torch.Tensor] = {}
        for layer, support in enumerate(factors.supports):
            # A support has the left factors of its layer and the right ones of the next: it is looked through once.
            sides = _sides(factors, layer)
            found = _inner_products(support, sides, slice(begin, end), kernels, work)
            if layer + 1 in sides:
                rights[layer + 1] = found.pop()
            if layer in sides:
                lefts = found.pop().view(samples, outputs, -1, outputs)
                total += (lefts * rights.pop(layer)[:, None, :, None]).view_as(total)
                work.count(layer, total.numel(), 3 * tensor_bytes(total))
        yield slice(begin * outputs, end * outputs), total


def _sides(factors: JacobianFactors, layer: int) -> dict[int, Float[torch.Tensor, "_ entries"]]:
    """What there is on the support of a layer, by the trained layer whose factors they are, left ones first."""
    sides = {}
    if layer in factors.trained:
        sides[layer] = factors.left[layer - 1]
    if layer + 1 in factors.trained:
        sides[layer + 1] = factors.hidden[layer][None]
    return sides


def _inner_products(
    support: Support,
    sides: dict[int, Float[torch.Tensor, "_ entries"]],
    block: slice,
    kernels: Kernels,
    work: WorkMeter,
) -> list[Float[torch.Tensor, "_ _"]]:
    """⟨v_{i,o}, v_{j,p}⟩ for all i and the samples j of a block, side by side."""
    found = kernels.inner_products(support, list(sides.values()), block) if sides else []
    for (layer, values), products in zip(sides.items(), found, strict=True):
        gathered = support.entries * values.shape[0] * products.shape[1]
        work.count(layer, gathered, values.element_size() * gathered + tensor_bytes(values, support.units, products))
    return found
