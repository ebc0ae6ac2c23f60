"""Losses: value, gradient and Hessian with respect to the outputs (reference/README.md, section 3)."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, log_softmax, softmax

from reference.contract.shapes import Float


def value(loss: str, f: Float[np.ndarray, "n c"], y: Float[np.ndarray, "n c"]) -> float:
    """The empirical risk Σ_i loss(f(x_i), y_i)."""
    match loss:
        case "squared":
            terms = 0.5 * (f - y) ** 2
        case "huber":
            distance = np.abs(f - y)
            terms = np.where(distance <= 1.0, 0.5 * distance**2, distance - 0.5)
        case "logistic":
            terms = np.logaddexp(0.0, -y * f)
        case "softmax_cross_entropy":
            terms = -y * log_softmax(f, axis=1)
    return float(np.sum(terms))


def gradient(loss: str, f: Float[np.ndarray, "n c"], y: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """r = ∂loss/∂f for every sample."""
    match loss:
        case "squared":
            return f - y
        case "huber":
            return np.clip(f - y, -1.0, 1.0)
        case "logistic":
            return -y * expit(-y * f)
        case "softmax_cross_entropy":
            return softmax(f, axis=1) - y
    raise ValueError(loss)


def hessian(loss: str, f: Float[np.ndarray, "n c"], y: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c c"]:
    """∂²loss/∂f² for every sample, a c × c block each."""
    match loss:
        case "squared":
            diagonal = np.ones_like(f)
        case "huber":
            diagonal = np.where(np.abs(f - y) <= 1.0, 1.0, 0.0)
        case "logistic":
            diagonal = expit(f) * expit(-f)
        case "softmax_cross_entropy":
            p = softmax(f, axis=1)
            return p[:, :, None] * (np.eye(f.shape[1]) - p[:, None, :])
    return diagonal[:, :, None] * np.eye(f.shape[1])
