"""TensorSRHT: subsampled randomized Hadamard transforms of the two factors, multiplied row by row.

T. D. Ahle, M. Kapralov, J. B. T. Knudsen, R. Pagh, A. Velingker, D. P. Woodruff and A. Zandieh, *Oblivious Sketching
of High-Degree Polynomial Kernels* (SODA 2020, arXiv 1909.01410).
"""

from __future__ import annotations

import math

import torch

from impl.sketch.blocks import Part, sample_blocks
from impl.sketch.draws import random_signs, seeded_generator
from impl.sketch.hadamard import hadamard_transform, padded_length, transform_work
from impl.support import Support
from impl.work import WorkMeter, tensor_bytes
from reference.contract.arguments import whole_number
from reference.contract.shapes import Float, Int


class TensorSRHT:
    """(S(g ⊗ h))_j = (H D₁ g)_{p_j} · (H D₂ h)_{q_j} / √s; see Sketch.

    H is the unnormalized Hadamard matrix of the padded length M, the least power of two that holds the factor;
    D₁ and D₂ are independent random signs, p_j and q_j independent and uniform over the padded lengths. A column
    costs M·log₂ M + s for each factor, however few entries it has.

    Args:
        rows: s, at most M_left·M_right.
        left_width: m_ℓ.
        right_width: m_{ℓ−1}.
        seed: Determines signs and positions, the same on every device.
        device: Where they are kept, and where the sketch works.

    Attributes:
        rows: s.
        left_signs: (m_ℓ,) float64, the diagonal of D₁.
        right_signs: (m_{ℓ−1},) float64, that of D₂.
        left_positions: (s,) int64, p.
        right_positions: (s,) int64, q.

    Raises:
        ArgumentError: for rows, widths or a seed outside their domain.
    """

    name = "tensor_srht"

    def __init__(self, rows: int, left_width: int, right_width: int, *, seed: int, device: torch.device | str):
        left_width, right_width = whole_number("left_width", left_width, 1), whole_number("right_width", right_width, 1)
        left_length, right_length = padded_length(left_width), padded_length(right_width)
        self.rows = whole_number("rows", rows, 1, left_length * right_length)
        generator = seeded_generator(seed)
        self.left_signs = random_signs(left_width, generator).to(device)
        self.right_signs = random_signs(right_width, generator).to(device)
        self.left_positions = torch.randint(left_length, (self.rows,), generator=generator).to(device)
        self.right_positions = torch.randint(right_length, (self.rows,), generator=generator).to(device)

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
        lengths = padded_length(left.width), padded_length(right.width)
        columns = left_values.new_empty(samples, outputs, self.rows, dtype=torch.float64)
        for block, left_part, right_part in sample_blocks(left, right, max(*lengths, self.rows)):
            rights = _transformed(right_part, right_values, self.right_signs, self.right_positions, block)
            rights /= math.sqrt(self.rows)
            for output in range(outputs):
                lefts = _transformed(left_part, left_values[output], self.left_signs, self.left_positions, block)
                torch.mul(lefts, rights, out=columns[block, output])
        for vectors, length, support, values in (
            (samples * outputs, lengths[0], left, left_values),
            (samples, lengths[1], right, right_values),
        ):
            # Signs, the transform, and the product of the samples taken of it or their scaling by 1/√s.
            multiply_adds = values.numel() + vectors * (transform_work(length) + self.rows)
            # Values, units and signs are read; a table is filled, read and written; samples of it are read and written.
            moved = tensor_bytes(values) + values.numel() * (support.units.element_size() + 8)
            work.count(layer, multiply_adds, moved + 8 * vectors * (3 * length + 2 * self.rows))
        work.count(layer, 0, 3 * tensor_bytes(columns))
        return columns.view(samples * outputs, self.rows).T


def _transformed(
    part: Part,
    values: Float[torch.Tensor, " entries"],
    signs: Float[torch.Tensor, " m"],
    positions: Int[torch.Tensor, " rows"],
    block: slice,
) -> Float[torch.Tensor, "block rows"]:
    """(H D v) at the positions, for every sample of a block."""
    table = signs.new_zeros(block.stop - block.start, padded_length(signs.numel()))
    table[part.sample, part.units] = values[part.entries] * signs[part.units]
    return hadamard_transform(table)[:, positions]
