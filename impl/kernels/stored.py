"""How compiled loops read tables of any dtype: `number` is all that they know of it.

NumPy and numba have no bfloat16. Its bits are the upper half of a float32's: so the loops are handed 16-bit integers,
and `number` widens one by a shift, without rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numba import types
from numba.extending import overload


def stored(table: torch.Tensor) -> np.ndarray:
    """A table as the loops take it: in bfloat16 by its bits."""
    return (table.view(torch.uint16) if table.dtype == torch.bfloat16 else table).numpy()


def number(element: Any) -> Any:
    """The number that an element of a table stands for: itself, or of 16 bits the bfloat16 that they are."""
    return (np.uint32(element) << np.uint32(16)).view(np.float32) if isinstance(element, np.uint16) else element


@overload(number)
def _number(element: Any) -> Callable[[Any], Any]:
    """The same for compiled loops, decided by the type when they are compiled."""

    def widened(element: Any) -> Any:
        return np.uint32(np.uint32(element) << np.uint32(16)).view(np.float32)

    def itself(element: Any) -> Any:
        return element

    return widened if element == types.uint16 else itself
