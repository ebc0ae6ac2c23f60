"""Blocks of samples: the dense tables of a sketch are made for a few samples at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from impl.support import Support
from reference.contract.shapes import Int

# Bytes of one dense table; a few of this size are alive at a time. Up to 4 MiB they stay in the caches: on two cores
# TensorSRHT took 34 to 40 ms for 256 samples of width 8192 with 1 to 4 MiB, and 70 to 95 ms with 8 to 32.
TABLE_BYTES = 4 << 20


@dataclass(frozen=True, eq=False)
class Part:
    """The entries of a support that belong to some consecutive samples.

    Attributes:
        entries: Where they are among all entries.
        sample: For every entry its sample, counted from the first sample of the block.
        units: For every entry its unit.
    """

    entries: slice
    sample: Int[torch.Tensor, " part_entries"]
    units: Int[torch.Tensor, " part_entries"]


def sample_blocks(left: Support, right: Support, numbers: int) -> Iterator[tuple[slice, Part, Part]]:
    """Blocks of samples, each with its entries on both supports.

    Args:
        left: One support.
        right: Another, of the same samples.
        numbers: The float64 numbers of a table's row, that is for one sample.
    """
    length = max(1, TABLE_BYTES // (8 * numbers))
    for begin in range(0, left.samples, length):
        samples = slice(begin, min(begin + length, left.samples))
        yield samples, _part(left, samples), _part(right, samples)


def _part(support: Support, samples: slice) -> Part:
    entries = slice(*support.host_offsets[[samples.start, samples.stop]].tolist())
    sample = support.sample_of_entry[entries].long() - samples.start
    return Part(entries, sample, support.units[entries].long())
