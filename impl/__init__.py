"""The optimized implementation: torch on CPU and CUDA, subquadratic in the widths after initialization."""

from impl.construction import factory
from impl.files import load_delta, open_base, save_delta, write_base
from impl.implementation import SparseNetwork
from impl.pretrained import ShiftedReLU, ThresholdedIdentity, density, from_module, to_module

__all__ = [
    "ShiftedReLU",
    "SparseNetwork",
    "ThresholdedIdentity",
    "density",
    "factory",
    "from_module",
    "load_delta",
    "open_base",
    "save_delta",
    "to_module",
    "write_base",
]
