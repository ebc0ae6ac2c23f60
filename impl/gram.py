"""The Gram matrix from sparse factors: n²·k per layer (reference/README.md, sections 2 and 4).

Sums are taken in float64: the rounding left in G is then that of its factors, G stays positive
semidefinite to 1e-16, and small dampings keep their meaning for float32 networks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from impl.kernels import Kernels
from impl.support import Support
from impl.work import WorkMeter, tensor_bytes
from reference.contract.arguments import affordable
from reference.contract.shapes import Float

# Bytes of the dense table of factors that is alive at a time; larger batches go through it in blocks.
TABLE_BYTES = 4 << 20


def gram_matrix(
    supports: Sequence[Support],
    hidden: Sequence[Float[torch.Tensor, " _"]],
    left: Sequence[Float[torch.Tensor, "c _"]],
    kernels: Kernels,
    work: WorkMeter,
) -> Float[torch.Tensor, "nc nc"]:
    """G[(i,o),(j,p)] = Σ_ℓ ⟨g_{i,o,ℓ}, g_{j,p,ℓ}⟩ · ⟨h_{i,ℓ−1}, h_{j,ℓ−1}⟩, in float64.

    Args:
        supports: Of the inputs and of layers 1 … L.
        hidden: h_0 … h_{L−1} at least, on their supports.
        left: g_1 … g_L, on the supports of layers 1 … L.
        kernels: The sparse products.
        work: Counts.

    Raises:
        ArgumentError: for so many samples that matrices of this size do not fit the memory.
    """
    outputs = left[0].shape[0]
    rows = supports[0].samples * outputs
    affordable("X", 6 * 8 * rows**2)  # G, its terms, and what the solve copies
    total = left[0].new_zeros(rows, rows, dtype=torch.float64)
    widest = outputs * max(support.width for support in supports)
    scratch = total.new_zeros(max(widest, min(widest * supports[0].samples, TABLE_BYTES // 8)))
    for layer in range(1, len(supports)):
        lefts = _inner_products(layer, supports[layer], left[layer - 1], kernels, scratch, work)
        rights = _inner_products(layer, supports[layer - 1], hidden[layer - 1][None], kernels, scratch, work)
        total += lefts * rights.repeat_interleave(outputs, 0).repeat_interleave(outputs, 1)
        work.count(layer, rows * rows, 3 * tensor_bytes(lefts))
    return total


def _inner_products(
    layer: int,
    support: Support,
    values: Float[torch.Tensor, "c entries"],
    kernels: Kernels,
    scratch: Float[torch.Tensor, " numbers"],
    work: WorkMeter,
) -> Float[torch.Tensor, "nc nc"]:
    """⟨v_{i,o}, v_{j,p}⟩ for all pairs of sparse vectors: each against a dense table of a block of them.

    `scratch`, which holds the table of as many samples as fit, is all zeros before and after.
    """
    values = values.double()
    outputs, samples = values.shape[0], support.samples
    products = values.new_empty(samples, outputs, samples, outputs)
    units, sample = support.units.long(), support.sample_of_entry
    block = min(samples, scratch.numel() // (support.width * outputs))
    table = scratch[: support.width * block * outputs].view(support.width, block, outputs)
    for begin in range(0, samples, block):
        end = min(begin + block, samples)
        entries = slice(int(support.offsets[begin]), int(support.offsets[end]))
        column = sample[entries].long() - begin
        table[units[entries], column] = values[:, entries].T
        for output in range(outputs):
            sums = kernels.gather(support, values[output], table.view(support.width, -1))
            products[:, output, begin:end] = sums.view(samples, block, outputs)[:, : end - begin]
        table[units[entries], column] = 0.0
    gathered = support.entries * outputs * samples * outputs
    work.count(layer, gathered, 8 * gathered + tensor_bytes(values, support.units, products))
    return products.view(samples * outputs, samples * outputs)
