"""Kernels and devices that tests run over: those of the CPU, Triton's by its interpreter, both sets that CUDA has."""

import importlib.util
import os

import pytest
import torch

from impl.kernels import select_kernels
from impl.kernels.factors import Factors
from impl.support import Support

CPU = torch.device("cpu")

needs_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="needs numba")
needs_interpreter = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None or os.environ.get("TRITON_INTERPRET") != "1",
    reason="needs triton, and TRITON_INTERPRET=1, which is set where there is no CUDA device",
)
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")

ON_CPU = [
    pytest.param(("compiled", "cpu"), id="compiled", marks=needs_numba),
    pytest.param(("torch", "cpu"), id="torch"),
    pytest.param(("triton", "cpu"), id="triton, interpreted", marks=needs_interpreter),
]
ON_CUDA = [
    pytest.param(("torch", "cuda"), id="torch on cuda", marks=pytest.mark.cuda),
    pytest.param(("triton", "cuda"), id="triton on cuda", marks=[pytest.mark.cuda, needs_triton]),
]
TRITON = [ON_CPU[2], ON_CUDA[1]]


class Placed:
    """Kernels on a device."""

    def __init__(self, name, device):
        self.name, self.device = name, torch.device(device)
        self.kernels = select_kernels(name, self.device)

    def put(self, value):
        """A tensor, a support or factors on the device."""
        if isinstance(value, Support):
            arrays = (value.offsets, value.sample_of_entry, value.units)
            return Support(*(array.to(self.device) for array in arrays), value.width)
        if isinstance(value, Factors):
            there = Factors(value.samples, value.width, value.values.to(self.device))
            for name in ("counts", "units", "values"):
                setattr(there, name, getattr(value, name).to(self.device))
            there.vectors, there.entries = value.vectors, value.entries
            return there
        return value.to(self.device)
