"""Products with tables in bfloat16, in plain torch: what is read is widened, part by part, and summed in float32."""

from __future__ import annotations

import torch

from impl.support import Support
from reference.contract.shapes import Float

# Elements that are widened at a time: so much in float32 is alive, whatever the size of the table. On a CPU the part is
# to stay in a cache; a device takes larger ones, as each costs it a few launches (reasoned, not measured on any).
PART = 1 << 20
DEVICE_PART = 1 << 24


def gather_widened(
    support: Support, values: Float[torch.Tensor, " entries"], table: Float[torch.Tensor, "m fan_out"]
) -> Float[torch.Tensor, "n fan_out"]:
    """See Kernels.gather. A row that several samples read is widened once.

    torch's own product of bags with a narrower table would take the values, and leave the sums, in the table's dtype.
    """
    used, place = torch.unique(support.units, return_inverse=True)
    out = values.new_zeros(support.samples, table.shape[1])
    if used.numel() == 0:
        return out
    length = max(1, (PART if table.device.type == "cpu" else DEVICE_PART) // used.numel())
    for begin in range(0, table.shape[1], length):
        part = table[:, begin : begin + length].index_select(0, used).to(values.dtype)
        out[:, begin : begin + length] = torch.nn.functional.embedding_bag(
            place,
            part,
            support.offsets.long(),
            mode="sum",
            per_sample_weights=values,
            include_last_offset=True,
        )
    return out
