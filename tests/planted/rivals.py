"""The dense rival, wrong: what it is held against would then be measured beside a mistake."""

from __future__ import annotations

from typing import Any

import torch

import benchmarks.rivals.dense  # noqa: F401 - dataclasses of the copy look for a module of their name
from tests.planted.registry import RIVAL, Module, plant


@plant("benchmarks.rivals.passes", RIVAL, killed_by="report_describes_the_step")
def counts_sample_by_sample(passes: Module) -> None:
    """What is read from the device at once is cut up by samples, where it lies by layers."""
    correct = passes.read_figures

    def read_figures(figures: Any, trace: Any) -> Any:
        risk, counts = correct(figures, trace)
        return risk, counts.reshape(counts.shape[::-1]).T

    passes.read_figures = read_figures


@plant("benchmarks.rivals.passes", RIVAL, killed_by="report_describes_the_step")
def loss_without_its_half(passes: Module) -> None:
    """The loss is the sum of squares."""
    correct = passes.read_figures

    def read_figures(figures: Any, trace: Any) -> Any:
        risk, counts = correct(figures, trace)
        return 2.0 * risk, counts

    passes.read_figures = read_figures


@plant(
    "benchmarks.rivals.passes",
    RIVAL,
    killed_by="gauss_newton_step_matches_the_oracle gradient_descent_step_matches_the_oracle",
)
def factors_of_one_output(passes: Module) -> None:
    """The update takes the left factors of the first output for those of all."""
    correct = passes.update_factors

    def update_factors(q: Any, trace: Any, left: Any, meter: Any) -> Any:
        return correct(q, trace, [g[:, :1].expand_as(g) for g in left], meter)

    passes.update_factors = update_factors


@plant("benchmarks.rivals.solve", RIVAL, killed_by="gauss_newton_step_matches_the_oracle")
def solved_without_the_damping(solve: Module) -> None:
    """The system is G q = r, whatever the damping."""
    correct = solve.solve
    solve.solve = lambda gram, damping, residual, meter: correct(gram, 0.0, residual, meter)


@plant("benchmarks.rivals.passes", RIVAL, killed_by="gram_matrix_matches_the_oracle")
def gram_matrix_output_by_output(passes: Module) -> None:
    """Rows of the Gram matrix go output by output, where they are to go sample by sample."""
    correct = passes.Passes.gram

    def gram(self: Any, trace: Any, left: Any, meter: Any) -> Any:
        n, outputs = left[0].shape[:2]
        rows = torch.arange(n * outputs).view(n, outputs).T.flatten()
        return correct(self, trace, left, meter)[rows][:, rows]

    passes.Passes.gram = gram
