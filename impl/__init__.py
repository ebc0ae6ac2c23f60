"""The optimized implementation: torch on CPU and CUDA, subquadratic in the widths after initialization."""

from impl.implementation import SparseNetwork, factory

__all__ = ["SparseNetwork", "factory"]
