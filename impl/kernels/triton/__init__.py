"""The kernels for CUDA devices, in Triton. `device/` has what runs there, the rest what launches it."""

from impl.kernels.triton.kernels import TritonKernels
from impl.kernels.triton.launch import why_not

__all__ = ["TritonKernels", "why_not"]
