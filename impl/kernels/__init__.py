"""The sparse kernels that an iteration is made of, behind one interface, chosen by name."""

from impl.kernels.factors import Factors
from impl.kernels.interface import Kernels, OuterUpdate
from impl.kernels.select import KERNELS, select_kernels

__all__ = ["KERNELS", "Factors", "Kernels", "OuterUpdate", "select_kernels"]
