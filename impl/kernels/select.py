"""Choosing the kernels by name."""

from __future__ import annotations

import importlib.util

import torch

from impl.kernels.interface import Kernels
from reference.contract.arguments import ArgumentError, one_of

KERNELS = ("auto", "compiled", "torch")


def select_kernels(name: str, device: torch.device) -> Kernels:
    """Returns the kernels called `name`.

    Args:
        name: "compiled" (numba, CPU), "torch" (any device), or "auto": compiled where they run.
        device: Where the tables are.

    Raises:
        ArgumentError: for an unknown name, or compiled kernels where they cannot run.
    """
    one_of("kernels", name, KERNELS)
    can_compile = device.type == "cpu" and importlib.util.find_spec("numba") is not None
    if name == "compiled" and not can_compile:
        raise ArgumentError("kernels", "torch, since compiled kernels need a CPU device and numba", repr(name))
    if name == "compiled" or (name == "auto" and can_compile):
        from impl.kernels.compiled import CompiledKernels  # numba takes a while to import

        return CompiledKernels()
    from impl.kernels.portable import TorchKernels

    return TorchKernels()
