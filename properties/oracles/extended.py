"""Extended precision at tiny m: the definitions of reference/README.md in scalar loops over mpmath's numbers.

Nothing is shared with the reference but plain data. Fifty digits leave no rounding to speak of, so that a float64
oracle must lie within its own bound of these numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import mpmath
import numpy as np

from reference.contract import Network
from reference.contract.shapes import Bool, Float

DIGITS = 50

Number: TypeAlias = mpmath.mpf
Rows: TypeAlias = list[list[Number]]


@dataclass(frozen=True)
class Exact:
    """A network at one batch, correct to DIGITS digits.

    Attributes:
        thresholds: τ_ℓ.
        scales: √c_ℓ.
        margins: z_ℓ − τ_ℓ, (n, m_ℓ).
        masks: The masks that were used.
        hidden: h_0 … h_L, (n, m_ℓ).
        left: g_ℓ, (n, c, m_ℓ).
        outputs: f, (n, c).
    """

    thresholds: list[Number]
    scales: list[Number]
    margins: list[Rows]
    masks: list[list[list[bool]]]
    hidden: list[Rows]
    left: list[list[Rows]]
    outputs: Rows


def evaluate(
    network: Network, X: Float[np.ndarray, "n d"], masks: Sequence[Bool[np.ndarray, "n _"]] | None = None
) -> Exact:
    """Evaluates network and left factors; masks are found by z > τ unless they are given."""
    with mpmath.workdps(DIGITS):
        kind = network.activation.kind
        thresholds, scales, margins, used, hidden = [], [], [], [], [_numbers(X)]
        for layer, weight in enumerate(network.weights):
            W, width = _numbers(weight), len(weight)
            bias = [Number(0)] * width if network.biases is None else _numbers(network.biases[layer])
            tau, scale = threshold(network, width), activation_scale(network, width)
            z = [[bias[r] + _dot(W[r], h) for r in range(width)] for h in hidden[-1]]
            mask = [[value > tau for value in row] for row in z] if masks is None else masks[layer].tolist()
            shift = tau if kind == "shifted_relu" else Number(0)
            hidden.append(
                [
                    [scale * (value - shift) if on else Number(0) for value, on in zip(row, active, strict=True)]
                    for row, active in zip(z, mask, strict=True)
                ]
            )
            thresholds.append(tau)
            scales.append(scale)
            margins.append([[value - tau for value in row] for row in z])
            used.append(mask)
        A = _numbers(network.readout)
        offset = [Number(0)] * len(A) if network.readout_bias is None else _numbers(network.readout_bias)
        outputs = [[offset[o] + _dot(A[o], h) for o in range(len(A))] for h in hidden[-1]]
        left = _left_factors(network, A, scales, used)
        return Exact(thresholds, scales, margins, used, hidden, left, outputs)


def threshold(network: Network, width: int) -> Number:
    """τ = b·√(2/m)."""
    with mpmath.workdps(DIGITS):
        return _b(network, width) * mpmath.sqrt(Number(2) / width)


def activation_scale(network: Network, width: int) -> Number:
    """√c with 2c·E φ(g)² = 1 for a standard normal g and φ without its scale."""
    with mpmath.workdps(DIGITS):
        b = _b(network, width)
        tail, density = mpmath.ncdf(-b), mpmath.npdf(b)
        if network.activation.kind == "shifted_relu":
            return mpmath.sqrt(1 / (2 * ((1 + b**2) * tail - b * density)))
        return mpmath.sqrt(1 / (2 * (tail + b * density)))


def weighted_sum(exact: Exact, coefficients: Rows, layer: int) -> Rows:
    """Σ_{i,o} q_{i,o} g_{i,o,ℓ} h_{i,ℓ−1}ᵀ: the gradient where q is r, what W_ℓ loses where it is a step's."""
    left, right = exact.left[layer - 1], exact.hidden[layer - 1]
    pairs = [(i, o) for i in range(len(left)) for o in range(len(left[i]))]
    with mpmath.workdps(DIGITS):
        return [
            [
                mpmath.fsum(coefficients[i][o] * left[i][o][a] * right[i][b] for i, o in pairs)
                for b in range(len(right[0]))
            ]
            for a in range(len(left[0][0]))
        ]


def gram(exact: Exact, trained: Sequence[int]) -> Rows:
    """⟨J_(i,o), J_(j,p)⟩ over the trained layers, by elements of the Jacobian."""
    rows = [(i, o) for i in range(len(exact.outputs)) for o in range(len(exact.outputs[0]))]
    with mpmath.workdps(DIGITS):
        return [
            [
                mpmath.fsum(
                    _dot(exact.left[k - 1][i][o], exact.left[k - 1][j][p])
                    * _dot(exact.hidden[k - 1][i], exact.hidden[k - 1][j])
                    for k in trained
                )
                for j, p in rows
            ]
            for i, o in rows
        ]


def risk(loss: str, outputs: Rows, y: Float[np.ndarray, "n c"]) -> Number:
    """The empirical risk."""
    with mpmath.workdps(DIGITS):
        return mpmath.fsum(_LOSSES[loss][0](f, t) for f, t in zip(outputs, _numbers(y), strict=True))


def residual(loss: str, outputs: Rows, y: Float[np.ndarray, "n c"]) -> Rows:
    """r, the derivative of the risk with respect to the outputs, (n, c)."""
    with mpmath.workdps(DIGITS):
        return [_LOSSES[loss][1](f, t) for f, t in zip(outputs, _numbers(y), strict=True)]


def hessian(loss: str, outputs: Rows, y: Float[np.ndarray, "n c"]) -> list[Rows]:
    """H, the second derivative, a c × c block a sample."""
    with mpmath.workdps(DIGITS):
        return [_LOSSES[loss][2](f, t) for f, t in zip(outputs, _numbers(y), strict=True)]


def gauss_newton(G: Rows, r: Rows, H: list[Rows], learning_rate: float, damping: float) -> Rows | None:
    """q = η·(H G + λI)⁻¹ r, or None where the matrix is singular."""
    samples, outputs = len(r), len(r[0])
    with mpmath.workdps(DIGITS):
        A = mpmath.matrix(samples * outputs)
        for i in range(samples):
            for o in range(outputs):
                for column in range(samples * outputs):
                    A[i * outputs + o, column] = mpmath.fsum(
                        H[i][o][p] * G[i * outputs + p][column] for p in range(outputs)
                    ) + (Number(damping) if column == i * outputs + o else 0)
        try:
            q = mpmath.lu_solve(A, mpmath.matrix([value for row in r for value in row]))
        except ZeroDivisionError:
            return None
        return [[Number(learning_rate) * q[i * outputs + o] for o in range(outputs)] for i in range(samples)]


def rounded(values: object) -> Float[np.ndarray, ...]:
    """Nested lists of numbers as one float64 array, each number rounded once."""
    return np.array(values, dtype=object).astype(np.float64)


def _b(network: Network, width: int) -> Number:
    b = network.activation.b
    return mpmath.sqrt(Number(2) / 5 * mpmath.log(width)) if b is None else Number(b)


def _left_factors(network: Network, A: Rows, scales: list[Number], masks: list[list[list[bool]]]) -> list[list[Rows]]:
    samples, L = len(masks[0]), network.depth
    left: list[list[Rows]] = [[] for _ in range(L)]
    for layer in range(L - 1, -1, -1):
        W = None if layer == L - 1 else _numbers(network.weights[layer + 1].T)
        for i in range(samples):
            active = masks[layer][i]
            sums = (
                A
                if W is None
                else [[_dot(W[r], g) if active[r] else 0 for r in range(len(W))] for g in left[layer + 1][i]]
            )
            left[layer].append(
                [[scales[layer] * s if on else Number(0) for s, on in zip(row, active, strict=True)] for row in sums]
            )
    return left


def _squared(f: list[Number], y: list[Number]) -> Number:
    return mpmath.fsum((a - b) ** 2 for a, b in zip(f, y, strict=True)) / 2


def _huber(f: list[Number], y: list[Number]) -> Number:
    distances = [abs(a - b) for a, b in zip(f, y, strict=True)]
    return mpmath.fsum(d**2 / 2 if d <= 1 else d - Number(1) / 2 for d in distances)


def _logistic(f: list[Number], y: list[Number]) -> Number:
    return mpmath.fsum(mpmath.log1p(mpmath.exp(-a * b)) for a, b in zip(f, y, strict=True))


def _cross_entropy(f: list[Number], y: list[Number]) -> Number:
    return -mpmath.fsum(b * mpmath.log(p) for p, b in zip(_softmax(f), y, strict=True) if b)


def _softmax(f: list[Number]) -> list[Number]:
    largest = max(f)
    exponentials = [mpmath.exp(a - largest) for a in f]
    return [e / mpmath.fsum(exponentials) for e in exponentials]


def _sigmoid(a: Number) -> Number:
    return 1 / (1 + mpmath.exp(-a))


def _diagonal(entries: list[Number]) -> Rows:
    return [[e if p == o else Number(0) for p in range(len(entries))] for o, e in enumerate(entries)]


def _softmax_hessian(f: list[Number], y: list[Number]) -> Rows:
    p = _softmax(f)
    return [[p[o] * ((1 if o == k else 0) - p[k]) for k in range(len(p))] for o in range(len(p))]


#: Value, gradient and Hessian of a sample's loss, as functions of its outputs and targets.
_LOSSES: dict[str, tuple[Callable, Callable, Callable]] = {
    "squared": (
        _squared,
        lambda f, y: [a - b for a, b in zip(f, y, strict=True)],
        lambda f, y: _diagonal([Number(1)] * len(f)),
    ),
    "huber": (
        _huber,
        lambda f, y: [min(max(a - b, Number(-1)), Number(1)) for a, b in zip(f, y, strict=True)],
        lambda f, y: _diagonal([Number(abs(a - b) <= 1) for a, b in zip(f, y, strict=True)]),
    ),
    "logistic": (
        _logistic,
        lambda f, y: [-b * _sigmoid(-b * a) for a, b in zip(f, y, strict=True)],
        lambda f, y: _diagonal([_sigmoid(a) * _sigmoid(-a) for a in f]),
    ),
    "softmax_cross_entropy": (
        _cross_entropy,
        lambda f, y: [p - b for p, b in zip(_softmax(f), y, strict=True)],
        _softmax_hessian,
    ),
}


def _dot(a: Sequence[Number], b: Sequence[Number]) -> Number:
    return mpmath.fdot(zip(a, b, strict=True))


def _numbers(array: Float[np.ndarray, ...]) -> list:
    """The array's elements as mpmath's numbers: exactly, since any float32 or float64 is one."""
    if array.ndim == 1:
        return [Number(float(value)) for value in array]
    return [_numbers(row) for row in array]
