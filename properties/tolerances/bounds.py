"""Bounds on what is made of a replay: gradient, Gram matrix, and the weights after a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import scipy.linalg

from properties.tolerances.loss_bounds import LossBounds
from properties.tolerances.replay import Replay
from properties.tolerances.rounding import Arithmetic, Bounded, exact
from reference.contract import Network, Summands
from reference.gram import gram_from_jacobian


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


def jacobian(oracle: Replay, arithmetic: Arithmetic) -> list[Bounded]:
    """∂f_o(x_i)/∂W_ℓ for every layer, (n, c, m_ℓ, m_{ℓ−1}): for small m only."""
    return [
        arithmetic.elementwise(
            Bounded(left.value[:, :, :, None], left.error[:, :, :, None]),
            Bounded(right.value[:, None, None, :], right.error[:, None, None, :]),
        )
        for left, right in zip(oracle.left, oracle.hidden[:-1], strict=True)
    ]


def gram(oracle: Replay, arithmetic: Arithmetic, trained: Sequence[int] | None = None) -> Bounded:
    """G by the product formula, over the trained layers; None stands for all."""
    samples, outputs, _ = oracle.left[0].value.shape
    total = exact(np.zeros((samples * outputs, samples * outputs)))
    for layer in trained or range(1, len(oracle.left) + 1):
        left, right = oracle.left[layer - 1], oracle.hidden[layer - 1]
        rows = Bounded(*(part.reshape(samples * outputs, -1) for part in (left.value, left.error)))
        lefts = arithmetic.product(rows, _transposed(rows), rows.value.shape[1])
        rights = arithmetic.product(right, _transposed(right), right.value.shape[1])
        expanded = Bounded(*(np.kron(part, np.ones((outputs, outputs))) for part in (rights.value, rights.error)))
        total = arithmetic.add(total, arithmetic.elementwise(lefts, expanded))
    return total


def explicit_gram(oracle: Replay, arithmetic: Arithmetic, trained: Sequence[int] | None = None) -> Bounded:
    """G from a Jacobian that is written out, in float64 sums over all its columns."""
    layers = trained or range(1, len(oracle.left) + 1)
    left = [oracle.left[layer - 1].value for layer in layers]
    right = [oracle.hidden[layer - 1].value for layer in layers]
    columns = sum(g.shape[2] * h.shape[1] for g, h in zip(left, right, strict=True))
    sizes = gram_from_jacobian([np.abs(g) for g in left], [np.abs(h) for h in right])
    rounding = Arithmetic("float64").gamma(columns) * sizes
    return Bounded(gram_from_jacobian(left, right), gram(oracle, arithmetic, trained).error + rounding)


def gauss_newton_coefficients(
    G: Bounded, loss: LossBounds, learning_rate: float, damping: float, arithmetic: Arithmetic, tolerance: float
) -> Bounded | None:
    """q = η·(H G + λI)⁻¹ r with a componentwise bound, or None where rounding leaves q open.

    An implementation may solve this system as it stands, or q = B a + t/λ, (Bᵀ G B + λI) a = s − Bᵀ G t/λ, with
    H = B Bᵀ and r = B s + t, which is symmetric. Each has its own sensitivity, and the bound is the larger of the two.

    Args:
        G: The Gram matrix.
        loss: r, H and its root.
        learning_rate: η.
        damping: λ.
        arithmetic: Of the dtype under test.
        tolerance: The backward error to which the implementation promises to solve, beyond rounding.
    """
    if not loss.settled or (damping == 0.0 and loss.rest.any()):
        return None
    shape = loss.gradient.value.shape
    H, B = _block_diagonal(loss.hessian), _block_diagonal(loss.root)
    r, s = _flat(loss.gradient), _flat(loss.whitened)
    plain = solved(_plus(_times(H, G), damping), r, arithmetic, tolerance)
    beyond = exact(loss.rest.reshape(-1, 1) / damping if damping > 0.0 else np.zeros((len(s.value), 1)))
    moved = arithmetic.product(_times(_transposed(B), G), beyond, 2 * len(s.value))
    right = Bounded(s.value - moved.value, s.error + moved.error)
    inner = solved(_plus(_times(_times(_transposed(B), G), B), damping), right, arithmetic, tolerance)
    if plain is None or inner is None:
        return None
    expanded = arithmetic.product(B, inner, shape[1])
    symmetric = Bounded(expanded.value + beyond.value, expanded.error + arithmetic.roundoff * np.abs(beyond.value))
    # The two values differ by the oracle's own rounding, which is far below either bound.
    error = np.maximum(plain.error, symmetric.error + np.abs(symmetric.value - plain.value))
    solution = Bounded(plain.value.reshape(shape), error.reshape(shape))
    return arithmetic.scaled(solution, learning_rate, arithmetic.roundoff)


def solved(A: Bounded, b: Bounded, arithmetic: Arithmetic, tolerance: float) -> Bounded | None:
    """A⁻¹ b, where a backward stable solver returns the solution of (A + E) x̂ = b + e.

    |E| ≤ e_A + (γ_{3N+1} + tolerance)·‖A‖₂ in every element, |e| ≤ e_b + tolerance·‖b‖₂: Cholesky stays below it
    (Higham, theorem 10.4), and so do QR, LU without growth and eigenvectors, which promise no more than a bound on
    the norm. Then |x̂ − x| ≤ |A⁻¹|(|e| + |E||x|) + |A⁻¹||E||x̂ − x|, which is solved for |x̂ − x| while the norm of
    |A⁻¹||E| is below one half; above it no bound holds, whatever the solver.
    """
    rows = len(A.value)
    try:
        inverse = np.linalg.inv(A.value)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(inverse).all():
        return None
    E = A.error + (arithmetic.gamma(3 * rows + 1) + tolerance) * np.linalg.norm(A.value, 2)
    spread = np.abs(inverse) @ E
    if not np.linalg.norm(spread, np.inf) <= 0.5:
        return None
    x = np.linalg.solve(A.value, b.value)
    e = b.error + tolerance * np.linalg.norm(b.value)
    off = np.linalg.solve(np.eye(rows) - spread, np.abs(inverse) @ (e + E @ np.abs(x)))
    return Bounded(x, off)


def _times(a: Bounded, b: Bounded) -> Bounded:
    """a @ b with the errors of its factors; the rounding of the product is in the γ of the solve."""
    return Bounded(a.value @ b.value, a.largest @ b.largest - np.abs(a.value) @ np.abs(b.value))


def _plus(a: Bounded, damping: float) -> Bounded:
    return Bounded(a.value + damping * np.eye(len(a.value)), a.error)


def _flat(a: Bounded) -> Bounded:
    return Bounded(a.value.reshape(-1, 1), a.error.reshape(-1, 1))


def _block_diagonal(blocks: Bounded) -> Bounded:
    return Bounded(scipy.linalg.block_diag(*blocks.value), scipy.linalg.block_diag(*blocks.error))


def moved_weights(
    network: Network,
    oracle: Replay,
    coefficients: Bounded,
    arithmetic: Arithmetic,
    *,
    trained: Sequence[int] | None = None,
    summands: Sequence[Summands] | None = None,
) -> list[Bounded]:
    """W_ℓ − Σ_{i,o} q_{i,o} g_{i,o,ℓ} h_{i,ℓ−1}ᵀ in the trained layers, W_ℓ in the others.

    An implementation may subtract sample by sample: n·c roundings, each of at most |W_ℓ| plus all the terms. Where it
    holds W_ℓ as a sum, it may also add the summands up.
    """
    terms = coefficients.value.size
    absolute = replace(
        oracle,
        hidden=[exact(h.largest) for h in oracle.hidden],
        left=[exact(g.largest) for g in oracle.left],
    )
    sums = weighted_sums(coefficients, oracle, arithmetic)
    sizes = weighted_sums(exact(coefficients.largest), absolute, arithmetic)
    moved = []
    for layer, (weight, change, size) in enumerate(zip(network.weights, sums, sizes, strict=True)):
        held, more = (np.abs(weight), 0) if summands is None else (summands[layer].magnitude, summands[layer].terms)
        if trained is None or layer + 1 in trained:
            rounding = arithmetic.gamma(terms + more + 1) * (held + size.value)
            moved.append(Bounded(weight - change.value, change.error + rounding))
        else:
            moved.append(Bounded(weight, np.zeros_like(held) if summands is None else arithmetic.gamma(more) * held))
    return moved


def _transposed(a: Bounded) -> Bounded:
    return Bounded(a.value.T, a.error.T)
