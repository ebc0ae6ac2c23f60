"""The fastest of several ways to multiply, found by trying them on the matrix in question."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from benchmarks.rivals.products import Blas, InnerProduct, OneDnn, Products, SamplesFirst
from reference.contract.shapes import Float

# After a run that does not count; the products of wide layers take so long that a few tell.
REPEATS = 3

# Samples that ways are tried with on the CPU: as many as the commands take where nothing is said.
HOST_ROWS = 32


class Fastest(Blas):
    """For each product that reads W the faster way; the update is one call to the BLAS either way.

    Args:
        W: A matrix of the largest layer; it is only read.
        n: Samples.
        rows: Left factors: n times the outputs.
        ways: Among which it chooses.

    Attributes:
        note: Which was taken.
    """

    def __init__(
        self,
        W: Float[torch.Tensor, "fan_out fan_in"],
        n: int,
        rows: int,
        ways: Sequence[Products] = (Blas(), SamplesFirst()),
    ):
        h, g = W.new_ones(n, W.shape[1]), W.new_ones(rows, W.shape[0])
        self._forward = min(ways, key=lambda way: _seconds(lambda: way.forward(W, h), W.device))
        self._backward = min(ways, key=lambda way: _seconds(lambda: way.backward(W, g), W.device))
        self.note = f"products: forward {self._forward.name}, backward {self._backward.name}"

    def forward(
        self, W: Float[torch.Tensor, "fan_out fan_in"], h: Float[torch.Tensor, "n fan_in"]
    ) -> Float[torch.Tensor, "n fan_out"]:
        """See Products."""
        return self._forward.forward(W, h)

    def backward(
        self, W: Float[torch.Tensor, "fan_out fan_in"], g: Float[torch.Tensor, "rows fan_out"]
    ) -> Float[torch.Tensor, "rows fan_in"]:
        """See Products."""
        return self._backward.backward(W, g)


def fastest_on_the_host(W: Float[torch.Tensor, "fan_out fan_in"]) -> Fastest:
    """The fastest in float32 on the CPU, at HOST_ROWS samples. It is tried once for a shape and number of threads.

    Args:
        W: A matrix of the largest layer; it is only read.
    """
    case = tuple(W.shape), torch.get_num_threads()
    if case not in _CHOSEN:
        ways = Blas(), SamplesFirst(), OneDnn(), InnerProduct()
        _CHOSEN[case] = Fastest(W, HOST_ROWS, HOST_ROWS, ways)
    return _CHOSEN[case]


_CHOSEN: dict[tuple[tuple[int, ...], int], Fastest] = {}


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """The least of a few runs, after one that does not count."""
    call()
    found = []
    for _ in range(REPEATS):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        begin = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - begin)
    return min(found)
