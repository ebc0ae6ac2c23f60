"""TensorSketch: count sketches of the two factors, convolved.

R. Pagh, *Compressed Matrix Multiplication* (ACM TOCT 5(3), 2013), and N. Pham and R. Pagh, *Fast and Scalable
Polynomial Kernels via Explicit Feature Maps* (KDD 2013); as a subspace embedding H. Avron, H. Nguyen and D. Woodruff,
*Subspace Embeddings for the Polynomial Kernel* (NeurIPS 2014).
"""

from __future__ import annotations

import math

import torch

from impl.sketch.blocks import Part, sample_blocks
from impl.sketch.draws import random_signs, seeded_generator
from impl.support import Support
from impl.work import WorkMeter, tensor_bytes
from reference.contract.arguments import whole_number
from reference.contract.shapes import Float, Int


class TensorSketch:
    """(S(g ⊗ h))_j = Σ σ₁(a) g_a · σ₂(f) h_f over the a, f with b₁(a) + b₂(f) ≡ j modulo s; see Sketch.

    The buckets b₁, b₂ are uniform over 0 … s − 1 and the signs σ₁, σ₂ fair, all independent. The sum is the circular
    convolution of the count sketches of g and h, taken by real Fourier transforms of length s: a column costs its
    entries and s·log s, whatever the widths.

    Args:
        rows: s, at most m_ℓ·m_{ℓ−1}.
        left_width: m_ℓ.
        right_width: m_{ℓ−1}.
        seed: Determines buckets and signs, the same on every device.
        device: Where they are kept, and where the sketch works.

    Attributes:
        rows: s.
        left_buckets: (m_ℓ,) int64, b₁.
        left_signs: (m_ℓ,) float64, σ₁.
        right_buckets: (m_{ℓ−1},) int64, b₂.
        right_signs: (m_{ℓ−1},) float64, σ₂.

    Raises:
        ArgumentError: for rows, widths or a seed outside their domain.
    """

    name = "tensor_sketch"

    def __init__(self, rows: int, left_width: int, right_width: int, *, seed: int, device: torch.device | str):
        left_width, right_width = whole_number("left_width", left_width, 1), whole_number("right_width", right_width, 1)
        self.rows = whole_number("rows", rows, 1, left_width * right_width)
        generator = seeded_generator(seed)
        self.left_buckets = torch.randint(self.rows, (left_width,), generator=generator).to(device)
        self.left_signs = random_signs(left_width, generator).to(device)
        self.right_buckets = torch.randint(self.rows, (right_width,), generator=generator).to(device)
        self.right_signs = random_signs(right_width, generator).to(device)

    def apply(
        self,
        left: Support,
        left_values: Float[torch.Tensor, "c left_entries"],
        right: Support,
        right_values: Float[torch.Tensor, " right_entries"],
        work: WorkMeter,
        layer: int,
    ) -> Float[torch.Tensor, "rows nc"]:
        """See Sketch."""
        outputs, samples = left_values.shape[0], left.samples
        columns = left_values.new_empty(samples, outputs, self.rows, dtype=torch.float64)
        for block, left_part, right_part in sample_blocks(left, right, self.rows):
            tables = block.stop - block.start, self.rows
            counted = _counted(right_part, right_values, self.right_signs, self.right_buckets, tables)
            right_spectrum = torch.fft.rfft(counted)
            for output in range(outputs):
                counted = _counted(left_part, left_values[output], self.left_signs, self.left_buckets, tables)
                spectrum = torch.fft.rfft(counted).mul_(right_spectrum)
                columns[block, output] = torch.fft.irfft(spectrum, n=self.rows)
        for vectors, transforms, support, values in (
            (samples * outputs, 2, left, left_values),
            (samples, 1, right, right_values),
        ):
            multiply_adds = values.numel() + vectors * transforms * _fourier_work(self.rows)
            # Of an entry the value, its unit, bucket and sign are read, and its place in the table read and written.
            moved = tensor_bytes(values) + values.numel() * (support.units.element_size() + 8 + 8 + 16)
            # A table is filled; a transform reads and writes s numbers.
            work.count(layer, multiply_adds, moved + 8 * vectors * self.rows * (1 + 2 * transforms))
        products = samples * outputs * (self.rows // 2 + 1)  # complex: four real ones and 16 bytes each
        work.count(layer, 4 * products, 3 * 16 * products)
        return columns.view(samples * outputs, self.rows).T


def _counted(
    part: Part,
    values: Float[torch.Tensor, " entries"],
    signs: Float[torch.Tensor, " m"],
    buckets: Int[torch.Tensor, " m"],
    tables: tuple[int, int],
) -> Float[torch.Tensor, "block rows"]:
    """The count sketch of every sample of a block: the signed values, summed by bucket."""
    samples, rows = tables
    signed = values[part.entries] * signs[part.units]
    places = part.sample * rows + buckets[part.units]
    return signs.new_zeros(samples * rows).index_add_(0, places, signed).view(samples, rows)


def _fourier_work(length: int) -> int:
    """(5/2)·s·log₂ s, the usual count of operations of a real transform, whatever carries it out."""
    return round(2.5 * length * math.log2(length))
