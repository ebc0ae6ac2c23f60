"""Weights of a network as tensors of the rival's own, checked where they are: on the host, or on a device."""

from __future__ import annotations

import math

import numpy as np
import torch

from reference.contract import ArgumentError, DeviceArray, is_device_array
from reference.contract.arguments import array
from reference.contract.shapes import Float

# Entries that are looked at together: fewer than 32 bits count, whatever a library counts with.
_CHUNK = 1 << 30


def weight_tensor(
    argument: str, weight: np.ndarray | DeviceArray, device: torch.device, dtype: torch.dtype
) -> tuple[Float[torch.Tensor, "fan_out fan_in"], float]:
    """A copy of W_ℓ on the device, and max |W_ℓ|.

    Args:
        argument: The argument's name.
        weight: As Network has it.
        device: A torch device.
        dtype: Of the copy.

    Raises:
        ArgumentError: for entries that are not real numbers, or not finite in `dtype`.
    """
    kind = str(dtype).removeprefix("torch.")
    if is_device_array(weight):
        try:
            source = torch.from_dlpack(weight).detach()
        except torch.OutOfMemoryError:  # says more by itself
            raise
        except (TypeError, ValueError, RuntimeError, BufferError) as error:
            got = f"{type(weight).__name__} ({error})"
            raise ArgumentError(argument, "an array that torch takes by DLPack", got) from None
        if source.dtype == torch.bool or source.is_complex():
            raise ArgumentError(argument, "an array of real numbers", f"dtype {source.dtype}")
        tensor = source.to(device, dtype, copy=True)
    else:
        tensor = torch.tensor(array(argument, weight, weight.shape, kind), device=device)
    magnitude = max(_magnitude(rows) for rows in tensor.split(max(1, _CHUNK // tensor.shape[1])))
    if not magnitude < math.inf:  # on a device nobody has looked before
        row, column = _first_not_finite(tensor)
        where = (row, column)
        raise ArgumentError(argument, f"values finite in {kind}", f"{tensor[row, column].item()} at index {where}")
    return tensor, magnitude


def _magnitude(values: Float[torch.Tensor, "rows fan_in"]) -> float:
    """The largest absolute value; infinite also where one is not a number, which `max` would pass over."""
    low, high = map(float, torch.aminmax(values))
    return math.inf if math.isnan(low) else max(-low, high)


def _first_not_finite(tensor: Float[torch.Tensor, "fan_out fan_in"]) -> tuple[int, int]:
    for row, values in enumerate(tensor):
        wrong = (~torch.isfinite(values)).nonzero()
        if len(wrong):
            return row, int(wrong[0])
    raise AssertionError("all values are finite")
