"""Networks over a mapped base: any number of fine-tunings W = W⁰ − D of one file."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from impl.construction import Machine
from impl.files.atomic import absolute_path
from impl.files.base_file import BaseFile, Origin, table_name
from impl.implementation import SparseNetwork
from impl.passes import ForwardChoice
from impl.solvers import Solver, select_solver
from impl.weights import Base, LazyWeights, LowRank, Maintenance, check_maintenance, select_maintenance
from impl.work import tensor_bytes
from reference.contract import LayerWork, PhaseWork
from reference.contract.arguments import affordable, trained


def open_base(
    path: str | os.PathLike[str],
    *,
    device: str | torch.device = "cpu",
    maintenance: str | Maintenance = "recompress",
    solver: str | Solver = "cholesky",
    trained_layers: Iterable[int] | None = None,
    kernels: str = "auto",
) -> SparseNetwork:
    """Opens a base as a network with lazy weights W = W⁰ − D, D = 0, in dtype and storage of the file.

    On the CPU the tables are the mapped file: nothing is copied, and networks on one base share its pages, within a
    process and between processes. Other devices get a copy. Nothing ever writes the file; it is read from beginning to
    end, for its hash and for bounds on its entries. Whoever changes or shortens it while it is open, instead of
    replacing it, pulls the weights from under the network.

    Args:
        path: Of a file that write_base wrote.
        device: A torch device.
        maintenance: See impl.factory. A fold copies the tables, and what it made can no longer be saved as a delta;
            into a base that is stored in bfloat16 nothing is folded.
        solver: See impl.factory.
        trained_layers: See impl.factory.
        kernels: See impl.factory.

    Raises:
        ArgumentError: for bad arguments, and for a file that is missing, damaged or no base.
    """
    tuning = FineTuning.checked(device, maintenance, solver, kernels)
    return tuning.over(BaseFile.opened("path", absolute_path("path", path)), trained_layers)


@dataclass(frozen=True)
class FineTuning:
    """How networks over bases compute.

    Attributes:
        machine: Where; the dtype is that of the base.
        maintenance: When to fold or to recompress.
        solver: Of the Gauss–Newton system.
    """

    machine: Machine
    maintenance: Maintenance
    solver: Solver

    @classmethod
    def checked(
        cls, device: str | torch.device, maintenance: str | Maintenance, solver: str | Solver, kernels: str
    ) -> FineTuning:
        """From the arguments of open_base, before any file is read. Raises ArgumentError for bad ones."""
        return cls(Machine.checked(device, "float32", kernels), select_maintenance(maintenance), select_solver(solver))

    def over(
        self, file: BaseFile, trained_layers: Iterable[int] | None, low_ranks: Sequence[LowRank] | None = None
    ) -> SparseNetwork:
        """The network over a base.

        Args:
            file: The base, on the CPU.
            trained_layers: See impl.factory.
            low_ranks: D of every layer, on the device; None for zero.

        Raises:
            ArgumentError: for layers that there are not, and for a base that does not fit the device or is not finite.
        """
        begin = time.perf_counter()
        layers = trained("trained_layers", trained_layers, file.shell.depth)
        machine = replace(self.machine, dtype_name=file.dtype)
        check_maintenance(file.storage, self.maintenance)
        if machine.device.type != "cpu":
            affordable(file.container.argument, tensor_bytes(*file.tables), machine.memory)
        bases = tuple(Base(table.to(machine.device), shared=True) for table in file.tables)
        weights = []
        for index, base in enumerate(bases):
            if not math.isfinite(base.magnitude):
                raise file.container.refusal(f"finite values in {table_name(index + 1)!r}", "others")
            low_rank = None if low_ranks is None else low_ranks[index]
            weights.append(LazyWeights(index + 1, base, machine.kernels, self.maintenance, low_rank))
        placed = machine.device, machine.dtype, machine.kernels
        built = SparseNetwork(file.shell, weights, *placed, self.solver, layers, ForwardChoice())
        built.origin = Origin(file.container.path, file.sha256, bases)
        built.initialization = PhaseWork(
            {layer: LayerWork(0, tensor_bytes(table)) for layer, table in enumerate(file.tables, start=1)},
            time.perf_counter() - begin,
        )
        return built
