"""Inner products of sparse vectors by a table of some of them, for kernels that have none of their own."""

from __future__ import annotations

import torch

from impl.kernels.interface import Kernels
from impl.support import Support
from reference.contract.shapes import Float


def inner_products_by_table(
    kernels: Kernels, support: Support, values: Float[torch.Tensor, "c entries"], block: slice
) -> Float[torch.Tensor, "nc block_c"]:
    """See Kernels.inner_products: all vectors against a dense table of those of the block."""
    outputs, samples, length = values.shape[0], support.samples, block.stop - block.start
    others, entries = support.between(block.start, block.stop)
    table = kernels.tabulate(others, values[:, entries].contiguous())
    products = torch.stack([kernels.gather(support, value, table) for value in values.double()], dim=1)
    return products.view(samples, outputs, outputs, length).transpose(2, 3).reshape(samples * outputs, -1)
