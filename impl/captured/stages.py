"""What is computed in an iteration with arrays of fixed room, stage by stage (reference/README.md, sections 1 to 3).

Each stage leaves its results where the next one finds them. Nothing here waits for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from impl.activation import LayerActivation
from impl.captured.padded import PaddedSupport, select_padded
from impl.kernels.triton import TritonKernels
from impl.kernels.triton.update import Subtraction
from impl.readout import Readout
from reference.contract.shapes import Float


@dataclass(frozen=True, eq=False)
class Layers:
    """The network as stages read it; only `Stages.apply` writes its tables.

    Attributes:
        tables: W_1ᵀ … W_Lᵀ.
        biases: β_1 … β_L, None where there is none.
        activations: Of the layers.
        readout: A.
        trained: Numbers ℓ of the layers that are trained.
    """

    tables: Sequence[Float[torch.Tensor, "_ _"]]
    biases: Sequence[Float[torch.Tensor, " _"] | None]
    activations: Sequence[LayerActivation]
    readout: Readout
    trained: Sequence[int]


class Stages:
    """The stages for batches of one size.

    Args:
        layers: The network.
        samples: n.
        rooms: For the entries of the inputs, and of layers 1 … L.

    Attributes:
        samples: n.
        rooms: As given.
        X: Samples, to be filled in.
        y: Targets, likewise, (n, c) in float64.
        damping: λ, likewise.
        learning_rate: Likewise.
        verdict: What the host has to know before weights are written, in float64: see `prepare`.
    """

    def __init__(self, layers: Layers, samples: int, rooms: Sequence[int]):
        self._layers, self.samples, self.rooms = layers, samples, list(rooms)
        self._kernels = TritonKernels()  # with a workspace of their own: graphs write there whenever they are replayed
        first, outputs = layers.tables[0], layers.readout.table.shape[1]
        self.X = first.new_zeros(samples, first.shape[0])
        self.y = first.new_zeros(samples, outputs, dtype=torch.float64)
        self.damping, self.learning_rate = self.y.new_zeros(()), self.y.new_zeros(())
        supports, figures = len(self.rooms), 2 + 2 * len(layers.trained)
        self.verdict = self.y.new_zeros(supports * (samples + 1) + figures)
        self._moves = first.new_zeros(samples + 1, outputs)  # the last row stays zero
        self._sound = torch.zeros((), dtype=torch.bool, device=first.device)
        self._supports: list[PaddedSupport] = []
        self._hidden: list[torch.Tensor] = []
        self._left: list[torch.Tensor] = []
        self._largest: list[torch.Tensor] = []
        self._updates: list[Subtraction] = []
        self._residual = self.y
        self._one = torch.eye(samples * outputs, dtype=torch.float64, device=first.device)
        self._matrix = self._one

    def forward(self) -> None:
        """h_ℓ and supports, layer by layer, and the residual f − y."""
        layers, n = self._layers, self.samples
        support, _ = select_padded(self._kernels, (self.X != 0).to(self.X.dtype), 0.5, self.rooms[0])
        place = support.sample_of_entry.clamp(max=n - 1).long() * support.width + support.rows
        hidden = torch.where(support.live, self.X.view(-1)[place], 0.0)
        self._supports, self._hidden, self._largest = [support], [hidden], []
        for table, bias, phi, room in zip(
            layers.tables, layers.biases, layers.activations, self.rooms[1:], strict=True
        ):
            z = self._kernels.gather(support, hidden, table)[:n]
            if bias is not None:
                z = z + bias
            self._largest.append(_largest(z))
            support, active = select_padded(self._kernels, z, phi.threshold, room)
            hidden = torch.where(support.live, phi.value(active), 0.0)
            self._supports.append(support)
            self._hidden.append(hidden)
        outputs = self._kernels.gather(support, hidden, layers.readout.table)[:n]
        if layers.readout.bias is not None:
            outputs = outputs + layers.readout.bias
        self._largest.append(_largest(outputs))
        self._residual = outputs.double() - self.y

    def backward(self) -> None:
        """g_ℓ on the supports, from the last layer to the first."""
        layers = self._layers
        left = layers.readout.table[self._supports[-1].rows].T.contiguous() * layers.activations[-1].scale
        self._left = [left]
        for layer in range(len(layers.tables) - 1, 0, -1):
            rows, columns = self._supports[layer], self._supports[layer + 1]
            left = self._kernels.gather_restricted(rows, columns, left, layers.tables[layer])
            left = left * layers.activations[layer - 1].scale
            self._left.insert(0, left)

    def gram(self) -> None:
        """A = G + λI, in float64."""
        n, c = self.y.shape
        everyone = slice(0, n + 1)
        total = self.y.new_zeros(n, c, n, c)
        for layer in self._layers.trained:
            above, below = self._supports[layer], self._supports[layer - 1]
            (lefts,) = self._kernels.inner_products(above, [self._left[layer - 1]], everyone)
            (rights,) = self._kernels.inner_products(below, [self._hidden[layer - 1][None]], everyone)
            lefts = lefts.view(n + 1, c, n + 1, c)[:n, :, :n]
            total += lefts * rights[:n, None, :n, None]
        self._matrix = total.view(n * c, n * c).T + self.damping * self._one

    def solve(self) -> None:
        """q by Cholesky, times the learning rate, and whether its factor is no noise: see impl/solvers/cholesky.py."""
        factor, failed = torch.linalg.cholesky_ex(self._matrix)
        smallest = factor.diagonal().min() ** 2
        threshold = len(factor) * torch.finfo(factor.dtype).eps * self._matrix.diagonal().max()
        values = torch.cholesky_solve(self._residual.reshape(-1, 1), factor).view_as(self._residual)
        self._sound.copy_((failed == 0) & (smallest > threshold) & torch.isfinite(values).all())
        self._moves[:-1].copy_(self.learning_rate * values)

    def prepare(self) -> None:
        """Left factors of the update of each layer, and the verdict.

        That has the entries of each support by sample, (L + 1, n); those that each support would have had, had there
        been room; the loss; whether A could be solved with, and it, preactivations and outputs are finite; and for
        every trained layer the largest entry of the right and of the left factors.
        """
        sizes: list[torch.Tensor] = []
        self._updates = []
        for layer in self._layers.trained:
            below, above = self._supports[layer - 1], self._supports[layer]
            right = self._hidden[layer - 1]
            left = (self._moves.T.index_select(1, above.sample_of_entry) * self._left[layer - 1]).sum(dim=0)
            sizes += [_largest(right), _largest(left)]
            table = self._layers.tables[layer - 1]
            self._updates.append(Subtraction(below, right[:, None], above, left[:, None], table))
        finite = torch.isfinite(torch.stack(self._largest)).all() & torch.isfinite(_largest(self._matrix)) & self._sound
        figures = torch.stack([0.5 * self._residual.square().sum(), finite.double()])
        offsets = torch.stack([support.offsets[:-1] for support in self._supports])
        wanted = torch.stack([support.wanted for support in self._supports if support.wanted is not None])
        counts = torch.cat([offsets.diff(dim=1).view(-1), wanted]).double()
        self.verdict.copy_(torch.cat([counts, figures, torch.stack(sizes).double()]))

    def apply(self) -> None:
        """Subtracts the updates."""
        for update in self._updates:
            update.run()


def _largest(numbers: Float[torch.Tensor, "*shape"]) -> Float[torch.Tensor, ""]:
    """The largest absolute value, in one pass; not finite where a number is not."""
    return torch.linalg.vector_norm(numbers, float("inf"))
