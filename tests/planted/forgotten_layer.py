"""A step updates every layer but the last."""

from __future__ import annotations

from typing import Any

from impl.implementation import SparseNetwork
from impl.weights import EagerWeights
from tests.planted.planting import build


class NoUpdate:
    """An update that writes nothing."""

    folds = recompressions = 0

    def apply(self) -> None:
        """Does nothing."""

    def revert(self) -> None:
        """Does nothing."""


class FrozenWeights(EagerWeights):
    """Weights that are never moved."""

    def plan_update(self, *arguments: Any) -> NoUpdate:  # type: ignore[override]
        return NoUpdate()


def factory(network: Any, *, device: str = "cpu", dtype: str = "float32") -> SparseNetwork:
    """The contract's factory."""
    implementation = build(network, device, dtype)
    implementation.weights[-1].__class__ = FrozenWeights
    return implementation
