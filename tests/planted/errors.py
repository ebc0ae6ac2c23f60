"""Bad input that is taken, errors that leave something behind, overflow that is swallowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tests.planted.registry import NUMPY, OURS, Module, plant

REFUSED = "bad_input_is_refused_and_changes_nothing bad_input_to_an_evaluation_is_refused "
OVERFLOW = "a_step_that_overflows_changes_nothing "
SWALLOWED = "a_damped_step_is_bounded_whatever_the_scale outputs_beyond_the_range_of_the_dtype_are_no_numbers "


@plant("impl.implementation", OURS, killed_by=REFUSED)
def nan_in_samples_taken_for_zero(implementation: Module) -> None:
    """NaN in X is replaced by zero."""
    correct = implementation.SparseNetwork._samples

    def _samples(self: Any, X: Any) -> Any:
        return correct(self, np.nan_to_num(X, posinf=np.inf) if getattr(X, "dtype", None) in ("f4", "f8") else X)

    implementation.SparseNetwork._samples = _samples


@plant("impl.implementation", OURS, killed_by=REFUSED)
def infinite_learning_rate_accepted(implementation: Module) -> None:
    """A learning rate of infinity or NaN passes the check of its sign."""

    def number(argument: str, value: Any, low: float) -> float:
        if value < low:
            raise implementation.ArgumentError(argument, f"a number of at least {low:g}", repr(value))
        return float(value)

    implementation.number = number


@plant("impl.implementation", OURS, killed_by=REFUSED)
def any_label_accepted(implementation: Module) -> None:
    """Labels of the logistic loss may be any numbers."""
    correct = implementation.targets
    implementation.targets = lambda argument, y, samples, outputs, dtype, loss: correct(
        argument, y, samples, outputs, dtype, "squared" if loss == "logistic" else loss
    )


@plant("impl.implementation", OURS, killed_by=REFUSED)
def targets_broadcast(implementation: Module) -> None:
    """Targets of another shape are cut to the outputs' shape, or broadcast."""
    correct = implementation.targets

    def targets(argument: str, y: Any, samples: int, outputs: int, *more: Any) -> Any:
        if isinstance(y, np.ndarray) and y.ndim == 2 and y.shape[1] != outputs:
            y = y[:, :outputs]
        return correct(argument, y, samples, outputs, *more)

    implementation.targets = targets


@plant("impl.implementation", OURS, killed_by=REFUSED)
def complex_samples_lose_a_part(implementation: Module) -> None:
    """The imaginary part of complex samples is dropped."""
    correct = implementation.SparseNetwork._samples
    implementation.SparseNetwork._samples = lambda self, X: correct(self, np.real(X))


@plant("impl.implementation", OURS, killed_by=OVERFLOW)
def half_a_step_left_behind(implementation: Module) -> None:
    """Layers are planned and written one after the other, so that a failure in the second leaves the first moved."""
    network = implementation.SparseNetwork
    correct = network.step

    class Written:
        folds = recompressions = 0

    class Hasty:
        def __init__(self, weights: Any):
            self._weights = weights

        def plan_update(self, *arguments: Any) -> Any:
            self._weights.plan_update(*arguments).apply()
            return Written()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._weights, name)

    def step(self: Any, *arguments: Any, **options: Any) -> Any:
        weights = self.weights
        self.weights = [Hasty(weight) for weight in weights]
        try:
            return correct(self, *arguments, **options)
        finally:
            self.weights = weights

    network.step = step
    implementation._apply_all_or_none = lambda updates: None
    network.ranks = ()


@plant("impl.gauss_newton", OURS, killed_by=SWALLOWED)
def overflow_swallowed(gauss_newton: Module) -> None:
    """NaN and infinities among the coefficients become zeros, and the step goes on."""
    correct = gauss_newton.gauss_newton_coefficients

    def gauss_newton_coefficients(system: Any, curvature: Any, solver: Any, work: Any) -> Any:
        class Lenient:
            def solve(self, system: Any, right: Any, work: Any) -> Any:
                found = solver.solve(system, right, work)
                return type(found)(torch.nan_to_num(found.values), found.solver, found.report, found.notes)

        return correct(system, curvature, Lenient(), work)

    gauss_newton._check_finite = lambda numbers: torch.nan_to_num_(numbers, posinf=0.0, neginf=0.0)
    gauss_newton.gauss_newton_coefficients = gauss_newton_coefficients


@plant("impl.forward", OURS, killed_by=SWALLOWED)
def infinities_clipped(forward: Module) -> None:
    """Preactivations that overflow are clipped to the largest number."""

    def clip(self: Any, values: torch.Tensor, what: str) -> None:
        largest = torch.finfo(values.dtype).max
        torch.nan_to_num_(values, nan=0.0, posinf=largest, neginf=-largest)

    forward.Overflow.look_at = clip


@plant("properties.examples.numpy_dense", NUMPY, killed_by=OVERFLOW)
def weights_written_before_they_are_checked(dense: Module) -> None:
    """The new weights are written in place, and found to overflow afterwards."""
    correct, sums = dense.DenseNetwork.step, dense._weighted_sums

    def step(self: Any, X: Any, y: Any, **options: Any) -> Any:
        changes: list[Any] = []

        def noted(*arguments: Any) -> list[Any]:
            changes[:] = sums(*arguments)
            return changes

        dense._weighted_sums = noted
        try:
            return correct(self, X, y, **options)
        except dense.SolveError:
            for weight, change in zip(self._network.weights, changes, strict=False):
                np.subtract(weight, change, out=weight)
            raise
        finally:
            dense._weighted_sums = sums

    dense.DenseNetwork.step = step


@plant("impl.weights.magnitude", OURS, killed_by=OVERFLOW)
def magnitude_not_checked(magnitude: Module) -> None:
    """An update is written whether or not it overflows."""
    magnitude.magnitude_after = lambda layer, before, *more: before


@plant("impl.implementation", OURS, killed_by=REFUSED)
def error_without_its_argument(implementation: Module) -> None:
    """Every bad argument is the same message, which names none."""
    correct = implementation.SparseNetwork.step

    def step(self: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return correct(self, *arguments, **options)
        except implementation.ArgumentError as error:
            raise ValueError("bad input") from error

    implementation.SparseNetwork.step = step
