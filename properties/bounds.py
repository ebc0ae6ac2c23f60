"""Bounds on what is made of a replay: gradient, Gram matrix, and the weights after a step."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from properties.replay import Replay
from properties.rounding import Arithmetic, Bounded, exact
from reference.contract import Network
from reference.contract.shapes import Float


def residual(oracle: Replay, y: Float[np.ndarray, "n c"], arithmetic: Arithmetic) -> Bounded:
    """r = f − y."""
    return arithmetic.add(oracle.outputs, exact(-y))


def weighted_sums(coefficients: Bounded, oracle: Replay, arithmetic: Arithmetic) -> list[Bounded]:
    """Σ_{i,o} q_{i,o} g_{i,o,ℓ} h_{i,ℓ−1}ᵀ for every layer: the gradient where q is the residual."""
    samples, outputs = coefficients.value.shape
    sums = []
    for left, right in zip(oracle.left, oracle.hidden[:-1], strict=True):
        flat = (samples * outputs, left.value.shape[2])
        weighted = arithmetic.elementwise(Bounded(coefficients.value[:, :, None], coefficients.error[:, :, None]), left)
        transposed = Bounded(weighted.value.reshape(flat).T, weighted.error.reshape(flat).T)
        repeated = Bounded(*(np.repeat(part, outputs, axis=0) for part in (right.value, right.error)))
        sums.append(arithmetic.product(transposed, repeated, samples * outputs))
    return sums


def gram(oracle: Replay, arithmetic: Arithmetic) -> Bounded:
    """G by the product formula."""
    samples, outputs, _ = oracle.left[0].value.shape
    total = exact(np.zeros((samples * outputs, samples * outputs)))
    for left, right in zip(oracle.left, oracle.hidden[:-1], strict=True):
        rows = Bounded(*(part.reshape(samples * outputs, -1) for part in (left.value, left.error)))
        lefts = arithmetic.product(rows, _transposed(rows), rows.value.shape[1])
        rights = arithmetic.product(right, _transposed(right), right.value.shape[1])
        expanded = Bounded(*(np.kron(part, np.ones((outputs, outputs))) for part in (rights.value, rights.error)))
        total = arithmetic.add(total, arithmetic.elementwise(lefts, expanded))
    return total


def gauss_newton_coefficients(
    matrix: Bounded, r: Bounded, learning_rate: float, damping: float, arithmetic: Arithmetic
) -> Bounded | None:
    """q = η·(G + λI)⁻¹ r with a componentwise bound, or None where rounding leaves q open.

    With A = G + λI, a backward stable solver returns the solution of (A + E) q̂ = r + e, |E| ≤ e_G + γ_{3N+1} ‖A‖₂ in
    every element: Cholesky stays below it (Higham, theorem 10.4), and so do QR and eigenvectors, which promise no
    more than a bound on the norm. Then |q̂ − q| ≤ |A⁻¹|(e + |E||q|) + |A⁻¹||E||q̂ − q|, which is solved for |q̂ − q|
    while the norm of |A⁻¹||E| is below one half; above it no bound holds, whatever the solver.
    """
    rows = len(matrix.value)
    A = matrix.value + damping * np.eye(rows)
    try:
        factor = scipy.linalg.cholesky(A)
    except np.linalg.LinAlgError:
        return None
    inverse = np.abs(scipy.linalg.cho_solve((factor, False), np.eye(rows)))
    E = matrix.error + arithmetic.gamma(3 * rows + 1) * np.linalg.norm(A, 2)
    spread = inverse @ E
    if np.linalg.norm(spread, np.inf) > 0.5:
        return None
    q = scipy.linalg.cho_solve((factor, False), r.value.reshape(-1))
    off = np.linalg.solve(np.eye(rows) - spread, inverse @ (r.error.reshape(-1) + E @ np.abs(q)))
    solution = Bounded(q.reshape(r.value.shape), off.reshape(r.value.shape))
    return arithmetic.scaled(solution, learning_rate, arithmetic.roundoff)


def moved_weights(network: Network, oracle: Replay, coefficients: Bounded, arithmetic: Arithmetic) -> list[Bounded]:
    """W_ℓ − Σ_{i,o} q_{i,o} g_{i,o,ℓ} h_{i,ℓ−1}ᵀ.

    An implementation may subtract sample by sample: n·c roundings, each of at most |W_ℓ| plus all the terms.
    """
    terms = coefficients.value.size
    absolute = Replay(
        oracle.masks,
        oracle.ambiguous,
        oracle.margins,
        [exact(h.largest) for h in oracle.hidden],
        [exact(g.largest) for g in oracle.left],
        oracle.outputs,
    )
    sums = weighted_sums(coefficients, oracle, arithmetic)
    sizes = weighted_sums(exact(coefficients.largest), absolute, arithmetic)
    return [
        Bounded(
            weight - change.value,
            change.error + arithmetic.gamma(terms + 1) * (np.abs(weight) + size.value),
        )
        for weight, change, size in zip(network.weights, sums, sizes, strict=True)
    ]


def _transposed(a: Bounded) -> Bounded:
    return Bounded(a.value.T, a.error.T)
