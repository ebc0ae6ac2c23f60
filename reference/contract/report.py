"""What a step tells of itself: plain data, the same for every implementation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from reference.contract.shapes import Int

#: The phases of one step, in their order.
PHASES = ("forward", "backward", "gram", "solve", "update")


@dataclass
class LayerWork:
    """Counted work of one layer in one phase.

    Attributes:
        multiply_adds: Multiplications with their additions; lone elementwise products count one each.
        bytes: Bytes of tensor data read or written: gathered elements, not the table they come from.
    """

    multiply_adds: int = 0
    bytes: int = 0


@dataclass
class PhaseWork:
    """Counted work and wall-clock time of one phase (reference/README.md, section 5).

    Attributes:
        layers: Work by layer: key ℓ = 1 … L for what belongs to W_ℓ, key 0 for what belongs to no
            weight matrix (readout, loss, solve).
        seconds: Wall-clock time.
    """

    layers: dict[int, LayerWork] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds over all layers."""
        return sum(work.multiply_adds for work in self.layers.values())

    @property
    def bytes(self) -> int:
        """Bytes over all layers."""
        return sum(work.bytes for work in self.layers.values())


@dataclass(frozen=True)
class SolveReport:
    """How the Gram system of a step was solved; where an iterative solver fell back on another, how far it had come.

    Attributes:
        iterations: Of an iterative solver; 0 for a direct one.
        backward_error: The residual's norm over ‖A‖‖x‖ + ‖b‖, NaN where it was not computed.
        tolerance: What the backward error was to be; 0 for a direct solver.
        condition_before: Estimate of the condition number of the system, NaN where there is none.
        condition_after: Likewise after preconditioning; the same number where there was no preconditioner.
    """

    iterations: int = 0
    backward_error: float = float("nan")
    tolerance: float = 0.0
    condition_before: float = float("nan")
    condition_after: float = float("nan")


@dataclass(frozen=True)
class LayerCertificate:
    """What a certified forward pass did in one layer (reference/README.md, section 9).

    Attributes:
        anchors: Samples for which a product with W⁰ in full was taken.
        candidates: Units that were computed, over all samples.
        certified: Units that were proved inactive without being read.
        appended: Candidates and inputs that came to what was kept of earlier passes.
        bytes: Of memory that is kept from pass to pass.
    """

    anchors: int = 0
    candidates: int = 0
    certified: int = 0
    appended: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class StepReport:
    """What one training step did.

    Attributes:
        loss: The empirical risk Σ_i loss(f(x_i), y_i) before the step.
        work: Counted work and time, by phase (see PHASES); an implementation that counts nothing
            leaves it empty.
        anchors: Layers in which the step took products in full, to renew certificates; 0 where none are used.
        folds: Folds of accumulated updates into the base weights; 0 where updates are written in place.
        dead_samples: Indices of the samples without an active unit in some layer: their gradient is zero.
        active_counts: For every layer the number of active units of every sample.
        solver: How the Gram system was solved, "" where none was.
        notes: What the step did beside the plain course, and why.
        solve: Figures of the Gram system's solve, None where there was none.
        recompressions: Truncations of accumulated updates to a lower rank.
        ranks: For every layer the rank in which updates are held after the step; empty where they are written
            in place.
        certificates: What was certified, layer by layer; empty where nothing was tried.
    """

    loss: float
    work: dict[str, PhaseWork] = field(default_factory=dict)
    anchors: int = 0
    folds: int = 0
    dead_samples: tuple[int, ...] = ()
    active_counts: tuple[Int[np.ndarray, " n"], ...] = ()
    solver: str = ""
    notes: tuple[str, ...] = ()
    solve: SolveReport | None = None
    recompressions: int = 0
    ranks: tuple[int, ...] = ()
    certificates: tuple[LayerCertificate, ...] = ()
