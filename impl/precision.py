"""Float32 products on CUDA devices: in float32, whatever the process has set for speed.

Callers may have allowed TF32, which rounds the operands of float32 matrix products to 10 bits. The bounds here, of
certificates and of tolerances, are those of float32. So it is off while a network computes, and then what it was.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import torch

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class OnDevice(Protocol):
    """Whatever computes on one device."""

    _device: torch.device


_Own = TypeVar("_Own", bound=OnDevice)
_Method = Callable[Concatenate[_Own, _Parameters], _Result]


def full_precision(method: _Method[_Own, _Parameters, _Result]) -> _Method[_Own, _Parameters, _Result]:
    """A method whose float32 products on a CUDA device are not rounded to TF32."""

    @functools.wraps(method)
    def guarded(own: _Own, /, *arguments: _Parameters.args, **options: _Parameters.kwargs) -> _Result:
        if own._device.type != "cuda":
            return method(own, *arguments, **options)
        with _without_tf32():
            return method(own, *arguments, **options)

    return guarded


_lock = threading.Lock()
_inside = 0  # calls, in whatever thread: the setting is one for the process
_before = ""


@contextmanager
def _without_tf32() -> Iterator[None]:
    """The first to come in turns TF32 off, and the last to leave restores what was."""
    global _inside, _before  # noqa: PLW0603  # as is the setting
    products: Any = torch.backends.cuda.matmul
    with _lock:
        if _inside == 0:
            _before = products.fp32_precision
            products.fp32_precision = "ieee"
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                products.fp32_precision = _before
