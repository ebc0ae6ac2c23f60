"""Building the implementation from a network: the choices by name, and what each stands for."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from impl.implementation import SparseNetwork
from impl.initialization import random_network
from impl.kernels import Kernels, select_kernels
from impl.passes import ForwardChoice, default_forward
from impl.shell import Shell
from impl.sketch import SKETCHES
from impl.solvers import Solver, select_solver
from impl.weights import (
    WEIGHTS,
    Base,
    EagerWeights,
    LazyWeights,
    Maintenance,
    Weights,
    WriteUnlessAnchored,
    out_of_range,
    select_maintenance,
    select_storage,
)
from impl.weights.source import source_matrix
from impl.work import tensor_bytes
from reference.contract import DTYPES, LOSSES, ArgumentError, Capabilities, LayerWork, Network, PhaseWork
from reference.contract.arguments import affordable, array, dtype_name, one_of, trained

#: Whether steps are replayed from CUDA graphs.
GRAPHS = ("auto", "never")


def factory(
    network: Network,
    *,
    device: str | torch.device = "cpu",
    dtype: str = "float32",
    weights: str = "eager",
    maintenance: str | Maintenance = "fold",
    solver: str | Solver = "cholesky",
    trained_layers: Iterable[int] | None = None,
    kernels: str = "auto",
    forward: str | None = None,
    certificate_memory: int | None = None,
    self_check: bool = False,
    storage: str | None = None,
    graphs: str = "auto",
) -> SparseNetwork:
    """Builds the sparse implementation.

    Args:
        network: The initial network; its arrays are copied, those on a device without the host.
        device: A torch device.
        dtype: "float32" or "float64", for weights and everything sparse.
        weights: "eager" writes every update at once; "lazy" accumulates them as low-rank terms.
        maintenance: Of lazy weights: "fold" (when that pays), "recompress" (never writes the base), "keep", or a
            policy from impl.weights with options of its own.
        solver: "cholesky", "cg", "sketched-cg", or a solver from impl.solvers with options of its own.
        trained_layers: The numbers ℓ of the layers that steps train; None for all.
        kernels: "compiled" (numba, CPU), "triton" (CUDA; on the CPU where TRITON_INTERPRET=1 is set, interpreted),
            "torch" (any device), or "auto", the first of these that runs.
        forward: "gather" computes all units of a layer; "certified" only those that cannot be proved inactive, with
            the same result; "auto" is certified in networks of shifted ReLUs that are wide enough, for samples that
            come again, for as long as it pays. Eager weights are then written when that pays for new certificates, too.
            None stands for "auto" with compiled kernels in such networks, and else for "gather".
        certificate_memory: Bytes that certified passes may keep in blocks; None for 15 % of the weights'.
        self_check: Whether certified passes are compared with products in full: for tests.
        storage: None stores the weights in `dtype`; "bfloat16" in half of the memory of float32. The network is then
            the given one with its weights, as in float32, rounded to bfloat16, to nearest and at ties to even; all that
            is computed of it, and trained, is in float32 as ever. With lazy weights that are never folded, and
            forward="gather" (see impl.weights.storage).
        graphs: "auto" replays a step of Gauss–Newton on a CUDA device from graphs where it can (impl/captured), with
            the same result and in more memory; "never" launches every kernel anew.

    Raises:
        ArgumentError: for unknown names, a device that is not there, a network that does not fit its memory
            or overflows the dtype or the storage, and for choices that do not go together.
    """
    if not isinstance(network, Network):
        raise ArgumentError("network", "a Network", type(network).__name__)
    begin = time.perf_counter()
    machine = Machine.checked(device, dtype, kernels)
    one_of("weights", weights, WEIGHTS)
    policy, chosen_solver = select_maintenance(maintenance), select_solver(solver)
    layers = trained("trained_layers", trained_layers, network.depth)
    if forward is None:
        forward = default_forward(network.widths[1:], network.activation.kind, machine.kernels, storage)
    choice = ForwardChoice.checked(forward, certificate_memory, self_check)
    one_of("graphs", graphs, GRAPHS)
    certifies = choice.certifies(network.widths[1:], network.activation.kind)
    stored = torch_dtype(select_storage(storage, machine.dtype_name, weights, policy, forward))
    needed = sum(math.prod(weight.shape) for weight in network.weights) * stored.itemsize
    affordable("network", needed, machine.memory)
    shell = _checked_shell(network, machine.dtype_name)
    kept: list[Weights] = []
    for layer, weight in enumerate(network.weights, start=1):  # one at a time: in another dtype each is a copy
        matrix = source_matrix(f"weights[{layer - 1}]", weight, machine.dtype)
        if weights == "eager" and not certifies:
            kept.append(EagerWeights(layer, matrix, machine.device, machine.dtype, machine.kernels))
        else:
            base = Base.of_matrix(matrix, machine.device, stored)
            if not math.isfinite(base.magnitude):
                raise out_of_range(f"weights[{layer - 1}]", matrix, base.table)
            kept.append(
                LazyWeights(layer, base, machine.kernels, WriteUnlessAnchored() if weights == "eager" else policy)
            )
    placed = machine.device, machine.dtype, machine.kernels
    built = SparseNetwork(shell, kept, *placed, chosen_solver, layers, choice)
    built.initialization = PhaseWork(
        {
            layer: LayerWork(0, source.nbytes + tensor_bytes(held.table))
            for layer, (source, held) in enumerate(zip(network.weights, kept, strict=True), start=1)
        },
        time.perf_counter() - begin,
    )
    if graphs == "auto" and machine.device.type == "cuda" and machine.kernels.name == "triton":
        from impl.captured import CudaGraphs  # needs Triton

        built.capture(functools.partial(CudaGraphs, machine.device))
    return built


def capabilities(*, solver: str | Solver = "cholesky", storage: str | None = None, **_: Any) -> Capabilities:
    """What `factory` can do when it is given these options."""
    return Capabilities(
        dtypes=DTYPES if storage is None else ("float32",),
        storage=storage,
        losses=LOSSES,
        readout_bias=True,
        trained_layers=True,
        solve_tolerance=select_solver(solver).tolerance,
        counts_work=True,
        subquadratic=True,
        float64_gram=True,
        sketches=tuple(SKETCHES),
        initialization=True,
    )


factory.capabilities = capabilities  # type: ignore[attr-defined]  # functions have attributes, but no type for them
factory.random_network = random_network  # type: ignore[attr-defined]  # likewise


@dataclass(frozen=True)
class Machine:
    """Where and in what a network computes."""

    device: torch.device
    dtype_name: str
    kernels: Kernels

    @classmethod
    def checked(cls, device: str | torch.device, dtype: str, kernels: str) -> Machine:
        """From the arguments of a factory. Raises ArgumentError for what is not there."""
        found = _device(device)
        return cls(found, dtype_name("dtype", dtype), select_kernels(kernels, found))

    @property
    def dtype(self) -> torch.dtype:
        """As torch names it."""
        return torch_dtype(self.dtype_name)

    @property
    def memory(self) -> int | None:
        """Bytes of the device's memory; None for the machine's own."""
        return torch.cuda.mem_get_info(self.device)[1] if self.device.type == "cuda" else None


def torch_dtype(name: str) -> torch.dtype:
    """The dtype of a name."""
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _checked_shell(network: Network, dtype: str) -> Shell:
    for argument, value in [("readout", network.readout), ("readout_bias", network.readout_bias)] + [
        (f"biases[{index}]", bias) for index, bias in enumerate(network.biases or ())
    ]:
        if value is not None:
            array(argument, value, value.shape, dtype)
    return Shell.of(network, dtype)


def _device(name: str | torch.device) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ArgumentError("device", "a device that torch can use here", f"{name!r} ({error})") from None
    if device.type == "meta":
        raise ArgumentError("device", "a device that stores numbers", repr(name))
    return device
