"""A unit with z = τ counts as active: z ≥ τ where the method says z > τ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from impl.implementation import SparseNetwork
from tests.planted.planting import build


def factory(network: Any, *, device: str = "cpu", dtype: str = "float32") -> SparseNetwork:
    """The contract's factory. Greater than the number before τ is the same as not less than τ."""
    implementation = build(network, device, dtype)
    kind = np.dtype(dtype).type
    implementation._activations = [
        replace(activation, threshold=float(np.nextafter(kind(activation.threshold), kind(-np.inf))))
        for activation in implementation._activations
    ]
    return implementation
