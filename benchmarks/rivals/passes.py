"""The passes of a dense iteration over the weights. None waits for the device, so that each can be recorded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.rivals.activation import LayerActivation
from benchmarks.rivals.meter import Meter
from benchmarks.rivals.products import Products
from reference.contract import SolveError
from reference.contract.shapes import Bool, Float, Int


@dataclass(frozen=True)
class Trace:
    """What a forward pass leaves behind.

    Attributes:
        masks: Of layers 1 … L.
        hidden: h_0 … h_L.
        outputs: f(x_i).
        sums: Of the preactivations of every layer and of the outputs: they show an overflow.
    """

    masks: list[Bool[torch.Tensor, "n _"]]
    hidden: list[Float[torch.Tensor, "n _"]]
    outputs: Float[torch.Tensor, "n c"]
    sums: Float[torch.Tensor, " layers_and_outputs"]


@dataclass(eq=False)
class Passes:
    """What an iteration does with the network.

    Attributes:
        weights: W_1 … W_L.
        biases: β_1 … β_L, or none.
        readout: A.
        phi: Activations of layers 1 … L.
        products: By which routines.
    """

    weights: Sequence[torch.Tensor]
    biases: Sequence[torch.Tensor]
    readout: torch.Tensor
    phi: Sequence[LayerActivation]
    products: Products

    def forward(self, samples: Float[torch.Tensor, "n d"], meter: Meter) -> Trace:
        """f(x_i), with all that comes on the way."""
        masks, hidden, sums = [], [samples], []
        for layer, (weight, phi) in enumerate(zip(self.weights, self.phi, strict=True), start=1):
            z = self.products.forward(weight, hidden[-1])
            if self.biases:
                z += self.biases[layer - 1]
            sums.append(z.sum())
            mask = z > phi.threshold
            z.sub_(phi.shift).mul_(phi.scale).mul_(mask)
            products = hidden[-1].shape[0] * weight.numel() + 2 * z.numel()
            meter.count(layer, products, weight, hidden[-1], z, z, z, mask, mask)
            masks.append(mask)
            hidden.append(z)
        outputs = hidden[-1] @ self.readout.t()
        meter.count(0, hidden[-1].shape[0] * self.readout.numel(), self.readout, hidden[-1], outputs)
        return Trace(masks, hidden, outputs, torch.stack([*sums, outputs.sum()]))

    def backward(self, trace: Trace, meter: Meter) -> list[Float[torch.Tensor, "n c _"]]:
        """The left factors of layers 1 … L."""
        mask = trace.masks[-1][:, None, :]
        left = [self.readout * self.phi[-1].scale * mask]
        meter.count(0, left[0].numel(), self.readout, mask, left[0])
        for layer in range(len(self.weights) - 1, 0, -1):
            weight, mask = self.weights[layer], trace.masks[layer - 1][:, None, :]
            g = self.products.backward(weight, left[0].flatten(0, 1)).view(*left[0].shape[:2], weight.shape[1])
            g.mul_(self.phi[layer - 1].scale).mul_(mask)
            rows = left[0].shape[0] * left[0].shape[1]
            meter.count(layer + 1, rows * weight.numel() + 2 * g.numel(), weight, left[0], g, g, mask)
            left.insert(0, g)
        return left

    def gram(
        self, trace: Trace, left: list[Float[torch.Tensor, "n c _"]], meter: Meter
    ) -> Float[torch.Tensor, "nc nc"]:
        """The Gram matrix, in float64 whatever the dtype of the weights."""
        total: torch.Tensor | float = 0.0
        outputs = left[0].shape[1]
        for layer, (g, h) in enumerate(zip(left, trace.hidden, strict=False), start=1):
            g, h = g.flatten(0, 1).double(), h.double()  # noqa: PLW2901 - summed in float64, as small dampings need
            rights = (h @ h.t())[:, None, :, None].expand(-1, outputs, -1, outputs).reshape(len(g), len(g))
            product = (g @ g.t()).mul_(rights)
            total = product + total
            meter.count(
                layer, len(g) * g.numel() + len(h) * h.numel() + product.numel(), g, h, rights, product, product
            )
        assert isinstance(total, torch.Tensor)
        return total

    def write(self, factors: list[Float[torch.Tensor, "_ n"]], trace: Trace, meter: Meter) -> None:
        """W_ℓ ← W_ℓ − U_ℓ H_{ℓ−1}, in place."""
        for layer, (weight, u, h) in enumerate(zip(self.weights, factors, trace.hidden, strict=False), start=1):
            self.products.update(weight, u, h)
            meter.count(layer, h.shape[0] * weight.numel(), weight, weight, u, h)


def loss_and_figures(
    trace: Trace, labels: Float[torch.Tensor, "n c"], meter: Meter
) -> tuple[Float[torch.Tensor, "n c"], Float[torch.Tensor, " figures"]]:
    """The residual, and all that the host wants to know before it goes on, to be read at once: loss, sums, counts."""
    residual = trace.outputs - labels
    risk = 0.5 * residual.double().square().sum()
    counts = torch.stack([mask.sum(dim=1) for mask in trace.masks])
    return residual, torch.cat([risk[None], trace.sums.double(), counts.flatten().double()])


def read_figures(figures: Float[torch.Tensor, " figures"], trace: Trace) -> tuple[float, Int[np.ndarray, "layers n"]]:
    """Loss and counts of active units. Raises SolveError where the forward pass has overflown."""
    found, layers = figures.cpu().numpy(), len(trace.masks)
    check_finite(trace, found[1 : layers + 2].tolist())
    return float(found[0]), found[layers + 2 :].astype(np.int64).reshape(layers, -1)


def check_finite(trace: Trace, sums: list[float]) -> None:
    """Raises SolveError where the forward pass has overflown, going by the sums that it has left behind."""
    # The sum of finite values may itself overflow; only then are they looked at one by one.
    if all(map(math.isfinite, sums)):
        return
    for layer, h in enumerate(trace.hidden[1:], start=1):
        if not torch.isfinite(h).all():
            raise SolveError(f"forward: expected finite preactivations in layer {layer}, got an overflow")
    if not torch.isfinite(trace.outputs).all():
        raise SolveError("forward: expected finite outputs, got an overflow")


def update_factors(
    q: Float[torch.Tensor, "n c"], trace: Trace, left: list[Float[torch.Tensor, "n c _"]], meter: Meter
) -> tuple[list[Float[torch.Tensor, "_ n"]], Float[torch.Tensor, " layers"]]:
    """The left factors of every layer's update, and by how much it lets max |W_ℓ| grow at most."""
    factors, growth = [], []
    for layer, (g, h) in enumerate(zip(left, trace.hidden, strict=False), start=1):
        u = (q[:, :, None] * g).sum(dim=1)
        growth.append((u.abs().amax(dim=1) * h.abs().amax(dim=1)).sum())
        meter.count(layer, g.numel(), g, u, u, h)
        factors.append(u.t().contiguous())
    return factors, torch.stack(growth)
