"""Problems to train on, as plain data: two real data sets that travel inside a package, and a synthetic one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reference.contract.arguments import ArgumentError, affordable, one_of, whole_number
from reference.contract.shapes import Bool, Float, Int

DATA = ("digits", "diabetes", "synthetic")


@dataclass(frozen=True)
class Problem:
    """Samples and targets.

    Attributes:
        name: Where they come from.
        X: Samples (n, d), features centred, rows of unit norm.
        y: Targets (n, 1).
    """

    name: str
    X: Float[np.ndarray, "n d"]
    y: Float[np.ndarray, "n 1"]


def load_problem(name: str, samples: int, *, seed: int = 0, dimension: int = 64) -> Problem:
    """Returns n samples of a problem, drawn without replacement.

    Args:
        name: "digits" (8 × 8 handwritten digits, d = 64, target +1 for even and −1 for odd), "diabetes"
            (d = 10, target standardized) or "synthetic" (Gaussian directions, random signs).
        samples: n; at most 1797 for digits and 442 for diabetes.
        seed: Chooses the samples.
        dimension: d of the synthetic problem; the others have their own.

    Raises:
        ArgumentError: for an unknown name, more samples than there are, or more than fit the memory.
        ModuleNotFoundError: where scikit-learn, which carries the data, is not installed.
    """
    one_of("data", name, DATA)
    whole_number("seed", seed, 0)
    generator = np.random.default_rng(seed)
    if name == "synthetic":
        affordable("samples", 2 * 8 * whole_number("samples", samples, 1) * whole_number("dimension", dimension, 1))
        X = generator.standard_normal((samples, dimension))
        return Problem(name, _unit_rows(X), generator.choice([-1.0, 1.0], (samples, 1)))
    features, target = _bundled(name)
    if whole_number("samples", samples, 1) > len(features):
        raise ArgumentError("samples", f"at most {len(features)} for {name}", str(samples))
    chosen = generator.choice(len(features), samples, replace=False)
    return Problem(name, _unit_rows(features - features.mean(axis=0))[chosen], target[chosen, None])


@dataclass(frozen=True)
class Classes:
    """Samples of several classes.

    Attributes:
        X: Samples (n, d), features centred, rows of unit norm.
        labels: Numbers of their classes, (n,).
    """

    X: Float[np.ndarray, "n d"]
    labels: Int[np.ndarray, " n"]

    def only(self, chosen: Bool[np.ndarray, " n"]) -> Classes:
        """The samples where `chosen` is true."""
        return Classes(self.X[chosen], self.labels[chosen])


def load_digit_classes() -> Classes:
    """All 1797 handwritten digits with their ten classes.

    Raises:
        ModuleNotFoundError: where scikit-learn, which carries the data, is not installed.
    """
    features, labels = _digits()
    return Classes(_unit_rows(features - features.mean(axis=0)), labels)


def _bundled(name: str) -> tuple[np.ndarray, np.ndarray]:
    if name == "digits":
        features, labels = _digits()
        return features, np.where(labels % 2 == 0, 1.0, -1.0)
    features, target = _datasets(name).load_diabetes(return_X_y=True)
    return features, (target - target.mean()) / target.std()


def _digits() -> tuple[np.ndarray, np.ndarray]:
    features, labels = _datasets("digits").load_digits(return_X_y=True)
    return features, labels


def _datasets(name: str) -> Any:
    try:
        from sklearn import datasets  # slow to import, and only needed here
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"the {name} data come with scikit-learn: pip install '.[bench]'") from error
    return datasets


def _unit_rows(X: np.ndarray) -> np.ndarray:
    return X / np.linalg.norm(X, axis=1, keepdims=True)
