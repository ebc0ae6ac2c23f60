"""The three dense products of a layer, by the fastest routine that torch has for them.

On the CPU in float32 torch hands `mm` and `linear` to the BLAS. oneDNN, which comes with torch too, does the two
tall-and-skinny products that read W in a fraction of the time on some machines, and the second of them in twice the
time on others: for wide layers the rival tries (fastest.py). `python -m benchmarks.rivals` times the alternatives on
the machine at hand.
"""

from __future__ import annotations

from typing import Protocol

import torch

from reference.contract import ArgumentError
from reference.contract.shapes import Float

PRODUCTS = ("auto", "onednn", "blas")

# With fewer rows the product is a matrix-vector product in all but name, and the BLAS is as fast or faster.
FEWEST_ROWS = 8

# Columns of W whose addresses differ by a multiple of 1 KiB compete for the same few cache lines.
ALIASED_COLUMNS = 256
WIDE = 2048


class Products(Protocol):
    """What a layer does with its weight matrix W (m_ℓ, m_{ℓ−1}), row-major; one GEMM each.

    Attributes:
        name: For notes.
    """

    name: str

    def forward(
        self, W: Float[torch.Tensor, "fan_out fan_in"], h: Float[torch.Tensor, "n fan_in"]
    ) -> Float[torch.Tensor, "n fan_out"]:
        """H Wᵀ."""

    def backward(
        self, W: Float[torch.Tensor, "fan_out fan_in"], g: Float[torch.Tensor, "rows fan_out"]
    ) -> Float[torch.Tensor, "rows fan_in"]:
        """G W."""

    def update(
        self,
        W: Float[torch.Tensor, "fan_out fan_in"],
        u: Float[torch.Tensor, "fan_out n"],
        h: Float[torch.Tensor, "n fan_in"],
    ) -> None:
        """W ← W − U H, in place."""


class Blas:
    """torch's own choice for the device: MKL or OpenBLAS on CPU, cuBLAS on CUDA."""

    name = "by units"

    def forward(
        self, W: Float[torch.Tensor, "fan_out fan_in"], h: Float[torch.Tensor, "n fan_in"]
    ) -> Float[torch.Tensor, "n fan_out"]:
        """See Products. W Hᵀ is a quarter faster than H Wᵀ with MKL."""
        return torch.mm(W, h.t()).t().contiguous()

    def backward(
        self, W: Float[torch.Tensor, "fan_out fan_in"], g: Float[torch.Tensor, "rows fan_out"]
    ) -> Float[torch.Tensor, "rows fan_in"]:
        """See Products."""
        return torch.mm(g, W)

    def update(
        self,
        W: Float[torch.Tensor, "fan_out fan_in"],
        u: Float[torch.Tensor, "fan_out n"],
        h: Float[torch.Tensor, "n fan_in"],
    ) -> None:
        """See Products."""
        W.addmm_(u, h, alpha=-1.0)


class OneDnn(Blas):
    """oneDNN for the two products that read W; the update, which writes it, is no faster there than in the BLAS."""

    name = "oneDNN, by the length of rows"

    def forward(
        self, W: Float[torch.Tensor, "fan_out fan_in"], h: Float[torch.Tensor, "n fan_in"]
    ) -> Float[torch.Tensor, "n fan_out"]:
        """See Products. W, the tall matrix, comes first, where `linear` has the samples."""
        if h.shape[0] < FEWEST_ROWS:
            return super().forward(W, h)
        return inner_product(W, h).t().contiguous()

    def backward(
        self, W: Float[torch.Tensor, "fan_out fan_in"], g: Float[torch.Tensor, "rows fan_out"]
    ) -> Float[torch.Tensor, "rows fan_in"]:
        """See Products. Two ways, for what is fast at one row length is slow at the other."""
        if g.shape[0] < FEWEST_ROWS:
            return super().backward(W, g)
        if W.shape[1] >= WIDE and W.shape[1] % ALIASED_COLUMNS == 0:
            return product_as_convolution(W, g)
        return inner_product(g, W.t())


class SamplesFirst(Blas):
    """The two products that read W with operands in the other order: the BLAS takes other kernels for them."""

    name = "by samples"

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


class InnerProduct(OneDnn):
    """oneDNN's inner product for both, whatever the length of rows."""

    name = "oneDNN's inner product"

    def backward(
        self, W: Float[torch.Tensor, "fan_out fan_in"], g: Float[torch.Tensor, "rows fan_out"]
    ) -> Float[torch.Tensor, "rows fan_in"]:
        """See Products."""
        return inner_product(g, W.t())


def select_products(name: str, device: torch.device, dtype: torch.dtype) -> Products:
    """The products by name; "auto" is oneDNN where it can be used, and else the BLAS.

    Raises:
        ArgumentError: for oneDNN where this torch, device or dtype has none.
    """
    available = (
        device.type == "cpu"
        and dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
    if name == "onednn" and not available:
        raise ArgumentError("products", "oneDNN only in float32 on a CPU that has it", f"{dtype} on {device}")
    return Blas() if name == "blas" or not available else OneDnn()


def inner_product(
    left: Float[torch.Tensor, "rows inner"], right: Float[torch.Tensor, "columns inner"]
) -> Float[torch.Tensor, "rows columns"]:
    """left · rightᵀ by oneDNN's inner product; contiguous operands, or transposed views of such."""
    result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")
    return result


def product_as_convolution(
    W: Float[torch.Tensor, "fan_out fan_in"], g: Float[torch.Tensor, "rows fan_out"]
) -> Float[torch.Tensor, "rows fan_in"]:
    """G W as the weight gradient of a 1 × 1 convolution over fan_out pixels, which reads W row by row.

    The pixels' channels are the columns: W is an image of fan_in channels, Gᵀ one of as many as G has rows.
    """
    (fan_out, fan_in), rows = W.shape, g.shape[0]
    image = W.as_strided((1, fan_in, fan_out, 1), (W.numel(), 1, fan_in, fan_in))
    slopes = g.t().contiguous().as_strided((1, rows, fan_out, 1), (g.numel(), 1, rows, rows))
    kernel = g.new_empty(rows, fan_in, 1, 1)
    gradients = torch.ops.aten.convolution_backward(
        slopes, image, kernel, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [False, True, False]
    )
    result: torch.Tensor = gradients[1].view(rows, fan_in)
    return result
