"""What every part of a step counts, as closed formulas of the active counts (reference/README.md, section 5).

Derived from what a part reads and writes, not from the code that counts it. An index has 4 bytes, a float64 8.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

INDEX = 4


@dataclass
class Counts:
    """A batch's sizes, and the work of a step's phases: {phase: {layer: [multiply-adds, bytes]}}.

    Attributes:
        counts: For layers 0 … L the number of active units of every sample.
        widths: d, m_1 … m_L.
        outputs: c.
        itemsize: Bytes of a number of the network's dtype.
    """

    counts: list[np.ndarray]
    widths: list[int]
    outputs: int
    itemsize: int
    work: dict = field(default_factory=lambda: defaultdict(lambda: defaultdict(lambda: [0, 0])))

    @property
    def n(self) -> int:
        """Samples."""
        return len(self.counts[0])

    @property
    def rows(self) -> int:
        """n·c."""
        return self.n * self.outputs

    def k(self, layer: int) -> int:
        """Σ_i k_{i,ℓ}."""
        return int(self.counts[layer].sum())

    def pairs(self, layer: int) -> int:
        """Σ_i k_{i,ℓ}·k_{i,ℓ−1}."""
        return int((self.counts[layer] * self.counts[layer - 1]).sum())

    def add(self, phase: str, layer: int, multiply_adds: int, moved: int) -> None:
        """Adds work."""
        entry = self.work[phase][layer]
        entry[0] += multiply_adds
        entry[1] += moved

    def forward(self) -> None:
        """Every layer gathers a column of m_ℓ numbers for each active input; then the readout does."""
        B, n = self.itemsize, self.n
        for layer in range(1, len(self.widths)):
            gathered = self.k(layer - 1) * self.widths[layer]
            z = n * self.widths[layer]
            self.add("forward", layer, gathered, B * gathered + (INDEX + B) * self.k(layer - 1) + B * z)
            # z is read; unit, preactivation and value of what is active are written; each value is scaled once.
            self.add("forward", layer, self.k(layer), B * z + (INDEX + 2 * B) * self.k(layer))
        gathered = self.k(-1) * self.outputs
        self.add("forward", 0, gathered, B * gathered + (INDEX + B) * self.k(-1) + B * self.rows)

    def backward(self) -> None:
        """The readout's columns, then the k × k blocks of W_{ℓ+1} for every output."""
        B, c = self.itemsize, self.outputs
        self.add("backward", 0, c * self.k(-1), INDEX * self.k(-1) + 2 * B * c * self.k(-1))
        for layer in range(len(self.widths) - 1, 1, -1):
            ends = self.k(layer) + self.k(layer - 1)
            self.add("backward", layer, c * self.pairs(layer), B * self.pairs(layer) + (INDEX + B * c) * ends)
            self.add("backward", layer, c * self.k(layer - 1), 2 * B * c * self.k(layer - 1))  # the scale

    def gram(self, trained: list[int], block: int | None = None) -> None:
        """Every sample's factors against a dense table of those of a block of samples, in float64."""
        n, c = self.n, self.outputs
        for begin in range(0, n, block or n):
            length = min(block or n, n - begin)
            for layer in trained:
                for entries, vectors in ((self.k(layer), c), (self.k(layer - 1), 1)):
                    gathered = entries * vectors * length * vectors
                    read = self.itemsize * entries * vectors + INDEX * entries
                    written = 8 * n * vectors * length * vectors
                    self.add("gram", layer, gathered, self.itemsize * gathered + read + written)
                products = n * c * length * c
                self.add("gram", layer, products, 3 * 8 * products)

    def cholesky(self, singular: bool = False) -> None:
        """n³/6 multiply-adds and two triangular solves; 9 n³ for eigenvectors."""
        r = self.rows
        self.add("solve", 0, r**3 // 6 + r * r, 3 * 8 * r * r)
        if singular:
            self.add("solve", 0, 9 * r**3, 3 * 8 * r * r)

    def conjugate_gradients(self, iterations: int, products: int) -> None:
        """Products with a kept matrix, and three updates and three inner products of vectors an iteration."""
        r = self.rows
        self.add("solve", 0, products * r * r, products * 8 * r * r)
        self.add("solve", 0, 6 * r * iterations, 11 * 8 * r * iterations)

    def preconditioner(self, rows: int, damped: bool, applications: int) -> None:
        """QR of the sketch, √λ I below it, singular values of the triangle, and two triangular solves each time."""
        r = self.rows
        height = rows + (r if damped else 0)
        self.add("solve", 0, rows * r**2 + 2 * r**3, 8 * height * r + 2 * 8 * r * r)
        self.add("solve", 0, 4 * r**3 // 3, 8 * r * r)
        self.add("solve", 0, applications * r * r, applications * 8 * r * r)

    def tensor_srht(self, layers: list[int], rows: int) -> None:
        """M·log₂ M additions of the butterfly and s samples of it, for each factor of each column."""
        for layer in layers:
            for vectors, factor, side in ((self.rows, self.outputs, layer), (self.n, 1, layer - 1)):
                stages = int(np.ceil(np.log2(self.widths[side]))) if self.widths[side] > 1 else 0
                length, entries = 2**stages, factor * self.k(side)
                self.add(
                    "solve",
                    layer,
                    entries + vectors * (length * stages + rows),
                    # value, unit, sign; the table filled, read and written; samples read and written
                    entries * (self.itemsize + INDEX + 8) + 8 * vectors * (3 * length + 2 * rows),
                )
            self.add("solve", layer, 0, 3 * 8 * rows * self.rows)

    def tensor_sketch(self, layers: list[int], rows: int) -> None:
        """Count sketches, real Fourier transforms of length s there and back, and products of half spectra."""
        transform = round(2.5 * rows * np.log2(rows))
        for layer in layers:
            for vectors, factor, transforms, side in ((self.rows, self.outputs, 2, layer), (self.n, 1, 1, layer - 1)):
                entries = factor * self.k(side)
                self.add(
                    "solve",
                    layer,
                    entries + vectors * transforms * transform,
                    # value, unit, bucket, sign, the place read and written; the table filled; s read and written
                    entries * (self.itemsize + INDEX + 8 + 8 + 16) + 8 * vectors * rows * (1 + 2 * transforms),
                )
            half = self.rows * (rows // 2 + 1)
            self.add("solve", layer, 4 * half, 3 * 16 * half)

    def combination(self, layer: int) -> None:
        """q-weighted sums of the left factors over the outputs."""
        entries, B = self.outputs * self.k(layer), self.itemsize
        self.add("update", layer, entries, 2 * B * entries + B * self.k(layer))

    def eager_update(self, trained: list[int]) -> None:
        """The k × k blocks, read and written."""
        for layer in trained:
            self.combination(layer)
            factors = (INDEX + self.itemsize) * (self.k(layer) + self.k(layer - 1))
            self.add("update", layer, self.pairs(layer), 2 * self.itemsize * self.pairs(layer) + factors)

    def append(self, layer: int) -> None:
        """Lazy weights keep the factors, and multiply nothing."""
        self.combination(layer)
        self.add("update", layer, 0, (INDEX + self.itemsize) * (self.k(layer) + self.k(layer - 1)))

    def sparse_terms(self, layer: int, right: int, left: int, rank: int) -> None:
        """Carrying sparse terms along: D h in the forward pass, Dᵀ g in the backward pass of layers above the first.

        Every term stands for itself, as where no two are active on the same units.

        Args:
            layer: ℓ.
            right: Entries of all right factors.
            left: Of all left factors.
            rank: Outer products.
        """
        B, n, c = self.itemsize, self.n, self.outputs
        products, factors = n * (right + left), (B + INDEX) * (right + left)
        self.add("forward", layer, products, B * products + factors + 2 * B * n * rank)
        if layer > 1:
            self.add("backward", layer, c * products, B * c * products + factors + 2 * B * c * n * rank)

    def dense_factors(self, layer: int, rank: int) -> None:
        """Carrying dense factors along, as a recompression leaves them."""
        B, n, c, r = self.itemsize, self.n, self.outputs, rank
        fan_out = self.widths[layer]
        entries = self.k(layer - 1)
        inner = B * n * r
        self.add("forward", layer, (entries + n * fan_out) * r, B * entries * r + 2 * inner + B * fan_out * (r + n))
        if layer > 1:
            products = c * (self.k(layer) + entries) * r
            self.add("backward", layer, products, B * products + 2 * c * inner)


def counted(phase) -> dict:
    """A report's phase in the same form."""
    return {layer: [work.multiply_adds, work.bytes] for layer, work in phase.layers.items()}
