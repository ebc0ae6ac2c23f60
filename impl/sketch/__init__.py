"""Sketches of the Jacobian from its sparse factors, behind one interface, chosen by name."""

from impl.sketch.hadamard import hadamard_transform, padded_length
from impl.sketch.interface import Sketch
from impl.sketch.layers import layer_sketches, sketched_jacobian
from impl.sketch.tensor_sketch import TensorSketch
from impl.sketch.tensor_srht import TensorSRHT

SKETCHES: dict[str, type[Sketch]] = {"tensor_srht": TensorSRHT, "tensor_sketch": TensorSketch}

__all__ = [
    "SKETCHES",
    "Sketch",
    "TensorSRHT",
    "TensorSketch",
    "hadamard_transform",
    "layer_sketches",
    "padded_length",
    "sketched_jacobian",
]
