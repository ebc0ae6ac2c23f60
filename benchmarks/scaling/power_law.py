"""Power laws fitted to a cost at several widths: plain, with a constant floor, and between neighbours.

Costs may carry leading axes, one fit for each row of the last: the calibration fits thousands at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reference.contract import ArgumentError
from reference.contract.arguments import array
from reference.contract.shapes import Float

FEWEST_WIDTHS = 3  # a line through two points leaves nothing to judge it by
FEWEST_WIDTHS_FLOORED = 4  # and so do three parameters through three

#: Exponents among which the floored fit looks: anything a cost of training can have, and some more.
LEAST_EXPONENT, MOST_EXPONENT = 0.0, 4.0

_CANDIDATES = np.linspace(LEAST_EXPONENT, MOST_EXPONENT, 201)
_REFINEMENTS = 3  # each divides the step between candidates by ten


@dataclass(frozen=True)
class PowerLaw:
    """cost = factor · m^exponent.

    Attributes:
        exponent: One number for every row of costs.
        factor: Likewise, in the unit of the cost.
    """

    exponent: Float[np.ndarray, "*rows"]
    factor: Float[np.ndarray, "*rows"]


@dataclass(frozen=True)
class FlooredPowerLaw:
    """cost = floor + factor · m^exponent, floor ≥ 0, factor ≥ 0.

    Attributes:
        exponent: One number for every row of costs, within [0, 4].
        factor: Likewise, in the unit of the cost.
        floor: Likewise, in the unit of the cost.
    """

    exponent: Float[np.ndarray, "*rows"]
    factor: Float[np.ndarray, "*rows"]
    floor: Float[np.ndarray, "*rows"]


def fit_power_law(m: Float[np.ndarray, " widths"], cost: Float[np.ndarray, "*rows widths"]) -> PowerLaw:
    """Least squares on log cost against log m.

    A constant overhead bends the line down at small m: a true 1.5 with a floor reads less. See
    fit_floored_power_law.

    Args:
        m: At least three distinct positive widths.
        cost: Positive costs.

    Raises:
        ArgumentError: for fewer widths, or costs that are not positive and finite.
    """
    m, cost = _checked(m, cost, FEWEST_WIDTHS)
    x, y = np.log(m), np.log(cost)
    centred = x - x.mean()
    # Summed row by row: a matrix product may round a row one way among others and another way on its own.
    slope = (y * centred).sum(axis=-1) / (centred * centred).sum()
    return PowerLaw(*map(np.asarray, (slope, np.exp(y.mean(axis=-1) - slope * x.mean()))))


def fit_floored_power_law(m: Float[np.ndarray, " widths"], cost: Float[np.ndarray, "*rows widths"]) -> FlooredPowerLaw:
    """Least squares on the relative error of floor + factor · m^exponent.

    For a fixed exponent the model is linear in floor and factor, so these are solved for in closed form
    (with their signs kept) at every candidate exponent, then at finer ones around the best. No derivative is
    used: where the floor reaches zero the error has a kink.

    Args:
        m: At least four distinct positive widths.
        cost: Positive costs.

    Raises:
        ArgumentError: for fewer widths, or costs that are not positive and finite.
    """
    m, cost = _checked(m, cost, FEWEST_WIDTHS_FLOORED)
    relative = m / np.exp(np.log(m).mean())  # m^p then neither overflows nor dwarfs the floor's column
    errors = np.stack([_linear_fit(relative**p, cost)[0] for p in _CANDIDATES], axis=-1)
    exponent, step = _CANDIDATES[errors.argmin(axis=-1)], _CANDIDATES[1] - _CANDIDATES[0]
    for _ in range(_REFINEMENTS):
        finer = np.clip(exponent[..., None] + step * np.linspace(-1.0, 1.0, 21), _CANDIDATES[0], _CANDIDATES[-1])
        errors = _linear_fit(relative ** finer[..., None], cost[..., None, :])[0]
        exponent = np.take_along_axis(finer, errors.argmin(axis=-1)[..., None], axis=-1)[..., 0]
        step /= 10.0
    _, floor, factor = _linear_fit(relative ** exponent[..., None], cost)
    return FlooredPowerLaw(*map(np.asarray, (exponent, factor * (relative[0] / m[0]) ** exponent, floor)))


def floored_tangent(
    m: Float[np.ndarray, " widths"], fit: FlooredPowerLaw
) -> tuple[Float[np.ndarray, "*rows widths 3"], Float[np.ndarray, "*rows widths"]]:
    """How the logarithm of a floored power law moves with its parameters, and the logarithm itself.

    The three columns are the directions of a common factor, of the floor (in units of the law's geometric mean) and
    of the exponent about the middle of the widths.
    """
    x = np.log(m)
    power = np.asarray(fit.factor)[..., None] * m ** np.asarray(fit.exponent)[..., None]
    total = np.asarray(fit.floor)[..., None] + power
    fitted = np.log(total)
    per_floor = np.exp(fitted.mean(axis=-1, keepdims=True) - fitted)
    return np.stack([np.ones_like(total), per_floor, power / total * (x - x.mean())], axis=-1), fitted


def local_exponents(
    m: Float[np.ndarray, " widths"], cost: Float[np.ndarray, "*rows widths"]
) -> Float[np.ndarray, "*rows widths_minus_1"]:
    """The slope between neighbouring widths: where it jumps, one exponent does not tell the story.

    Raises:
        ArgumentError: for fewer than two widths, or costs that are not positive and finite.
    """
    m, cost = _checked(m, cost, 2)
    slopes: np.ndarray = np.diff(np.log(cost), axis=-1) / np.diff(np.log(m))
    return slopes


def _linear_fit(
    basis: Float[np.ndarray, "*#rows widths"], cost: Float[np.ndarray, "*#rows widths"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum of squared relative errors, floor and factor of the best floor + factor · basis, both ≥ 0."""
    one, power = 1.0 / cost, basis / cost
    aa, ab, bb = (one * one).sum(-1), (one * power).sum(-1), (power * power).sum(-1)
    a, b = one.sum(-1), power.sum(-1)
    determinant = aa * bb - ab * ab
    free = determinant > 1e-12 * aa * bb  # otherwise basis is a constant too, and the floor does
    safe = np.where(free, determinant, 1.0)
    floor = np.where(free, (bb * a - ab * b) / safe, 0.0)
    factor = np.where(free, (aa * b - ab * a) / safe, b / bb)
    floor, factor = np.where(floor < 0.0, 0.0, floor), np.where(floor < 0.0, b / bb, factor)
    floor, factor = np.where(factor < 0.0, a / aa, floor), np.where(factor < 0.0, 0.0, factor)
    residual = floor[..., None] * one + factor[..., None] * power - 1.0
    return (residual * residual).sum(-1), floor, factor


def _checked(m: np.ndarray, cost: np.ndarray, fewest: int) -> tuple[np.ndarray, np.ndarray]:
    m = array("m", m, (None,), "float64")
    if len(m) < fewest or len(np.unique(m)) < len(m) or m.min() <= 0.0:
        raise ArgumentError("m", f"at least {fewest} distinct positive widths", str(m.tolist()))
    cost = np.asarray(cost)
    cost = array("cost", cost, (*cost.shape[:-1], len(m)), "float64")
    if cost.min() <= 0.0:
        raise ArgumentError("cost", "positive numbers", str(cost.min()))
    return m, cost
