"""A weight matrix as it is handed in: NumPy's, or one that lives on a device, checked where it is."""

from __future__ import annotations

import numpy as np
import torch

from reference.contract import ArgumentError, DeviceArray, is_device_array
from reference.contract.arguments import array
from reference.contract.shapes import Float

#: W_ℓ in NumPy, or as a tensor on any device.
Matrix = Float[np.ndarray, "fan_out fan_in"] | Float[torch.Tensor, "fan_out fan_in"]

# Entries that are looked at together, so that the check takes no memory to speak of.
_CHUNK = 1 << 28


def source_matrix(
    argument: str, weight: np.ndarray | DeviceArray, dtype: torch.dtype
) -> Float[torch.Tensor, "fan_out fan_in"]:
    """The matrix as a tensor where it is, in `dtype`; it may share memory with what came.

    Args:
        argument: The argument's name.
        weight: W_ℓ, as Network has it.
        dtype: Of the result.

    Raises:
        ArgumentError: for entries that are not finite in `dtype`, and for what torch cannot take over.
    """
    if not is_device_array(weight):
        return torch.from_numpy(array(argument, weight, weight.shape, str(dtype).removeprefix("torch.")))
    try:
        matrix = torch.from_dlpack(weight).detach()
    except torch.OutOfMemoryError:  # says more by itself
        raise
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise ArgumentError(
            argument, "an array that torch takes by DLPack", f"{type(weight).__name__} ({error})"
        ) from None
    if matrix.dtype == torch.bool or matrix.is_complex():
        raise ArgumentError(argument, "an array of real numbers", f"dtype {matrix.dtype}")
    matrix = matrix.to(dtype)
    _check_finite(argument, matrix)
    return matrix


def _check_finite(argument: str, matrix: Float[torch.Tensor, "fan_out fan_in"]) -> None:
    rows = max(1, _CHUNK // matrix.shape[1])
    for first in range(0, matrix.shape[0], rows):
        chunk = matrix[first : first + rows]
        if not torch.isfinite(torch.stack(torch.aminmax(chunk))).all():  # one that is not a number is both
            row, column = (~torch.isfinite(chunk)).nonzero()[0].tolist()
            value, kind = chunk[row, column].item(), str(matrix.dtype).removeprefix("torch.")
            raise ArgumentError(argument, f"values finite in {kind}", f"{value} at index {(first + row, column)}")
