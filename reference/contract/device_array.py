"""Weights that live on a device: arrays of the DLPack protocol that NumPy cannot read."""

from __future__ import annotations

from typing import Any, Protocol, TypeGuard

import numpy as np

#: Devices, by their numbers in DLPack, whose memory the host reads: its own, and what it has pinned for another.
HOST = (1, 3, 11)


class DeviceArray(Protocol):
    """A matrix for whoever computes on the device: a torch tensor there, say, or one drawn when it is asked for.

    Attributes:
        shape: (m_ℓ, m_{ℓ−1}).
        nbytes: The size of its entries together.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """See above."""

    @property
    def nbytes(self) -> int:
        """See above."""

    def __dlpack__(self, **options: Any) -> Any:
        """The array as a capsule (DLPack's Python specification)."""

    def __dlpack_device__(self) -> tuple[int, int]:
        """Kind and number of the device."""


def is_device_array(value: object) -> TypeGuard[DeviceArray]:
    """Whether `value` stays where it is: it offers DLPack, and NumPy cannot read it."""
    if isinstance(value, np.ndarray) or not (hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__")):
        return False
    if not hasattr(value, "__array__"):
        return True
    try:
        kind, _ = value.__dlpack_device__()
    except (TypeError, ValueError, RuntimeError, BufferError):  # nothing that could be handed over
        return False
    return kind not in HOST
