"""The Gauss–Newton system of one step, and its coefficients (reference/README.md, section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch

from impl.curvature import Curvature
from impl.gram import gram_matrix, gram_product
from impl.jacobian import JacobianFactors
from impl.kernels import Kernels
from impl.sketch import Sketch, sketched_jacobian
from impl.solvers.interface import Solution, Solver
from impl.work import WorkMeter, tensor_bytes
from reference.contract import SolveError
from reference.contract.shapes import Float

# A Gram matrix of more bytes is not kept: products with it then cost n²·k instead of n², but no memory. Below,
# one pass of n²·k to form it is always repaid, by the second product at the latest.
GRAM_BYTES = 1 << 30

# Two or three digits of ‖A‖₂ are more than a backward error needs.
POWER_ITERATIONS = 5


class GaussNewtonSystem:
    """A = Bᵀ G B + λI, symmetric: see impl/curvature.py for what it has to do with (H G + λI) q = r.

    Args:
        factors: Of the Jacobian.
        curvature: H = B Bᵀ.
        damping: λ ≥ 0.
        kernels: The sparse products.
        work: Counts.

    Raises:
        SolveError: where G is not finite.
    """

    def __init__(
        self,
        factors: JacobianFactors,
        curvature: Curvature,
        damping: float,
        kernels: Kernels,
        work: WorkMeter,
    ):
        self.damping = damping
        self._factors, self._curvature, self._kernels, self._work = factors, curvature, kernels, work
        self._gram: Float[torch.Tensor, "nc nc"] | None = None
        if 8 * factors.rows**2 <= GRAM_BYTES:
            self._gram = gram_matrix(factors, kernels, work)
            _check_finite(self._gram)

    @property
    def rows(self) -> int:
        """n·c."""
        return self._factors.rows

    @property
    def smallest_layer(self) -> int:
        """The least number of weights of a trained layer: a sketch with more rows makes no sense."""
        return self._factors.smallest_layer

    @cached_property
    def matrix(self) -> Float[torch.Tensor, "nc nc"]:
        """A, written out."""
        gram = self._gram
        if gram is None:
            gram = gram_matrix(self._factors, self._kernels, self._work)
            _check_finite(gram)
        halfway = self._curvature.times_root(gram)
        whole = self._curvature.times_root(halfway.T).clone()
        whole.diagonal().add_(self.damping)
        return whole

    def product(self, vector: Float[torch.Tensor, " nc"]) -> Float[torch.Tensor, " nc"]:
        """A v: n² where the Gram matrix is kept, n²·k where it is not."""
        if self._gram is not None:
            self._work.count(0, self.rows**2, tensor_bytes(self.matrix))
            return self.matrix @ vector
        inner = self.gram_product(self._curvature.expand(vector))
        return self._curvature.times_root(inner[None])[0] + self.damping * vector

    def gram_product(self, coefficients: Float[torch.Tensor, "n c"]) -> Float[torch.Tensor, " nc"]:
        """G v."""
        vector = coefficients.reshape(-1)
        if self._gram is None:
            product = gram_product(self._factors, vector, self._kernels, self._work)
            _check_finite(product)
            return product
        self._work.count(0, self.rows**2, tensor_bytes(self._gram))
        return self._gram @ vector

    def sketched_root(self, sketches: dict[int, Sketch]) -> Float[torch.Tensor, "s nc"]:
        """S Jᵀ B, summed over the layers: with it A ≈ (S Jᵀ B)ᵀ (S Jᵀ B) + λI.

        Args:
            sketches: For every trained layer its sketch, all with s rows.
        """
        return self._curvature.times_root(sketched_jacobian(self._factors, sketches, self._work))

    def layer_widths(self) -> dict[int, tuple[int, int]]:
        """For every trained layer (m_ℓ, m_{ℓ−1})."""
        return self._factors.layer_widths

    @cached_property
    def norm(self) -> float:
        """A lower estimate of ‖A‖₂ by power iteration: backward errors are taken relative to it."""
        vector = torch.ones(self.rows, dtype=torch.float64, device=self._factors.left[0].device)
        norm = torch.linalg.vector_norm(vector)
        for _ in range(POWER_ITERATIONS):
            vector = self.product(vector / torch.where(norm > 0.0, norm, 1.0))
            norm = torch.linalg.vector_norm(vector)
        return float(norm)


@dataclass(frozen=True)
class StepCoefficients:
    """What a step subtracts: Σ_{i,o} q_{i,o} g_{i,o} h_iᵀ.

    Attributes:
        values: q before the learning rate, (n, c).
        solution: How it was found; None for gradient descent.
        notes: What was out of the ordinary.
    """

    values: Float[torch.Tensor, "n c"]
    solution: Solution | None = None
    notes: tuple[str, ...] = ()


def gauss_newton_coefficients(
    system: GaussNewtonSystem, curvature: Curvature, solver: Solver, work: WorkMeter
) -> StepCoefficients:
    """q = (H G + λI)⁻¹ r; without damping, its limit λ → 0 within the range of H.

    Args:
        system: A.
        curvature: H and r.
        solver: Solves with A.
        work: Counts.

    Raises:
        SolveError: where G or the solution is not finite, or where the solver missed its tolerance and is to say so.
    """
    right, notes = curvature.whitened.reshape(-1), []
    beyond = None
    flat = int(curvature.rest.count_nonzero()) if curvature.rest is not None else 0
    if curvature.rest is not None and flat:
        if system.damping > 0.0:
            beyond = curvature.rest / system.damping
            right = right - curvature.times_root(system.gram_product(beyond)[None])[0]
            notes.append(f"{flat} outputs without curvature move by r/λ")
        else:
            notes.append(f"{flat} outputs without curvature, and no damping: left out")
    solution = solver.solve(system, right, work)
    values = curvature.expand(solution.values)
    if beyond is not None:
        values = values + beyond
    if not torch.isfinite(values).all():
        raise SolveError("solve: expected finite coefficients, got an overflow; the network is unchanged")
    return StepCoefficients(values, solution, (*notes, *solution.notes))


def _check_finite(numbers: Float[torch.Tensor, "*shape"]) -> None:
    # The sum of finite numbers may itself overflow; only then are they looked at one by one.
    if not math.isfinite(numbers.sum()) and not torch.isfinite(numbers).all():
        raise SolveError("solve: expected a finite Gram matrix, got an overflow; the network is unchanged")
