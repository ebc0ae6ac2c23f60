"""The dense rival: the plain algorithm, as fast as torch can make it, in the same dtype and threads.

One GEMM per layer and pass, the Gram matrix by the product formula, one rank-n update in place. Nothing
here knows that activations are sparse. How wide layers are multiplied is chosen by trying. On CUDA an iteration is
replayed from CUDA graphs, for batches of a size that was announced.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch

from benchmarks.rivals.activation import layer_activation
from benchmarks.rivals.arrays import weight_tensor
from benchmarks.rivals.fastest import Fastest, fastest_on_the_host
from benchmarks.rivals.meter import Meter
from benchmarks.rivals.passes import Passes, Trace, check_finite, loss_and_figures, read_figures, update_factors
from benchmarks.rivals.products import PRODUCTS, OneDnn, select_products
from benchmarks.rivals.solve import solve
from benchmarks.rivals.stages import CudaGraphs, EagerStages, ReplayedStages, Stages
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
from reference.contract.arguments import affordable, array, dtype_name, number, one_of, whole_number
from reference.contract.shapes import Bool, Float, Real


def factory(
    network: Network,
    *,
    device: str | torch.device = "cpu",
    dtype: str = "float32",
    products: str = "auto",
    samples: int | str | None = None,
) -> DenseNetwork:
    """Builds the dense rival with the fastest products there are.

    Args:
        network: The initial network; its arrays are copied, those on a device without the host.
        device: A torch device.
        dtype: "float32" or "float64"; the Gram matrix and its solve are in float64 always.
        products: "onednn", "blas" or "auto" (see benchmarks.rivals.products).
        samples: n of the batches to come, for which a CUDA device is prepared at construction; batches of another size
            are taken all the same. None prepares for none, and other devices need none.

    Raises:
        ArgumentError: for unknown names, a device that is not there, a network that does not fit its memory
            or overflows the dtype.
    """
    if not isinstance(network, Network):
        raise ArgumentError("network", "a Network", type(network).__name__)
    if network.readout_bias is not None:
        raise ArgumentError("network", "one without a readout bias", "one with")
    if isinstance(samples, str):  # from a command line
        samples = int(samples) if samples.isdecimal() else -1
    if samples is not None:
        whole_number("samples", samples, 1)
    products = one_of("products", products, PRODUCTS)
    return DenseNetwork(network, _device(device), dtype_name("dtype", dtype), products, samples)


def blas_factory(network: Network, *, device: str | torch.device = "cpu", dtype: str = "float32") -> DenseNetwork:
    """The same with torch's everyday products, `mm` and `addmm_`: what a careful user would write."""
    return factory(network, device=device, dtype=dtype, products="blas")


for declared in (factory, blas_factory):
    declared.capabilities = Capabilities(counts_work=True)  # type: ignore[attr-defined]  # functions have no type for it


# Weights of a layer from which on products are tried: at fewer they take less than a millisecond, whatever the way.
LEAST_TRIED = 1 << 20


class DenseNetwork:
    """The contract (reference.contract.Implementation) with dense products, m² per layer and sample.

    Attributes:
        initialization: Counted work and time of the construction.
    """

    def __init__(self, network: Network, device: torch.device, dtype: str, products: str, samples: int | None = None):
        begin = time.perf_counter()
        self._device, self._dtype = device, getattr(torch, dtype)
        self._widths, self._activation = network.widths, network.activation
        routines = select_products(products, device, self._dtype)
        phi = [layer_activation(network.activation, width, self._dtype) for width in network.widths[1:]]
        memory = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else None
        entries = sum(math.prod(weight.shape) for weight in network.weights)
        affordable("network", entries * self._dtype.itemsize, memory)
        self._weights: list[torch.Tensor] = []
        self._magnitudes: list[float] = []  # bounds on |W_ℓ|, kept up to date
        for i, source in enumerate(network.weights):
            weight, magnitude = weight_tensor(f"weights[{i}]", source, device, self._dtype)
            self._weights.append(weight)
            self._magnitudes.append(magnitude)
        biases = [self._tensor(f"biases[{i}]", bias) for i, bias in enumerate(network.biases or ())]
        self._readout = self._tensor("readout", network.readout)
        self._passes = Passes(self._weights, biases, self._readout, phi, routines)
        self._eager: Stages = EagerStages()
        self._prepared: tuple[int, Stages] | None = None  # for so many samples
        self._notes: tuple[str, ...] = ()
        largest = max(self._weights, key=torch.numel)
        if products == "auto" and isinstance(routines, OneDnn) and largest.numel() >= LEAST_TRIED:
            self._multiply_by(fastest_on_the_host(largest))
        if samples is not None and device.type == "cuda":
            self._prepare(samples, chosen=products == "auto")
        self.initialization = PhaseWork(
            {
                layer: LayerWork(0, source.nbytes + weight.nbytes)
                for layer, (source, weight) in enumerate(zip(network.weights, self._weights, strict=True), start=1)
            },
            time.perf_counter() - begin,
        )

    def forward(self, X: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """See the contract."""
        return self._trace(X).outputs.cpu().numpy()

    def active_sets(self, X: Real[np.ndarray, "n d"]) -> list[Bool[np.ndarray, "n _"]]:
        """See the contract."""
        return [mask.cpu().numpy() for mask in self._trace(X).masks]

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
        return self._passes.gram(trace, left, Meter(self._device)).cpu().numpy()

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
        stages = self._stages(samples.shape[0])
        samples, labels = stages.load("samples", samples), stages.load("labels", labels)

        meter.begin("forward")
        trace = stages.run("forward", lambda count: self._passes.forward(samples, count), meter)
        residual, figures = stages.run("loss", lambda count: loss_and_figures(trace, labels, count), meter)
        meter.begin("backward")
        left = stages.run("backward", lambda count: self._passes.backward(trace, count), meter)
        if method == "gauss_newton":
            meter.begin("gram")
            gram = stages.run("gram", lambda count: self._passes.gram(trace, left, count), meter)
            meter.begin("solve")
        risk, counts = read_figures(figures, trace)
        q = residual.double()
        if method == "gauss_newton":
            q, solver = solve(gram, damping, q, meter)
        meter.end()
        dead = np.flatnonzero(counts.min(axis=0) == 0)

        meter.begin("update")
        q = stages.load("q", (learning_rate * q).to(self._dtype))
        factors, growth = stages.run("factors", lambda count: update_factors(q, trace, left, count), meter)
        self._grow(growth)
        stages.run("write", lambda count: self._passes.write(factors, trace, count), meter)
        meter.finish()
        return StepReport(risk, meter.work, 0, 0, tuple(dead.tolist()), tuple(counts), solver, self._notes)

    def to_network(self) -> Network:
        """See the contract."""
        return Network(
            weights=[weight.cpu().numpy().copy() for weight in self._weights],
            biases=[bias.cpu().numpy().copy() for bias in self._passes.biases] or None,
            readout=self._readout.cpu().numpy().copy(),
            activation=self._activation,
        )

    def _stages(self, n: int) -> Stages:
        return self._prepared[1] if self._prepared is not None and self._prepared[0] == n else self._eager

    def _prepare(self, n: int, *, chosen: bool) -> None:
        """Chooses products and records the stages; where a device cannot, a note says so and nothing is replayed."""
        rows = n * self._readout.shape[0]
        if chosen:
            self._multiply_by(Fastest(max(self._weights, key=torch.numel), n, rows))
        try:
            self._rehearse(ReplayedStages(CudaGraphs(self._device)), n)
            self._notes += ("iterations replayed from CUDA graphs",)
        except (RuntimeError, SolveError) as error:
            self._notes += (f"no CUDA graphs: {' '.join(str(error).split())[:200]}",)

    def _multiply_by(self, products: Fastest) -> None:
        self._passes.products, self._notes = products, (products.note,)

    def _rehearse(self, stages: Stages, n: int) -> None:
        """Records all stages of an iteration, on inputs and coefficients of zero: no weight changes."""
        meter = Meter(self._device)
        samples = stages.load("samples", self._weights[0].new_zeros(n, self._widths[0]))
        labels = stages.load("labels", self._targets(np.zeros((n, self._readout.shape[0])), n))
        q = stages.load("q", torch.zeros(n, self._readout.shape[0], dtype=self._dtype, device=self._device))
        trace = stages.run("forward", lambda count: self._passes.forward(samples, count), meter)
        _, figures = stages.run("loss", lambda count: loss_and_figures(trace, labels, count), meter)
        left = stages.run("backward", lambda count: self._passes.backward(trace, count), meter)
        stages.run("gram", lambda count: self._passes.gram(trace, left, count), meter)
        read_figures(figures, trace)
        factors, growth = stages.run("factors", lambda count: update_factors(q, trace, left, count), meter)
        if any(growth.tolist()):  # also where it is not a number
            raise SolveError("update: expected no change by coefficients of zero, got one")
        stages.run("write", lambda count: self._passes.write(factors, trace, count), meter)
        self._prepared = n, stages

    def _trace(self, X: Any) -> Trace:
        trace = self._passes.forward(self._samples(X), Meter(self._device))
        check_finite(trace, trace.sums.tolist())
        return trace

    def _grow(self, growth: Float[torch.Tensor, " layers"]) -> None:
        """Keeps the bounds on |W_ℓ| up to date; nothing is written where one leaves the dtype's range."""
        magnitudes = [bound + more for bound, more in zip(self._magnitudes, growth.tolist(), strict=True)]
        for layer, bound in enumerate(magnitudes, start=1):
            if not bound < torch.finfo(self._dtype).max:
                raise SolveError(f"update: expected finite new weights in layer {layer}, got an overflow")
        self._magnitudes = magnitudes

    def _derivatives(self, X: Any) -> tuple[Trace, list[Float[torch.Tensor, "n c _"]]]:
        trace = self._trace(X)
        return trace, self._passes.backward(trace, Meter(self._device))

    def _samples(self, X: Any) -> Float[torch.Tensor, "n d"]:
        return self._tensor("X", array("X", X, (None, self._widths[0])))

    def _targets(self, y: Any, samples: int) -> Float[torch.Tensor, "n c"]:
        return self._tensor("y", targets("y", y, samples, self._readout.shape[0], "float64"))

    def _tensor(self, argument: str, value: np.ndarray) -> torch.Tensor:
        kind = str(self._dtype).removeprefix("torch.")
        return torch.tensor(array(argument, value, value.shape, kind), device=self._device)


def _device(name: str | torch.device) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ArgumentError("device", "a device that torch can use here", f"{name!r} ({error})") from None
    if device.type == "meta":
        raise ArgumentError("device", "a device that stores numbers", repr(name))
    return device
