"""The optimized implementation behind the contract; `SparseNetwork.step` is one iteration, top to bottom."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from impl.activation import layer_activation
from impl.backward import left_factors
from impl.forward import Trace, gather_forward
from impl.gram import gram_matrix
from impl.kernels import OuterUpdate, select_kernels
from impl.loss import LOSSES_BY_NAME
from impl.readout import Readout
from impl.solve import Solution, solve_damped
from impl.weights import EagerWeights
from impl.work import WorkMeter, tensor_bytes
from reference.contract import (
    METHODS,
    ArgumentError,
    LayerWork,
    Network,
    PhaseWork,
    StepReport,
)
from reference.contract.arguments import affordable, array, dtype_name, number, one_of, targets
from reference.contract.shapes import Bool, Float, Real


def factory(
    network: Network, *, device: str | torch.device = "cpu", dtype: str = "float32", kernels: str = "auto"
) -> SparseNetwork:
    """Builds the sparse implementation.

    Args:
        network: The initial network; its arrays are copied.
        device: A torch device.
        dtype: "float32" or "float64", for weights and everything sparse.
        kernels: "compiled" (numba, CPU), "torch" (any device), or "auto".

    Raises:
        ArgumentError: for unknown names, a device that is not there, a network that does not fit its memory
            or overflows the dtype.
    """
    if not isinstance(network, Network):
        raise ArgumentError("network", "a Network", type(network).__name__)
    return SparseNetwork(network, _device(device), dtype_name("dtype", dtype), kernels)


class SparseNetwork:
    """The contract (reference.contract.Implementation) in time subquadratic in the widths.

    Active units are index sets with values; nothing of size m_ℓ·m_{ℓ−1} is allocated or passed over
    after construction, but by `gradient` and `to_network`, which return such arrays.

    Attributes:
        initialization: Counted work and time of the construction.
    """

    def __init__(self, network: Network, device: torch.device, dtype: str, kernels: str):
        begin = time.perf_counter()
        self._device, self._dtype_name = device, dtype
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._kernels = select_kernels(kernels, device)
        self._widths, self._source = network.widths, network.activation
        needed = sum(weight.size for weight in network.weights) * self._dtype.itemsize
        affordable("network", needed, _memory(device))
        self._activations = [layer_activation(network.activation, width, self._dtype) for width in self._widths[1:]]
        self._weights = [
            EagerWeights(layer, self._cast(f"weights[{layer - 1}]", weight), device, self._dtype, self._kernels)
            for layer, weight in enumerate(network.weights, start=1)
        ]
        self._biases = None
        if network.biases is not None:
            self._biases = [self._tensor(f"biases[{layer}]", bias) for layer, bias in enumerate(network.biases)]
        self._readout = Readout(self._tensor("readout", network.readout), self._kernels)
        self.initialization = PhaseWork(
            {
                layer: LayerWork(0, matrix.nbytes + tensor_bytes(weight.table))
                for layer, (matrix, weight) in enumerate(zip(network.weights, self._weights, strict=True), start=1)
            },
            time.perf_counter() - begin,
        )

    def forward(self, X: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """See the contract."""
        return self._trace(self._samples(X)).outputs.cpu().numpy()

    def active_sets(self, X: Real[np.ndarray, "n d"]) -> list[Bool[np.ndarray, "n _"]]:
        """See the contract."""
        trace = self._trace(self._samples(X))
        return [
            support.densify(torch.ones(support.entries, dtype=torch.bool, device=self._device)).cpu().numpy()
            for support in trace.supports[1:]
        ]

    def jacobian_factors(
        self, X: Real[np.ndarray, "n d"]
    ) -> list[tuple[Float[np.ndarray, "n c _"], Float[np.ndarray, "n _"]]]:
        """See the contract."""
        trace = self._trace(self._samples(X))
        return [
            (
                trace.supports[layer].densify(left).cpu().numpy(),
                trace.supports[layer - 1].densify(trace.hidden[layer - 1]).cpu().numpy(),
            )
            for layer, left in enumerate(self._left(trace), start=1)
        ]

    def gradient(
        self, X: Real[np.ndarray, "n d"], y: Real[np.ndarray, " ..."], loss: str = "squared"
    ) -> list[Float[np.ndarray, "_ _"]]:
        """See the contract."""
        one_of("loss", loss, LOSSES_BY_NAME)
        trace = self._trace(self._samples(X))
        residual = LOSSES_BY_NAME[loss].gradient(trace.outputs, self._targets(y, trace.outputs.shape[0]))
        return [
            torch.einsum(
                "ia,ib->ab",
                trace.supports[layer].densify(_combine(residual, left, trace, layer)),
                trace.supports[layer - 1].densify(trace.hidden[layer - 1]),
            )
            .cpu()
            .numpy()
            for layer, left in enumerate(self._left(trace), start=1)
        ]

    def gram(self, X: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "nc nc"]:
        """See the contract. In float64 whatever the dtype of the weights."""
        work = WorkMeter(self._device)
        trace = self._trace(self._samples(X))
        return gram_matrix(trace.supports, trace.hidden, self._left(trace), self._kernels, work).cpu().numpy()

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
        """See the contract.

        Raises:
            ArgumentError: for bad input.
            SolveError: where a number overflows on the way.
        """
        one_of("method", method, METHODS)
        one_of("loss", loss, LOSSES_BY_NAME)
        learning_rate = number("learning_rate", learning_rate, 0.0)
        damping = number("damping", damping, 0.0)
        samples = self._samples(X)
        labels = self._targets(y, samples.shape[0])
        work = WorkMeter(self._device)

        with work.phase("forward"):
            trace = self._trace(samples, work)
            risk = LOSSES_BY_NAME[loss].value(trace.outputs, labels)
            residual = LOSSES_BY_NAME[loss].gradient(trace.outputs, labels)
        with work.phase("backward"):
            left = self._left(trace, work)
        solution = Solution(residual, "")  # gradient descent: the residual itself
        if method == "gauss_newton":
            with work.phase("gram"):
                gram = gram_matrix(trace.supports, trace.hidden, left, self._kernels, work)
            with work.phase("solve"):
                solution = solve_damped(gram, damping, residual, work)
        coefficients = (learning_rate * solution.coefficients).to(self._dtype)
        counts = [support.counts for support in trace.supports[1:]]
        dead = (torch.stack(counts).amin(dim=0) == 0).nonzero()[:, 0].tolist()
        active_counts = tuple(count.cpu().numpy() for count in counts)

        # Nothing may fail once weights are written: all that the report needs is at hand before.
        with work.phase("update"):
            updates = [
                weight.plan_update(
                    trace.supports[layer - 1],
                    trace.hidden[layer - 1],
                    trace.supports[layer],
                    _combine(coefficients, left[layer - 1], trace, layer, work),
                    work,
                )
                for layer, weight in enumerate(self._weights, start=1)
            ]
            _apply_all_or_none(updates)

        return StepReport(
            loss=risk,
            work=work.phases,
            dead_samples=tuple(dead),
            active_counts=active_counts,
            solver=solution.solver,
            notes=(solution.note,) if solution.note else (),
        )

    def to_network(self) -> Network:
        """See the contract."""
        return Network(
            weights=[weight.materialize() for weight in self._weights],
            biases=None if self._biases is None else [bias.cpu().numpy().copy() for bias in self._biases],
            readout=self._readout.table.T.cpu().numpy().copy(order="C"),
            activation=self._source,
        )

    def _trace(self, samples: Float[torch.Tensor, "n d"], work: WorkMeter | None = None) -> Trace:
        work = work or WorkMeter(self._device)
        return gather_forward(
            samples, self._weights, self._biases, self._activations, self._readout, self._kernels, work
        )

    def _left(self, trace: Trace, work: WorkMeter | None = None) -> list[Float[torch.Tensor, "c _"]]:
        work = work or WorkMeter(self._device)
        return left_factors(trace, self._weights, self._activations, self._readout, work)

    def _samples(self, X: Any) -> Float[torch.Tensor, "n d"]:
        samples = self._tensor("X", array("X", X, (None, self._widths[0]), self._dtype_name))
        most = (2**31 - 1) // max(self._widths)
        if samples.shape[0] > most:  # entries are counted in 32 bits
            raise ArgumentError("X", f"at most {most} samples at these widths", str(samples.shape[0]))
        return samples

    def _targets(self, y: Any, samples: int) -> Float[torch.Tensor, "n c"]:
        return self._tensor("y", targets("y", y, samples, self._readout.table.shape[1], self._dtype_name))

    def _tensor(self, argument: str, value: np.ndarray) -> torch.Tensor:
        return torch.tensor(self._cast(argument, value), device=self._device)

    def _cast(self, argument: str, value: np.ndarray) -> np.ndarray:
        return array(argument, value, value.shape, self._dtype_name)


def _combine(
    coefficients: Float[torch.Tensor, "n c"],
    left: Float[torch.Tensor, "c entries"],
    trace: Trace,
    layer: int,
    work: WorkMeter | None = None,
) -> Float[torch.Tensor, " entries"]:
    """Σ_o q_{i,o} g_{i,o,ℓ}: with it the update of a layer has rank n, whatever c."""
    combined = (coefficients.T[:, trace.supports[layer].sample_of_entry] * left).sum(dim=0)
    if work is not None:
        work.count(layer, left.numel(), tensor_bytes(left, left, combined))
    return combined


def _apply_all_or_none(updates: list[OuterUpdate]) -> None:
    begun = []
    try:
        for update in updates:
            begun.append(update)
            update.apply()
    except BaseException:
        for update in begun:
            update.revert()
        raise


def _device(name: str | torch.device) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ArgumentError("device", "a device that torch can use here", f"{name!r} ({error})") from None
    if device.type == "meta":
        raise ArgumentError("device", "a device that stores numbers", repr(name))
    return device


def _memory(device: torch.device) -> int | None:
    return torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else None
