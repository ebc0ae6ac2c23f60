"""The kernels of certified passes that go with those of everything else."""

from __future__ import annotations

from impl.certified.interface import AnchorKernels
from impl.kernels import Kernels


def select_anchor_kernels(kernels: Kernels) -> AnchorKernels:
    """Compiled ones beside compiled kernels, and else those in torch."""
    if kernels.name == "compiled":
        from impl.certified.compiled import CompiledAnchorKernels  # numba takes a while to import

        return CompiledAnchorKernels()
    from impl.certified.portable import TorchAnchorKernels

    return TorchAnchorKernels()
