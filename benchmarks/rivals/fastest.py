"""The fastest of several ways to multiply, found by trying them on the matrix in question."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from benchmarks.rivals.products import Blas, Products
from reference.contract.shapes import Float

REPEATS = 5


class SamplesFirst(Blas):
    """The two products that read W with operands in the other order: the BLAS takes other kernels for them."""

    def forward(
        self, W: Float[torch.Tensor, "fan_out fan_in"], h: Float[torch.Tensor, "n fan_in"]
    ) -> Float[torch.Tensor, "n fan_out"]:
        """See Products."""
        return torch.mm(h, W.t())

    def backward(
        self, W: Float[torch.Tensor, "fan_out fan_in"], g: Float[torch.Tensor, "rows fan_out"]
    ) -> Float[torch.Tensor, "rows fan_in"]:
        """See Products."""
        return torch.mm(W.t(), g.t()).t().contiguous()


class Fastest(Blas):
    """For each product that reads W the faster way; the update is one call to the BLAS either way.

    Args:
        W: A matrix of the largest layer; it is only read.
        n: Samples.
        rows: Left factors: n times the outputs.

    Attributes:
        note: Which was taken.
    """

    def __init__(self, W: Float[torch.Tensor, "fan_out fan_in"], n: int, rows: int):
        ways: Sequence[Products] = (Blas(), SamplesFirst())
        h, g = W.new_ones(n, W.shape[1]), W.new_ones(rows, W.shape[0])
        self._forward = min(ways, key=lambda way: _seconds(lambda: way.forward(W, h), W.device))
        self._backward = min(ways, key=lambda way: _seconds(lambda: way.backward(W, g), W.device))
        self.note = f"products: forward {_name(self._forward)}, backward {_name(self._backward)}"

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


def _name(way: Products) -> str:
    return "by samples" if isinstance(way, SamplesFirst) else "by units"


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
