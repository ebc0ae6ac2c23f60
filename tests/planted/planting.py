"""Building the correct implementation, with one of its parts exchanged."""

from __future__ import annotations

from typing import Any

from impl.construction import factory
from impl.implementation import SparseNetwork
from impl.weights import EagerWeights


def build(network: Any, device: str, dtype: str, weights: type[EagerWeights] = EagerWeights) -> SparseNetwork:
    """The sparse implementation, its layers' weights turned into `weights`."""
    implementation = factory(network, device=device, dtype=dtype)
    for layer in implementation.weights:
        layer.__class__ = weights
    return implementation
