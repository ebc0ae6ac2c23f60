"""Which units may soon be active: the layer above covers them before they are, and is not screened again when they are.

A new active input is no column of a sample that was anchored without it. It would have to become one, which takes a row
of the table, and the sample would have to be screened, as ρ grows. Most of them could have been foreseen: rows are
ordered by how soon they may be active.
"""

from __future__ import annotations

import torch

from impl.certified.arrays import AnchorArrays
from impl.support import Support
from reference.contract.shapes import Int

# So many units are foreseen, as a part of those that are active. A quarter of the inputs that come later are then not
# among the columns (measured).
AHEAD = 1 / 16


def soon_active(arrays: AnchorArrays, slots: Int[torch.Tensor, " n"], active: Int[torch.Tensor, " n"]) -> Support:
    """The rows that come after those that were not certified, some for every sample.

    Args:
        arrays: Of the layer.
        slots: Of the samples; one without rows gets none.
        active: How many units are active.
    """
    begin = arrays.live_count[slots]
    end = torch.minimum(begin + (AHEAD * active).ceil().long(), arrays.row_count[slots])
    place = torch.arange(arrays.rows.shape[1], device=slots.device)
    chosen = (begin[:, None] <= place) & (place < end[:, None])
    sample = chosen.nonzero()[:, 0]
    positions = sample * arrays.fan_out + arrays.rows[slots][chosen]
    return Support.of_positions(positions.sort().values, slots.numel(), arrays.fan_out)
