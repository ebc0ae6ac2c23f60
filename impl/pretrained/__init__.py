"""Networks trained elsewhere: between torch modules and this project's networks, and how sparse they are on data."""

from impl.pretrained.activations import ShiftedReLU, ThresholdedIdentity
from impl.pretrained.density import density
from impl.pretrained.modules import from_module, to_module

__all__ = ["ShiftedReLU", "ThresholdedIdentity", "density", "from_module", "to_module"]
