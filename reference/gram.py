"""The Gram matrix of the Jacobian, twice: from its definition and by the product formula
(reference/README.md, section 2). Row i·c + o belongs to sample i and output o.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reference.contract.shapes import Float
from reference.jacobian import layer_jacobian


def gram_from_jacobian(
    left: Sequence[Float[np.ndarray, "n c _"]], right: Sequence[Float[np.ndarray, "n _"]]
) -> Float[np.ndarray, "nc nc"]:
    """J Jᵀ with J written out, (n·c, Σ_ℓ m_ℓ·m_{ℓ−1}): for small m only."""
    rows = left[0].shape[0] * left[0].shape[1]
    J = np.concatenate([layer_jacobian(g, h).reshape(rows, -1) for g, h in zip(left, right, strict=True)], axis=1)
    return J @ J.T


def gram(
    left: Sequence[Float[np.ndarray, "n c _"]], right: Sequence[Float[np.ndarray, "n _"]]
) -> Float[np.ndarray, "nc nc"]:
    """G[(i,o),(j,p)] = Σ_ℓ ⟨g_{i,o,ℓ}, g_{j,p,ℓ}⟩ · ⟨h_{i,ℓ−1}, h_{j,ℓ−1}⟩."""
    samples, outputs, _ = left[0].shape
    total = np.zeros((samples * outputs, samples * outputs))
    for g, h in zip(left, right, strict=True):
        rows = g.reshape(samples * outputs, -1)
        total += (rows @ rows.T) * np.kron(h @ h.T, np.ones((outputs, outputs)))
    return total
