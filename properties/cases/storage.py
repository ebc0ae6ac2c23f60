"""What a narrower dtype holds of a weight: rounding to nearest, at ties to even, by the bits of a float32."""

from __future__ import annotations

import numpy as np

from reference.contract import STORAGES
from reference.contract.arguments import one_of
from reference.contract.shapes import Float

#: A bfloat16 is the upper half of a float32: half a unit in its last place is this, in units of the lower half.
TIE = np.uint32(0x8000)


def stored(weight: Float[np.ndarray, "*shape"], storage: str | None) -> Float[np.ndarray, "*shape"]:
    """The weights as an implementation holds them that stores them in `storage`; themselves where that is None.

    A weight that rounds beyond the largest number of the storage becomes infinite.

    Args:
        weight: In float32, if there is a storage.
        storage: "bfloat16" or None.
    """
    if storage is None:
        return weight
    one_of("storage", storage, STORAGES)
    if weight.dtype != np.float32:
        raise TypeError(f"weights that are stored in {storage} are float32 before, not {weight.dtype}")
    bits = np.ascontiguousarray(weight).view(np.uint32)
    upper, lower = bits >> np.uint32(16), bits & np.uint32(0xFFFF)
    upward = (lower > TIE) | ((lower == TIE) & (upper % np.uint32(2) == 1))
    return ((upper + upward) << np.uint32(16)).view(np.float32)
