"""Losses: value, gradient and Hessian with respect to the outputs (reference/README.md, section 3)."""

from __future__ import annotations

import numpy as np

from reference.contract.shapes import Float


def squared(outputs: Float[np.ndarray, "n c"], y: Float[np.ndarray, "n c"]) -> float:
    """The empirical risk ½ Σ_i ‖f(x_i) − y_i‖². Its gradient is f − y, its Hessian the identity."""
    return 0.5 * float(np.sum((outputs - y) ** 2))


def squared_gradient(outputs: Float[np.ndarray, "n c"], y: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """r = f − y."""
    return outputs - y
