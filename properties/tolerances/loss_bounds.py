"""Losses with bounds: value, gradient, Hessian and its root, from outputs that are known up to rounding.

Exponentials turn an absolute error d of a logit into a factor between e^(−d) and e^d: with ρ = e^d − 1, probabilities
and their roots are known up to a relative ρ. d holds the error of the outputs, and the rounding of the exponential
itself: its argument's (one roundoff of its size), the function's (taken to be good to four), and the division by a sum
of c terms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from properties.tolerances.rounding import Arithmetic, Bounded, exact
from reference import loss as losses
from reference.contract.shapes import Float

LOGIT_LOSSES = ("logistic", "softmax_cross_entropy")

# Beyond such logits an implementation has to guard against overflow, each in its own way.
LARGEST_LOGIT = 300.0


@dataclass(frozen=True)
class LossBounds:
    """A loss at one batch of outputs.

    Attributes:
        value: The empirical risk.
        gradient: r, (n, c).
        hessian: H, (n, c, c).
        root: B with H = B Bᵀ, (n, c, c).
        whitened: s with r = B s + rest.
        rest: The part of r outside the range of H.
        settled: Whether rounding leaves H alone: false where an output lies on an edge of the Huber loss, or where
            exponentials leave their range.
    """

    value: Bounded
    gradient: Bounded
    hessian: Bounded
    root: Bounded
    whitened: Bounded
    rest: Float[np.ndarray, "n c"]
    settled: bool


def loss_bounds(loss: str, f: Bounded, y: Float[np.ndarray, "n c"], arithmetic: Arithmetic) -> LossBounds:
    """Evaluates a loss with bounds.

    Args:
        loss: One of LOSSES.
        f: Outputs (n, c).
        y: Targets (n, c).
        arithmetic: Of the dtype under test.
    """
    if loss in LOGIT_LOSSES:
        return _logit_loss(loss, f, y, arithmetic)
    distance = arithmetic.add(f, exact(-y))
    r = Bounded(losses.gradient(loss, f.value, y), distance.error)
    edge = np.abs(np.abs(distance.value) - 1.0) <= distance.error
    H = losses.hessian(loss, f.value, y)
    inside = np.diagonal(H, axis1=1, axis2=2) > 0.0
    return LossBounds(
        _value(loss, f, y, r, arithmetic),
        r,
        exact(H),
        exact(H),  # its own root: ones and zeros
        Bounded(np.where(inside, r.value, 0.0), np.where(inside, r.error, 0.0)),
        np.where(inside, 0.0, r.value),
        settled=loss == "squared" or not edge.any(),
    )


def _logit_loss(loss: str, f: Bounded, y: Float[np.ndarray, "n c"], arithmetic: Arithmetic) -> LossBounds:
    outputs = f.value.shape[1]
    size = np.abs(f.value).max(axis=1, keepdims=True)
    d = 2.0 * f.error.max(axis=1, keepdims=True) + (outputs + 8 + 2.0 * size) * arithmetic.roundoff
    settled = bool(size.max() < LARGEST_LOGIT and d.max() < 0.1)
    rho = np.expm1(np.minimum(d, 1.0))
    r = losses.gradient(loss, f.value, y)
    if loss == "logistic":
        h = np.diagonal(losses.hessian(loss, f.value, y), axis1=1, axis2=2)
        s = -y * np.exp(np.clip(-y * f.value, -2 * LARGEST_LOGIT, 2 * LARGEST_LOGIT) / 2)
        root, root_size = _diagonal(np.sqrt(h)), _diagonal(np.sqrt(h))
        H_error, r_error, s_error = _diagonal(h * ((1 + rho) ** 2 - 1)), np.abs(r) * rho, np.abs(s) * rho
    else:
        p = losses.gradient(loss, f.value, np.zeros_like(y))  # softmax − 0
        p = np.maximum(p, np.exp(-2 * LARGEST_LOGIT))
        roots = np.sqrt(p)
        s = (p - y) / roots
        outer = p[:, :, None] * roots[:, None, :]
        root, root_size = _diagonal(roots) - outer, _diagonal(roots) + outer
        H_error = (_diagonal(p) + p[:, :, None] * p[:, None, :]) * ((1 + rho[:, :, None]) ** 2 - 1)
        r_error = p * rho
        s_error = np.abs(s) * rho + r_error / roots
    u = arithmetic.roundoff
    r_error = np.where(d > 1.0, 1.0, r_error)  # sigmoid and softmax lie between 0 and 1, whatever f's error
    gradient = Bounded(r, r_error + 4 * u * np.abs(r) + arithmetic.tiny)
    return LossBounds(
        _value(loss, f, y, gradient, arithmetic),
        gradient,
        Bounded(losses.hessian(loss, f.value, y), H_error + arithmetic.tiny),
        Bounded(root, root_size * ((1 + rho[:, :, None]) ** 2 - 1) + arithmetic.tiny),
        Bounded(s, s_error + 4 * u * np.abs(s) + arithmetic.tiny),
        np.zeros_like(r),
        settled,
    )


def _value(loss: str, f: Bounded, y: Float[np.ndarray, "n c"], r: Bounded, arithmetic: Arithmetic) -> Bounded:
    """By the mean value theorem the risk is off by at most |r| e_f; its terms are summed with rounding."""
    value = losses.value(loss, f.value, y)
    slopes = r.largest + (2.0 * f.error if loss in LOGIT_LOSSES else f.error)
    sizes = value + (np.sum(2.0 * np.abs(f.value) + 1.0) if loss in LOGIT_LOSSES else 0.0)
    off = np.sum(slopes * f.error)
    return Bounded(np.asarray(value), off + arithmetic.gamma(f.value.size + 12) * (sizes + off) + arithmetic.tiny)


def _diagonal(entries: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c c"]:
    return entries[:, :, None] * np.eye(entries.shape[1])
