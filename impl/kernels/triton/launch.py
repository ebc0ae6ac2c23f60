"""Launching, and whether Triton's kernels can run on a device at all."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import torch
import triton
from triton.runtime.interpreter import InterpretedFunction

from impl.kernels.triton.device import tables


def launch(kernel: Any, grid: tuple[int, ...], *arguments: torch.Tensor | int, **sizes: int | bool) -> None:
    """Runs a kernel on the device of its first tensor, on that device's current stream.

    A grid without programs compiles the kernel for these arguments, and loads it, but runs nothing.
    """
    device = next(argument.device for argument in arguments if isinstance(argument, torch.Tensor))
    # Triton launches on the current device, whatever the tensors' own is.
    here = device.type != "cuda" or device.index == torch.cuda.current_device()
    with contextlib.nullcontext() if here else torch.cuda.device(device):
        kernel[grid](*arguments, **sizes)


def interpreted() -> bool:
    """Whether TRITON_INTERPRET=1 was set when Triton was imported: kernels are then interpreted, on any device."""
    return isinstance(tables.tabulate, InterpretedFunction)


def why_not(device: torch.device) -> str | None:
    """Why kernels cannot run on a device; None where they can."""
    if interpreted():
        return None if device.type in ("cpu", "cuda") else f"not on {device.type}"
    if device.type != "cuda":
        return "they need a CUDA device, or TRITON_INTERPRET=1 in the environment before Triton is imported"
    return _why_no_launch(torch.cuda.current_device() if device.index is None else device.index)


@functools.cache
def _why_no_launch(index: int) -> str | None:
    """Tries: Triton compiles a launcher by the system's C compiler, and knows no devices that are too old."""
    device = torch.device("cuda", index)
    nothing, number = torch.zeros(1, dtype=torch.int32, device=device), torch.ones(1, 1, device=device)
    try:
        launch(tables.tabulate, (1, 1), nothing, nothing, number, torch.zeros_like(number), 1, 1, 1, 1, 1, BLOCK=256)
    except Exception as error:  # whatever compilers and drivers raise
        return f"the first launch failed: {type(error).__name__}: {error}"
    return None


def blocks(number: int, length: int) -> int:
    """How many blocks of a length hold so many."""
    return triton.cdiv(number, length)


def power_of_two(number: int, most: int) -> int:
    """The least power of two that is at least the number, or `most` where that is less."""
    return min(triton.next_power_of_2(number), most)
