"""The largest learning rate at which gradient descent is stable: a number of its own for every network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.visit import Training
from reference.contract import ArgumentError

STABLE = "stable"
#: Of 2/λ_max, beyond which the largest mode of the residual grows.
SHARE = 0.95


def stable_rate(implementation: Any, X: np.ndarray) -> float:
    """1.9/λ_max, with λ_max the largest eigenvalue of the Gram matrix at the present weights.

    As long as the Jacobian stays what it is, gradient descent on the squared loss multiplies the residual by I − η G,
    which is stable for η < 2/λ_max.

    Args:
        implementation: Behind the contract, with `gram`.
        X: Samples (n, d).

    Raises:
        ArgumentError: where the Gram matrix vanishes: no sample moves a weight.
    """
    largest = float(np.linalg.eigvalsh(np.asarray(implementation.gram(X), dtype=np.float64))[-1])
    if not largest > 0.0:
        raise ArgumentError("learning-rate", "a network with a live sample, where it is to be stable", "none")
    return 2.0 * SHARE / largest


def settled(training: Training, implementation: Any) -> Training:
    """The training with a number for its learning rate, which "stable" is at these weights."""
    if training.learning_rate != STABLE:
        return training
    return replace(training, learning_rate=stable_rate(implementation, training.problem.X))


def check_learning_rate(learning_rate: float | str, method: str) -> None:
    """Raises ArgumentError for "stable" with another method than gradient descent."""
    if learning_rate == STABLE and method != "gradient_descent":
        raise ArgumentError("--learning-rate", f"a number with {method}", repr(STABLE))
