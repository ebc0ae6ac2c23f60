"""Choosing the kernels by name."""

from __future__ import annotations

import importlib.util

import torch

from impl.kernels.interface import Kernels
from reference.contract.arguments import ArgumentError, one_of

KERNELS = ("auto", "compiled", "triton", "torch")


def select_kernels(name: str, device: torch.device) -> Kernels:
    """Returns the kernels called `name`.

    Args:
        name: "compiled" (numba, CPU), "triton" (CUDA; on the CPU by Triton's interpreter, slowly, where
            TRITON_INTERPRET=1 is set before Triton is imported), "torch" (any device), or "auto": compiled or Triton's
            where they run.
        device: Where the tables are.

    Raises:
        ArgumentError: for an unknown name, or kernels where they cannot run.
    """
    one_of("kernels", name, KERNELS)
    if name == "compiled" or (name == "auto" and device.type == "cpu"):
        can_compile = device.type == "cpu" and importlib.util.find_spec("numba") is not None
        if can_compile:
            from impl.kernels.compiled import CompiledKernels  # numba takes a while to import

            return CompiledKernels()
        if name == "compiled":
            raise ArgumentError("kernels", "torch, since compiled kernels need a CPU device and numba", repr(name))
    if name == "triton" or (name == "auto" and device.type == "cuda"):
        reason = _why_not_triton(device)
        if reason is None:
            from impl.kernels.triton import TritonKernels  # likewise

            return TritonKernels()
        if name == "triton":
            raise ArgumentError(
                "kernels", f"torch, since Triton's kernels cannot run on {device}: {reason}", repr(name)
            )
    from impl.kernels.portable import TorchKernels

    return TorchKernels()


def _why_not_triton(device: torch.device) -> str | None:
    """Why Triton's kernels cannot run on a device; None where they can."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    from impl.kernels.triton import why_not

    return why_not(device)
