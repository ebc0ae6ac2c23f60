"""What solves the Gauss–Newton system of a step, and what it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from impl.sketch import Sketch
from impl.work import WorkMeter
from reference.contract import SolveReport
from reference.contract.shapes import Float


class System(Protocol):
    """A symmetric positive semidefinite matrix A = Bᵀ G B + λI (nc, nc), and how to get at it.

    Attributes:
        damping: λ.
    """

    damping: float

    @property
    def rows(self) -> int:
        """n·c."""

    @property
    def matrix(self) -> Float[torch.Tensor, "nc nc"]:
        """A, written out."""

    @property
    def norm(self) -> float:
        """An estimate of ‖A‖₂, from below."""

    @property
    def smallest_layer(self) -> int:
        """The least number of weights of a trained layer."""

    def layer_widths(self) -> dict[int, tuple[int, int]]:
        """For every trained layer (m_ℓ, m_{ℓ−1})."""

    def product(self, vector: Float[torch.Tensor, " nc"]) -> Float[torch.Tensor, " nc"]:
        """A v."""

    def sketched_root(self, sketches: dict[int, Sketch]) -> Float[torch.Tensor, "s nc"]:
        """A matrix whose Gram matrix, with λ added to its diagonal, approximates A."""


@dataclass(frozen=True)
class Solution:
    """A solved system.

    Attributes:
        values: x, (nc,).
        solver: The name of what solved it.
        report: Figures.
        notes: What was out of the ordinary.
    """

    values: Float[torch.Tensor, " nc"]
    solver: str
    report: SolveReport
    notes: tuple[str, ...] = ()


class Solver(Protocol):
    """Solves A x = b.

    Attributes:
        name: By which it is chosen and reported.
        tolerance: The backward error ‖b − A x‖ / (‖A‖‖x‖ + ‖b‖) that it promises; 0 where rounding alone limits it.
    """

    @property
    def name(self) -> str:
        """See above."""

    @property
    def tolerance(self) -> float:
        """See above."""

    def solve(self, system: System, right: Float[torch.Tensor, " nc"], work: WorkMeter) -> Solution:
        """Solves, or raises SolveError."""


def together(*numbers: Float[torch.Tensor, ""]) -> list[float]:
    """Some numbers of a device, for which the host waits once."""
    found: list[float] = torch.stack(numbers).tolist()
    return found


def backward_error(system: System, solution: Float[torch.Tensor, " nc"], right: Float[torch.Tensor, " nc"]) -> float:
    """‖b − A x‖ / (‖A‖‖x‖ + ‖b‖); 0 where all of these vanish."""
    differences = right - system.product(solution), solution, right
    residual, size, whole = together(*map(torch.linalg.vector_norm, differences))
    scale = system.norm * size + whole
    return residual / scale if scale > 0.0 else 0.0
