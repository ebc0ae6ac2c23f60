"""The Jacobian of a batch by its sparse factors (reference/README.md, section 2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from impl.support import Support
from reference.contract.shapes import Float


class LayerFactors(NamedTuple):
    """Rows of one layer's part of the Jacobian: row (i, o) is g_{i,o} h_iᵀ.

    Attributes:
        layer: ℓ.
        left: Active units of layer ℓ.
        left_values: g on them, (c, entries).
        right: Active units of layer ℓ − 1.
        right_values: h on them, (entries,).
    """

    layer: int
    left: Support
    left_values: Float[torch.Tensor, "c left_entries"]
    right: Support
    right_values: Float[torch.Tensor, " right_entries"]


@dataclass(frozen=True, eq=False)
class JacobianFactors:
    """The factors of the trained layers.

    Attributes:
        supports: Of the inputs and of layers 1 … L.
        hidden: h_0 … h_{L−1} at least, on their supports.
        left: g_1 … g_L, on the supports of layers 1 … L.
        trained: Numbers ℓ of the layers that count.
    """

    supports: Sequence[Support]
    hidden: Sequence[Float[torch.Tensor, " _"]]
    left: Sequence[Float[torch.Tensor, "c _"]]
    trained: Sequence[int]

    def __iter__(self) -> Iterator[LayerFactors]:
        for layer in self.trained:
            yield LayerFactors(
                layer, self.supports[layer], self.left[layer - 1], self.supports[layer - 1], self.hidden[layer - 1]
            )

    @property
    def samples(self) -> int:
        """n."""
        return self.supports[0].samples

    @property
    def outputs(self) -> int:
        """c."""
        return self.left[0].shape[0]

    @property
    def rows(self) -> int:
        """n·c; row i·c + o belongs to (i, o)."""
        return self.samples * self.outputs

    @property
    def layer_widths(self) -> dict[int, tuple[int, int]]:
        """For every trained layer (m_ℓ, m_{ℓ−1})."""
        return {layer: (left.width, right.width) for layer, left, _, right, _ in self}

    @property
    def smallest_layer(self) -> int:
        """The least number of weights of a trained layer: a sketch with more rows makes no sense."""
        return min(left * right for left, right in self.layer_widths.values())
