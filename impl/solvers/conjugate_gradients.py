"""Conjugate gradients, plain and preconditioned by a sketch (reference/README.md, section 8).

Convergence is judged by the backward error ‖b − A x‖ / (‖A‖‖x‖ + ‖b‖) of the true residual, which float64 can always
bring near its roundoff; the residual over ‖b‖ alone it cannot where A is ill-conditioned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from impl.sketch import SKETCHES, layer_sketches
from impl.solvers.cholesky import CholeskySolver
from impl.solvers.interface import Solution, System, backward_error, together
from impl.solvers.preconditioner import Identity, Preconditioner, SketchedCholesky
from impl.work import WorkMeter, tensor_bytes
from reference.contract import SolveError, SolveReport, arguments
from reference.contract.arguments import one_of, whole_number
from reference.contract.shapes import Float

#: What to do where the tolerance is missed.
MISSES = ("fallback", "error")

# The recurrence's residual drifts from the true one; so often is it replaced by the true one and iteration goes on.
RESTARTS = 3


@dataclass(frozen=True)
class ConjugateGradientSolver:
    """See Solver. Products with A only: n² an iteration, and no n³.

    Attributes:
        tolerance: Of the backward error.
        max_iterations: The most iterations; None stands for 2 n·c + 100.
        on_miss: "fallback" solves by Cholesky and says so in a note; "error" raises SolveError.
    """

    tolerance: float = 1e-12
    max_iterations: int | None = None
    on_miss: str = "fallback"

    @property
    def name(self) -> str:
        """See Solver."""
        return "cg"

    def __post_init__(self) -> None:
        check_options(self.tolerance, self.max_iterations, self.on_miss)

    def solve(self, system: System, right: Float[torch.Tensor, " nc"], work: WorkMeter) -> Solution:
        """See Solver."""
        run = _iterate(system, right, Identity(), self.tolerance, _most(self.max_iterations, system), work)
        report = SolveReport(run.iterations, run.backward_error, self.tolerance, run.condition, run.condition)
        return _judged(run, report, self.name, self.on_miss, system, right, work)


@dataclass(frozen=True)
class SketchedConjugateGradientSolver:
    """See Solver. The preconditioner comes from a sketch of the Jacobian, by QR.

    With s rows the preconditioned system has condition number about ((1 + √(n/s)) / (1 − √(n/s)))², however
    ill-conditioned A is, and conjugate gradients take O(log 1/ε) iterations.

    Attributes:
        tolerance: Of the backward error.
        max_iterations: The most iterations; None stands for 2 n·c + 100.
        on_miss: As for ConjugateGradientSolver.
        sketch: "tensor_srht" or "tensor_sketch".
        rows: s, at most the size of the smallest trained layer; None stands for 8 n·c, or that size where it is less.
        seed: Draws the sketch, the same at every step.
    """

    tolerance: float = 1e-12
    max_iterations: int | None = None
    on_miss: str = "fallback"
    sketch: str = "tensor_srht"
    rows: int | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """See Solver."""
        return "sketched-cg" if self.sketch == "tensor_srht" else "sketched-cg-tensor-sketch"

    def __post_init__(self) -> None:
        check_options(self.tolerance, self.max_iterations, self.on_miss)
        one_of("sketch", self.sketch, SKETCHES)
        whole_number("seed", self.seed, 0)
        if self.rows is not None:
            whole_number("rows", self.rows, 1)

    def solve(self, system: System, right: Float[torch.Tensor, " nc"], work: WorkMeter) -> Solution:
        """See Solver."""
        most = system.smallest_layer
        rows = min(8 * system.rows, most) if self.rows is None else whole_number("rows", self.rows, 1, most)
        sketches = layer_sketches(
            SKETCHES[self.sketch], rows, system.layer_widths(), seed=self.seed, device=right.device
        )
        preconditioner = SketchedCholesky.of(system.sketched_root(sketches), system.damping, work)
        if preconditioner is None:
            report = SolveReport(tolerance=self.tolerance)
            return _missed(
                f"the sketch of {rows} rows is singular", report, self.name, self.on_miss, system, right, work
            )
        run = _iterate(system, right, preconditioner, self.tolerance, _most(self.max_iterations, system), work)
        report = SolveReport(
            run.iterations, run.backward_error, self.tolerance, preconditioner.condition, run.condition
        )
        return _judged(run, report, self.name, self.on_miss, system, right, work)


def check_options(tolerance: float, max_iterations: int | None, on_miss: str) -> None:
    """Raises ArgumentError for options that no iterative solver can work with."""
    arguments.tolerance("tolerance", tolerance)
    if max_iterations is not None:
        whole_number("max_iterations", max_iterations, 1)
    one_of("on_miss", on_miss, MISSES)


@dataclass(frozen=True)
class _Run:
    """Where conjugate gradients ended; `stuck` where what is left of the right-hand side lies where A vanishes."""

    values: Float[torch.Tensor, " nc"]
    iterations: int
    backward_error: float
    condition: float
    stuck: bool


def _iterate(
    system: System,
    right: Float[torch.Tensor, " nc"],
    preconditioner: Preconditioner,
    tolerance: float,
    most: int,
    work: WorkMeter,
) -> _Run:
    x = torch.zeros_like(right)
    steps: list[float] = []  # α and β of the first descent: the Lanczos matrix of the preconditioned system
    ratios: list[float] = []
    iterations, error, stuck = 0, backward_error(system, x, right), False
    size = float(torch.linalg.vector_norm(right))
    least = system.rows * torch.finfo(right.dtype).eps * system.norm  # what counts as zero, as for CholeskySolver
    for restart in range(RESTARTS):
        if error <= tolerance or iterations >= most:
            break
        residual, stuck = right - system.product(x), False
        direction = preconditioned = preconditioner.apply(residual, work)
        energy = float(residual @ preconditioned)
        while iterations < most and energy > 0.0:
            image = system.product(direction)
            curvature, length = together(direction @ image, direction @ direction)
            if not curvature > least * length:
                # To go on would let x grow until any residual is small beside it.
                stuck = float(torch.linalg.vector_norm(residual)) > tolerance * size
                break
            alpha = energy / curvature
            x = x + alpha * direction
            residual = residual - alpha * image
            work.count(0, 6 * len(x), 11 * tensor_bytes(x))
            iterations += 1
            preconditioned = preconditioner.apply(residual, work)
            before = energy
            energy, left = together(residual @ preconditioned, torch.linalg.vector_norm(residual))
            beta = energy / before
            direction = preconditioned + beta * direction
            if restart == 0:
                steps.append(alpha)
                ratios.append(beta)
            # Stricter than what is promised: x may be large where it moves no weight, as at dead samples.
            if left <= 0.5 * tolerance * size:
                break
        error = backward_error(system, x, right)
    return _Run(x, iterations, error, _condition(steps, ratios), stuck)


def _condition(steps: list[float], ratios: list[float]) -> float:
    """The ratio of the extreme Ritz values: a lower estimate of the condition number."""
    if not steps:
        return 1.0
    alpha, beta = (torch.tensor(numbers, dtype=torch.float64) for numbers in (steps, ratios))
    diagonal = 1.0 / alpha
    diagonal[1:] += beta[:-1] / alpha[:-1]
    beside = beta[:-1].clamp(min=0.0).sqrt() / alpha[:-1]
    matrix = torch.diag(diagonal) + torch.diag(beside, 1) + torch.diag(beside, -1)
    if not torch.isfinite(matrix).all():
        return math.inf
    values = torch.linalg.eigvalsh(matrix)
    return float(values[-1] / values[0]) if values[0] > 0.0 else math.inf


def _most(max_iterations: int | None, system: System) -> int:
    return 2 * system.rows + 100 if max_iterations is None else max_iterations


def _judged(
    run: _Run,
    report: SolveReport,
    name: str,
    on_miss: str,
    system: System,
    right: Float[torch.Tensor, " nc"],
    work: WorkMeter,
) -> Solution:
    if run.backward_error <= report.tolerance and not run.stuck:
        return Solution(run.values, name, report)
    why = f"backward error {run.backward_error:.1e} after {run.iterations} iterations"
    if run.stuck:
        why += ", and the rest of the right-hand side where the matrix is singular to rounding"
    return _missed(why, report, name, on_miss, system, right, work)


def _missed(
    why: str,
    report: SolveReport,
    name: str,
    on_miss: str,
    system: System,
    right: Float[torch.Tensor, " nc"],
    work: WorkMeter,
) -> Solution:
    """A solve that missed its tolerance is an error or a reported fallback, never silent."""
    if on_miss == "error":
        raise SolveError(
            f"solve: expected {name} to reach tolerance {report.tolerance:g}, got {why}; the network is unchanged"
        )
    direct = CholeskySolver().solve(system, right, work)
    note = f"{name} missed tolerance {report.tolerance:g} ({why}): solved by {direct.solver}"
    return Solution(direct.values, direct.solver, report, (note, *direct.notes))
