"""The dense rival: the plain algorithm, as fast as torch can make it, in the same dtype and threads.

One GEMM per layer and pass, the Gram matrix by the product formula, one rank-n update in place. Nothing
here knows that activations are sparse.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.rivals.activation import layer_activation
from benchmarks.rivals.meter import Meter
from benchmarks.rivals.products import PRODUCTS, select_products
from benchmarks.rivals.solve import solve
from reference.contract import (
    METHODS,
    ArgumentError,
    Capabilities,
    LayerWork,
    Network,
    PhaseWork,
    SolveError,
    StepReport,
    targets,
)
from reference.contract.arguments import affordable, array, dtype_name, number, one_of
from reference.contract.shapes import Bool, Float, Real


def factory(
    network: Network, *, device: str | torch.device = "cpu", dtype: str = "float32", products: str = "auto"
) -> DenseNetwork:
    """Builds the dense rival with the fastest products there are.

    Args:
        network: The initial network; its arrays are copied.
        device: A torch device.
        dtype: "float32" or "float64"; the Gram matrix and its solve are in float64 always.
        products: "onednn", "blas" or "auto" (see benchmarks.rivals.products).

    Raises:
        ArgumentError: for unknown names, a device that is not there, a network that does not fit its memory
            or overflows the dtype.
    """
    if not isinstance(network, Network):
        raise ArgumentError("network", "a Network", type(network).__name__)
    if network.readout_bias is not None:
        raise ArgumentError("network", "one without a readout bias", "one with")
    return DenseNetwork(network, _device(device), dtype_name("dtype", dtype), one_of("products", products, PRODUCTS))


def blas_factory(network: Network, *, device: str | torch.device = "cpu", dtype: str = "float32") -> DenseNetwork:
    """The same with torch's everyday products, `mm` and `addmm_`: what a careful user would write."""
    return factory(network, device=device, dtype=dtype, products="blas")


for declared in (factory, blas_factory):
    declared.capabilities = Capabilities(counts_work=True)  # type: ignore[attr-defined]  # functions have no type for it


class DenseNetwork:
    """The contract (reference.contract.Implementation) with dense products, m² per layer and sample.

    Attributes:
        initialization: Counted work and time of the construction.
    """

    def __init__(self, network: Network, device: torch.device, dtype: str, products: str):
        begin = time.perf_counter()
        self._device, self._dtype = device, getattr(torch, dtype)
        self._products = select_products(products, device, self._dtype)
        self._widths, self._activation = network.widths, network.activation
        self._phi = [layer_activation(network.activation, width, self._dtype) for width in network.widths[1:]]
        memory = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else None
        affordable("network", sum(weight.size for weight in network.weights) * self._dtype.itemsize, memory)
        self._weights = [self._tensor(f"weights[{i}]", weight) for i, weight in enumerate(network.weights)]
        self._magnitudes = [_magnitude(weight) for weight in self._weights]  # bounds on |W_ℓ|, kept up to date
        self._biases = [self._tensor(f"biases[{i}]", bias) for i, bias in enumerate(network.biases or ())]
        self._readout = self._tensor("readout", network.readout)
        self.initialization = PhaseWork(
            {
                layer: LayerWork(0, source.nbytes + weight.nbytes)
                for layer, (source, weight) in enumerate(zip(network.weights, self._weights, strict=True), start=1)
            },
            time.perf_counter() - begin,
        )

    def forward(self, X: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """See the contract."""
        return self._forward(self._samples(X), Meter(self._device)).outputs.cpu().numpy()

    def active_sets(self, X: Real[np.ndarray, "n d"]) -> list[Bool[np.ndarray, "n _"]]:
        """See the contract."""
        return [mask.cpu().numpy() for mask in self._forward(self._samples(X), Meter(self._device)).masks]

    def jacobian_factors(
        self, X: Real[np.ndarray, "n d"]
    ) -> list[tuple[Float[np.ndarray, "n c _"], Float[np.ndarray, "n _"]]]:
        """See the contract."""
        trace, left = self._derivatives(X)
        return [(g.cpu().numpy(), h.cpu().numpy()) for g, h in zip(left, trace.hidden, strict=False)]

    def gradient(
        self, X: Real[np.ndarray, "n d"], y: Real[np.ndarray, " ..."], loss: str = "squared"
    ) -> list[Float[np.ndarray, "_ _"]]:
        """See the contract."""
        one_of("loss", loss, ("squared",))
        trace, left = self._derivatives(X)
        residual = trace.outputs - self._targets(y, trace.outputs.shape[0])
        return [
            torch.einsum("io,ioa,ib->ab", residual, g, h).cpu().numpy()
            for g, h in zip(left, trace.hidden, strict=False)
        ]

    def gram(self, X: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "nc nc"]:
        """See the contract. In float64 whatever the dtype of the weights."""
        trace, left = self._derivatives(X)
        return self._gram(trace, left, Meter(self._device)).cpu().numpy()

    def step(
        self,
        X: Real[np.ndarray, "n d"],
        y: Real[np.ndarray, " ..."],
        *,
        method: str = "gauss_newton",
        loss: str = "squared",
        learning_rate: float = 1.0,
        damping: float = 1e-6,
    ) -> StepReport:
        """See the contract. Everything is computed and checked before the first weight is written.

        Raises:
            ArgumentError: for bad input.
            SolveError: where a number overflows on the way.
        """
        one_of("method", method, METHODS)
        one_of("loss", loss, ("squared",))
        learning_rate = number("learning_rate", learning_rate, 0.0)
        damping = number("damping", damping, 0.0)
        samples = self._samples(X)
        labels = self._targets(y, samples.shape[0])
        meter, solver = Meter(self._device), ""

        meter.begin("forward")
        trace = self._forward(samples, meter)
        residual = trace.outputs - labels
        risk = 0.5 * float(residual.double().square().sum())
        meter.begin("backward")
        left = self._backward(trace, meter)
        q = residual.double()
        if method == "gauss_newton":
            meter.begin("gram")
            gram = self._gram(trace, left, meter)
            meter.begin("solve")
            q, solver = solve(gram, damping, q, meter)
        meter.end()
        counts = torch.stack([mask.sum(dim=1) for mask in trace.masks]).cpu().numpy()
        dead = np.flatnonzero(counts.min(axis=0) == 0)

        meter.begin("update")
        self._update((learning_rate * q).to(self._dtype), trace, left, meter)
        meter.end()
        return StepReport(risk, meter.work, 0, 0, tuple(dead.tolist()), tuple(counts), solver)

    def to_network(self) -> Network:
        """See the contract."""
        return Network(
            weights=[weight.cpu().numpy().copy() for weight in self._weights],
            biases=[bias.cpu().numpy().copy() for bias in self._biases] or None,
            readout=self._readout.cpu().numpy().copy(),
            activation=self._activation,
        )

    def _forward(self, samples: Float[torch.Tensor, "n d"], meter: Meter) -> _Trace:
        masks, hidden = [], [samples]
        for layer, (weight, phi) in enumerate(zip(self._weights, self._phi, strict=True), start=1):
            z = self._products.forward(weight, hidden[-1])
            if self._biases:
                z += self._biases[layer - 1]
            _check_finite(z, f"forward: expected finite preactivations in layer {layer}, got an overflow")
            mask = z > phi.threshold
            z.sub_(phi.shift).mul_(phi.scale).mul_(mask)
            products = hidden[-1].shape[0] * weight.numel() + 2 * z.numel()
            meter.count(layer, products, weight, hidden[-1], z, z, z, mask, mask)
            masks.append(mask)
            hidden.append(z)
        outputs = hidden[-1] @ self._readout.t()
        _check_finite(outputs, "forward: expected finite outputs, got an overflow")
        meter.count(0, hidden[-1].shape[0] * self._readout.numel(), self._readout, hidden[-1], outputs)
        return _Trace(masks, hidden, outputs)

    def _backward(self, trace: _Trace, meter: Meter) -> list[Float[torch.Tensor, "n c _"]]:
        mask = trace.masks[-1][:, None, :]
        left = [self._readout * self._phi[-1].scale * mask]
        meter.count(0, left[0].numel(), self._readout, mask, left[0])
        for layer in range(len(self._weights) - 1, 0, -1):
            weight, mask = self._weights[layer], trace.masks[layer - 1][:, None, :]
            g = self._products.backward(weight, left[0].flatten(0, 1)).view(*left[0].shape[:2], weight.shape[1])
            g.mul_(self._phi[layer - 1].scale).mul_(mask)
            rows = left[0].shape[0] * left[0].shape[1]
            meter.count(layer + 1, rows * weight.numel() + 2 * g.numel(), weight, left[0], g, g, mask)
            left.insert(0, g)
        return left

    def _gram(
        self, trace: _Trace, left: list[Float[torch.Tensor, "n c _"]], meter: Meter
    ) -> Float[torch.Tensor, "nc nc"]:
        total: torch.Tensor | float = 0.0
        outputs = left[0].shape[1]
        for layer, (g, h) in enumerate(zip(left, trace.hidden, strict=False), start=1):
            g, h = g.flatten(0, 1).double(), h.double()  # noqa: PLW2901 - summed in float64, as small dampings need
            rights = (h @ h.t()).repeat_interleave(outputs, 0).repeat_interleave(outputs, 1)
            product = (g @ g.t()).mul_(rights)
            total = product + total
            meter.count(
                layer, len(g) * g.numel() + len(h) * h.numel() + product.numel(), g, h, rights, product, product
            )
        assert isinstance(total, torch.Tensor)
        return total

    def _update(
        self,
        q: Float[torch.Tensor, "n c"],
        trace: _Trace,
        left: list[Float[torch.Tensor, "n c _"]],
        meter: Meter,
    ) -> None:
        factors, magnitudes = [], []
        for layer, (g, h, bound) in enumerate(zip(left, trace.hidden, self._magnitudes, strict=False), start=1):
            u = (q[:, :, None] * g).sum(dim=1)
            bound += float((u.abs().amax(dim=1) * h.abs().amax(dim=1)).sum())  # noqa: PLW2901 - of |W_ℓ| afterwards
            if not bound < torch.finfo(self._dtype).max:
                raise SolveError(f"update: expected finite new weights in layer {layer}, got an overflow")
            meter.count(layer, g.numel(), g, u, u, h)
            factors.append((u.t().contiguous(), h))
            magnitudes.append(bound)
        self._magnitudes = magnitudes
        for layer, (weight, (u, h)) in enumerate(zip(self._weights, factors, strict=True), start=1):
            self._products.update(weight, u, h)
            meter.count(layer, h.shape[0] * weight.numel(), weight, weight, u, h)

    def _derivatives(self, X: Any) -> tuple[_Trace, list[Float[torch.Tensor, "n c _"]]]:
        meter = Meter(self._device)
        trace = self._forward(self._samples(X), meter)
        return trace, self._backward(trace, meter)

    def _samples(self, X: Any) -> Float[torch.Tensor, "n d"]:
        return self._tensor("X", array("X", X, (None, self._widths[0])))

    def _targets(self, y: Any, samples: int) -> Float[torch.Tensor, "n c"]:
        return self._tensor("y", targets("y", y, samples, self._readout.shape[0], "float64"))

    def _tensor(self, argument: str, value: np.ndarray) -> torch.Tensor:
        kind = str(self._dtype).removeprefix("torch.")
        return torch.tensor(array(argument, value, value.shape, kind), device=self._device)


@dataclass(frozen=True)
class _Trace:
    """Masks of layers 1 … L, hidden values h_0 … h_L, and outputs, of one forward pass."""

    masks: list[Bool[torch.Tensor, "n _"]]
    hidden: list[Float[torch.Tensor, "n _"]]
    outputs: Float[torch.Tensor, "n c"]


def _check_finite(values: Float[torch.Tensor, "n _"], message: str) -> None:
    # The sum of finite values may itself overflow; only then are they looked at one by one.
    if not torch.isfinite(values.sum()) and not torch.isfinite(values).all():
        raise SolveError(message)


def _magnitude(values: Float[torch.Tensor, "fan_out fan_in"]) -> float:
    low, high = torch.aminmax(values)
    return max(-float(low), float(high))


def _device(name: str | torch.device) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ArgumentError("device", "a device that torch can use here", f"{name!r} ({error})") from None
    if device.type == "meta":
        raise ArgumentError("device", "a device that stores numbers", repr(name))
    return device
