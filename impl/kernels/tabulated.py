"""Products of sparse vectors by way of dense tables by unit, for kernels that have nothing better.

A table has a row for each unit, and in it a number for each output and sample: products then take whole rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch

from impl.kernels.factors import Factors
from impl.kernels.interface import Kernels
from impl.support import Support
from reference.contract.shapes import Float

# Bytes of a table that is alive at a time; more outputs go through it in groups.
GROUP_BYTES = 4 << 20


class TabulatingKernels(Kernels, Protocol):
    """Kernels that work with such tables."""

    def tabulate(self, support: Support, values: Float[torch.Tensor, "c entries"]) -> Float[torch.Tensor, "m nc"]:
        """Values as a table: element [a, (o, i)] is that of output o at unit a of sample i, or 0.

        It is valid until the next one is made.
        """

    def contract(self, factors: Factors, table: Float[torch.Tensor, "m nc"]) -> Float[torch.Tensor, "samples t nc"]:
        """out[i, t] = Σ_a (t-th vector of sample i)[a] · table[a]."""

    def pick(self, by_unit: Float[torch.Tensor, "m nc"], rows: Support) -> Float[torch.Tensor, "c row_entries"]:
        """out[o, (i, a)] = by_unit[a, (o, i)]."""


def project_by_table(
    kernels: TabulatingKernels, factors: Factors, support: Support, values: Float[torch.Tensor, "c entries"]
) -> Float[torch.Tensor, "samples t nc"]:
    """See Kernels.project."""
    parts = [
        kernels.contract(factors, kernels.tabulate(support, values[group]))
        for group in _groups(values.shape[0], support.samples * factors.width * values.element_size())
    ]
    return torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]


def collect_by_table(
    kernels: TabulatingKernels, factors: Factors, coefficients: Float[torch.Tensor, "samples t nc"], rows: Support
) -> Float[torch.Tensor, "c row_entries"]:
    """See Kernels.collect."""
    samples, parts = rows.samples, []
    for group in _groups(coefficients.shape[2] // samples, samples * factors.width * coefficients.element_size()):
        some = coefficients[:, :, group.start * samples : group.stop * samples].contiguous()
        size = factors.width, some.shape[2]
        table = kernels.workspace.empty("by unit", *size, some.dtype, some.device)
        kernels.spread(factors, some, table, anew=True)
        parts.append(kernels.pick(table, rows))
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def inner_products_by_table(
    kernels: TabulatingKernels, support: Support, values: Float[torch.Tensor, "c entries"], block: slice
) -> Float[torch.Tensor, "nc block_c"]:
    """See Kernels.inner_products: all vectors against a dense table of those of the block."""
    outputs, samples, length = values.shape[0], support.samples, block.stop - block.start
    others, entries = support.between(block.start, block.stop)
    table = kernels.tabulate(others, values[:, entries].contiguous())
    products = torch.stack([kernels.gather(support, value, table) for value in values.double()], dim=1)
    return products.view(samples, outputs, outputs, length).transpose(2, 3).reshape(samples * outputs, -1)


def _groups(outputs: int, bytes_an_output: int) -> Iterator[slice]:
    """The outputs in groups whose tables are small enough."""
    group = max(1, GROUP_BYTES // bytes_an_output)
    return (slice(begin, min(begin + group, outputs)) for begin in range(0, outputs, group))
