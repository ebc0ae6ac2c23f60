"""What a step tells of itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.planted.registry import OURS, Module, plant


def reported(implementation: Module, change: Any) -> None:
    """Hands out another report: change(report)."""
    correct = implementation.SparseNetwork.step
    implementation.SparseNetwork.step = lambda self, *arguments, **options: change(correct(self, *arguments, **options))


@plant("impl.implementation", OURS, killed_by="report_describes_the_step")
def dead_in_the_last_layer_only(implementation: Module) -> None:
    """A sample counts as dead only where the last layer has no active unit."""
    reported(
        implementation,
        lambda report: replace(
            report, dead_samples=tuple(i for i, count in enumerate(report.active_counts[-1]) if count == 0)
        ),
    )


@plant("impl.implementation", OURS, killed_by="report_describes_the_step")
def dead_by_their_number(implementation: Module) -> None:
    """Dead samples are numbered from 1."""
    reported(
        implementation, lambda report: replace(report, dead_samples=tuple(sample + 1 for sample in report.dead_samples))
    )


@plant("impl.implementation", OURS, killed_by="report_describes_the_step")
def counts_of_the_layer_before(implementation: Module) -> None:
    """Active counts are those of layers 0 … L − 1."""
    correct = implementation.SparseNetwork.step

    def step(self: Any, X: Any, *arguments: Any, **options: Any) -> Any:
        report = correct(self, X, *arguments, **options)
        return replace(report, active_counts=(report.active_counts[0], *report.active_counts[:-1]))

    implementation.SparseNetwork.step = step
