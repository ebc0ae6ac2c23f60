"""Results kept beyond their time."""

from __future__ import annotations

from typing import Any

from tests.planted.registry import OURS, Module, plant

FRESH = (
    "evaluations_after_a_step_use_the_new_weights every_step_of_a_run_matches_the_oracle "
    "any_sequence_of_operations_matches_the_oracle "
)


def remembered(self: Any, name: str, samples: Any, compute: Any) -> Any:
    """What was computed for these samples before, whatever happened since."""
    cache = self.__dict__.setdefault(name, {})
    key = samples.numpy().tobytes()
    if key not in cache:
        cache[key] = compute()
    return cache[key]


@plant("impl.implementation", OURS, killed_by=FRESH)
def trace_survives_a_step(implementation: Module) -> None:
    """The forward pass of a batch is cached, and a step does not discard it."""
    correct = implementation.SparseNetwork._trace
    implementation.SparseNetwork._trace = lambda self, samples, work=None: remembered(
        self, "_traces", samples, lambda: correct(self, samples, work)
    )


@plant("impl.implementation", OURS, killed_by=FRESH)
def left_factors_survive_a_step(implementation: Module) -> None:
    """Left factors are cached by the active sets, though they depend on the weights, too."""
    correct = implementation.SparseNetwork._left

    def _left(self: Any, trace: Any, work: Any = None) -> Any:
        cache = self.__dict__.setdefault("_lefts", {})
        key = tuple(tuple(part.units.tolist() + part.offsets.tolist()) for part in trace.supports[1:])
        if key not in cache:
            cache[key] = correct(self, trace, work)
        return [left.clone() for left in cache[key]]

    implementation.SparseNetwork._left = _left


@plant("impl.implementation", OURS, killed_by="results_do_not_depend_on_another_instance")
def cache_of_the_class(implementation: Module) -> None:
    """Outputs are cached by batch in the class, so that two networks of the same widths share them."""
    correct = implementation.SparseNetwork._trace
    known: dict[Any, Any] = {}

    def _trace(self: Any, samples: Any, work: Any = None) -> Any:
        if work is not None:
            known.clear()
            return correct(self, samples, work)
        key = (self.shell.widths, self.shell.activation, samples.dtype, samples.numpy().tobytes())
        return known.setdefault(key, correct(self, samples))

    implementation.SparseNetwork._trace = _trace


@plant("impl.gauss_newton", OURS, killed_by=FRESH + "gauss_newton_step_matches_the_oracle")
def gram_matrix_survives_a_step(gauss_newton: Module) -> None:
    """The Gram matrix is computed once in a network's life, as the theory of very wide networks would have it."""
    correct = gauss_newton.gram_matrix

    def gram_matrix(factors: Any, kernels: Any, work: Any) -> Any:
        kept = kernels.__dict__.setdefault("_grams", {})
        return kept.setdefault((factors.rows, tuple(factors.trained)), correct(factors, kernels, work))

    gauss_newton.gram_matrix = gram_matrix
