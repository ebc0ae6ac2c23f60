"""The boundary to the implementation under test: what crosses it is of the contract's types, or is a failure by name.

Without it a list in place of an array would fail somewhere inside a property, by a message about the property.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from properties.runner.compare import Mismatch
from reference.contract import Network, StepReport


class Boundary:
    """An implementation whose results are checked for their types (reference/contract/implementation.py).

    Shapes and dtypes are the properties' own business. Whatever else the implementation has is handed through.
    """

    def __init__(self, implementation: Any):
        self._implementation = implementation

    def forward(self, X: Any) -> np.ndarray:
        """See the contract."""
        return _array("forward", self._call("forward", X))

    def active_sets(self, X: Any) -> list[np.ndarray]:
        """See the contract."""
        return _arrays("active_sets", self._call("active_sets", X))

    def jacobian_factors(self, X: Any) -> list[tuple[np.ndarray, np.ndarray]]:
        """See the contract."""
        pairs = []
        for layer, pair in enumerate(_sequence("jacobian_factors", self._call("jacobian_factors", X)), start=1):
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise Mismatch(f"jacobian_factors, layer {layer}: expected a pair of arrays, got {_shown(pair)}")
            left, right = pair
            pairs.append((_array(f"left factor, layer {layer}", left), _array(f"right factor, layer {layer}", right)))
        return pairs

    def gradient(self, X: Any, y: Any, loss: str = "squared") -> list[np.ndarray]:
        """See the contract."""
        return _arrays("gradient", self._call("gradient", X, y, loss))

    def gram(self, X: Any) -> np.ndarray:
        """See the contract."""
        return _array("gram", self._call("gram", X))

    def step(self, X: Any, y: Any, **options: Any) -> StepReport:
        """See the contract."""
        report = self._call("step", X, y, **options)
        if not isinstance(report, StepReport):
            raise Mismatch(f"step: expected a StepReport, got {_shown(report)}")
        return report

    def to_network(self) -> Network:
        """See the contract."""
        network = self._call("to_network")
        if not isinstance(network, Network):
            raise Mismatch(f"to_network: expected a Network, got {_shown(network)}")
        return network

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # a copy asks before there is an implementation
            raise AttributeError(name)
        return getattr(self._implementation, name)

    def _call(self, operation: str, *arguments: Any, **options: Any) -> Any:
        method = getattr(self._implementation, operation, None)
        if not callable(method):
            raise Mismatch(f"{operation}: expected a method, as the operation is declared, got {_shown(method)}")
        return method(*arguments, **options)


def _array(what: str, value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise Mismatch(f"{what}: expected a NumPy array, got {_shown(value)}")
    if value.dtype.kind not in "biuf":
        raise Mismatch(f"{what}: expected an array of numbers, got dtype {value.dtype}")
    return value


def _arrays(what: str, value: Any) -> list[np.ndarray]:
    return [_array(f"{what}, layer {layer}", part) for layer, part in enumerate(_sequence(what, value), start=1)]


def _sequence(what: str, value: Any) -> list[Any]:
    if isinstance(value, np.ndarray | str | dict | set) or not hasattr(value, "__iter__"):
        raise Mismatch(f"{what}: expected a sequence, one entry a layer, got {_shown(value)}")
    return list(value)


def _shown(value: Any) -> str:
    """A few words about anything, even about what cannot be printed."""
    if value is None:
        return "None"
    try:
        text = repr(value).replace("\n", " ")
    except Exception as error:
        text = f"(its repr raises {type(error).__name__})"
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '…'}"
