"""Rounding errors, derived: how far two correct implementations may be apart (properties/README.md).

Everything is standard running error analysis (Higham, Accuracy and Stability of Numerical Algorithms,
sections 3.1 and 10.1). A sum of k products computed in any order, with or without fused multiply-adds, is off
by at most γ_k Σ|a||b|, γ_k = k·u / (1 − k·u). Nothing is tuned: a bound holds for every order of summation
and every blocking, so that an implementation is never blamed for its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reference.contract.shapes import Float

#: Unit roundoff by dtype, and by what weights may be stored in.
UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53, "bfloat16": 2.0**-8}

#: The spacing of the subnormal numbers of a storage.
SPACING = {"bfloat16": 2.0**-133}


@dataclass(frozen=True)
class Bounded:
    """A float64 value with a bound on how far a correct implementation's value may be from it.

    Attributes:
        value: The oracle's value.
        error: A bound of the same shape, ≥ 0, covering the rounding of both sides.
    """

    value: Float[np.ndarray, ...]
    error: Float[np.ndarray, ...]

    @property
    def largest(self) -> Float[np.ndarray, ...]:
        """|value| + error: a bound on the magnitude of either side's number."""
        return np.abs(self.value) + self.error


def exact(value: Float[np.ndarray, ...]) -> Bounded:
    """A number that both sides hold without error: given data in the dtype under test."""
    value = np.asarray(value, np.float64)
    return Bounded(value, np.zeros_like(value))


def storing_error(weight: Float[np.ndarray, "*shape"], dtype: str, storage: str | None) -> Float[np.ndarray, "*shape"]:
    """How far a weight may be from itself once it was rounded to a dtype and then to a storage, to nearest.

    Args:
        weight: In float64; weights that are held as sums may be.
        dtype: The dtype under test.
        storage: What weights are stored in, None for the dtype.
    """
    size = np.abs(weight)
    rounded = Arithmetic(dtype).roundoff * size
    if storage is None:
        return rounded
    return rounded + UNIT_ROUNDOFF[storage] * (size + rounded) + 0.5 * SPACING[storage]


@dataclass(frozen=True)
class Arithmetic:
    """The rules of one dtype against the float64 oracle.

    Attributes:
        dtype: "float32" or "float64".
    """

    dtype: str

    @property
    def roundoff(self) -> float:
        """u of the implementation plus u of the oracle: bounds then cover both."""
        return UNIT_ROUNDOFF[self.dtype] + UNIT_ROUNDOFF["float64"]

    @property
    def tiny(self) -> float:
        """The smallest normal number: the absolute error of an operation that underflows."""
        return float(np.finfo(self.dtype).tiny)

    def gamma(self, operations: Float[np.ndarray, ...] | int) -> Float[np.ndarray, ...]:
        """γ_k = k·u / (1 − k·u) for k operations in a row."""
        ku = np.asarray(operations, np.float64) * self.roundoff
        return ku / (1.0 - ku)

    def product(
        self,
        a: Bounded,
        b: Bounded,
        terms: Float[np.ndarray, ...] | int,
        held: Float[np.ndarray, ...] | None = None,
    ) -> Bounded:
        """The matrix product a @ b, computed with at most `terms` operations in a row per element.

        (|a| + e_a)(|b| + e_b) − |a||b| carries the errors of the factors, exactly, second order included;
        γ_{terms + 1} of the magnitudes adds the rounding of the sum and of a last rescaling. Where b is held as a
        sum, `held` has the magnitudes of its summands: rounding is relative to these. A sum of zeros is exact.
        """
        absolute = np.abs(a.value) @ np.abs(b.value)
        largest = a.largest @ b.largest
        rounded = largest if held is None else a.largest @ held
        error = (largest - absolute) + self.gamma(np.asarray(terms) + 1) * rounded
        return Bounded(a.value @ b.value, error + np.where(rounded > 0.0, self.tiny * (np.asarray(terms) + 1), 0.0))

    def elementwise(self, a: Bounded, b: Bounded) -> Bounded:
        """The elementwise product."""
        largest = a.largest * b.largest
        error = (largest - np.abs(a.value * b.value)) + self.gamma(1) * largest
        return Bounded(a.value * b.value, error + self.tiny)

    def add(self, a: Bounded, b: Bounded) -> Bounded:
        """The elementwise sum."""
        value = a.value + b.value
        error = a.error + b.error
        return Bounded(value, error + self.gamma(1) * (np.abs(value) + error))

    def offset(self, a: Bounded, bias: Float[np.ndarray, ...], terms: Float[np.ndarray, ...] | int) -> Bounded:
        """A sum of `terms` products plus a bias, which may be what the summation began with."""
        total = self.add(a, exact(bias))
        return Bounded(total.value, total.error + self.gamma(terms) * np.abs(bias))

    def scaled(self, a: Bounded, factor: float, relative_error: float = 0.0) -> Bounded:
        """A number times a scalar that is itself known up to `relative_error`."""
        value = factor * a.value
        error = abs(factor) * a.error
        return Bounded(value, error + (self.gamma(1) + relative_error) * (np.abs(value) + error) + self.tiny)
