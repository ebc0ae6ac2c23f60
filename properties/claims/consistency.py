"""Properties that hold one operation of an implementation against another of the same implementation."""

from __future__ import annotations

import numpy as np

from properties.cases.case import Case
from properties.cases.strategies import NAMED_CORNERS, evaluation_cases
from properties.runner.compare import Mismatch, assert_close, assert_identical
from properties.runner.registry import register
from properties.runner.subject import Subject
from properties.tolerances.evaluated import Evaluated, evaluate
from properties.tolerances.rounding import Arithmetic, Bounded
from reference import activation as phi
from reference.contract import Network

FLOAT64 = Arithmetic("float64")


@register("jacobian_factors", "active_sets", "forward", strategy=evaluation_cases, examples=NAMED_CORNERS, weight=0.4)
def factors_live_on_active_units(subject: Subject, case: Case) -> None:
    """g_ℓ and h_ℓ are zero, exactly, at every inactive unit."""
    got = evaluate(subject, case)
    for layer, mask in enumerate(got.masks, start=1):
        left = got.left[layer - 1].value
        outside = np.where(mask[:, None, :], 0.0, left)
        assert_identical(
            f"left factor of inactive units, layer {layer}", ("sample", "output", "unit"), outside, 0.0 * outside
        )
        if layer < len(got.right):
            outside = np.where(mask, 0.0, got.right[layer].value)
            assert_identical(
                f"right factor of inactive units, layer {layer + 1}", ("sample", "unit"), outside, 0.0 * outside
            )


@register("jacobian_factors", "active_sets", "forward", strategy=evaluation_cases, examples=NAMED_CORNERS, weight=0.4)
def factors_reproduce_the_outputs(subject: Subject, case: Case) -> None:
    """f = α + g_ℓᵀ W_ℓ h_{ℓ−1} + Σ_{k ≥ ℓ} g_kᵀ (β_k − τ_k) for every ℓ: with masks fixed, f is affine in h_{ℓ−1}.

    τ_k falls away for the thresholded identity, and all but the first term for a plain ReLU network without biases,
    where this is Euler's identity.
    """
    network, got = case.network, evaluate(subject, case)
    bias = network.readout_bias
    value = np.zeros_like(got.outputs.value) + (0.0 if bias is None else bias)
    offsets = Bounded(value, np.zeros_like(value))
    for layer in range(network.depth, 0, -1):
        left, right = got.left[layer - 1], got.right[layer - 1]
        shift = _shift(network, layer)
        offsets = _sum(offsets, _inner(left, Bounded(shift, _threshold_error(case, network, layer))))
        weight = network.weights[layer - 1].astype(np.float64)
        z = FLOAT64.product(right, Bounded(weight.T, np.zeros_like(weight.T)), weight.shape[1])
        expected = _sum(offsets, _inner(left, Bounded(z.value[:, None, :], z.error[:, None, :])))
        bound = Bounded(expected.value, expected.error + got.outputs.error)
        assert_close(f"forward, from the factors of layer {layer}", ("sample", "output"), got.outputs.value, bound)


@register(
    "gram",
    "jacobian_factors",
    "active_sets",
    "forward",
    strategy=evaluation_cases,
    examples=NAMED_CORNERS,
    weight=0.4,
)
def gram_matrix_is_that_of_its_own_factors(subject: Subject, case: Case) -> None:
    """G = J Jᵀ with J from jacobian_factors, over the trained layers."""
    got = evaluate(subject, case)
    assert got.gram is not None
    expected = _own_gram(got, case)
    # Each side is within got.gram.error of the exact matrix: the factors' errors are a part of it.
    assert_close("gram", ("row", "column"), got.gram.value, Bounded(expected, 2.0 * got.gram.error))


@register("gram", "active_sets", "forward", strategy=evaluation_cases, examples=NAMED_CORNERS, weight=0.4)
def gram_matrix_is_positive_semidefinite(subject: Subject, case: Case) -> None:
    """vᵀ G v ≥ 0 but for rounding, for the eigenvectors v: no matter how well these are known."""
    got = evaluate(subject, case).gram
    assert got is not None
    size = np.abs(got.value).max()
    if not 0.0 < size < np.inf:
        return
    _, vectors = np.linalg.eigh((got.value + got.value.T) / (2.0 * size))
    forms = np.sum(vectors * (got.value @ vectors), axis=0)
    rows = len(vectors)
    slack = np.sum(
        np.abs(vectors) * ((got.error + FLOAT64.gamma(2 * rows + 1) * np.abs(got.value)) @ np.abs(vectors)), axis=0
    )
    if (forms < -slack).any():
        worst = int(np.argmin(forms + slack))
        raise Mismatch(
            f"gram: not positive semidefinite: vᵀ G v = {forms[worst]:.6g}, rounding explains {-slack[worst]:.3g}"
        )


def _own_gram(got: Evaluated, case: Case) -> np.ndarray:
    outputs = case.outputs
    total = np.zeros((case.samples * outputs,) * 2)
    for layer in case.trained or range(1, len(case.widths) + 1):
        left, right = got.left[layer - 1].value.reshape(len(total), -1), got.right[layer - 1].value
        total += (left @ left.T) * np.kron(right @ right.T, np.ones((outputs, outputs)))
    return total


def _shift(network: Network, layer: int) -> np.ndarray:
    width = network.widths[layer]
    tau = phi.threshold(network.activation, width) if network.activation.kind == "shifted_relu" else 0.0
    beta = np.zeros(width) if network.biases is None else network.biases[layer - 1].astype(np.float64)
    return beta - tau


def _threshold_error(case: Case, network: Network, layer: int) -> np.ndarray:
    """An implementation's τ is rounded a few times, as in properties/tolerances/replay.py."""
    width = network.widths[layer]
    tau = abs(phi.threshold(network.activation, width))
    return np.full(width, 8 * Arithmetic(case.dtype).roundoff * tau)


def _inner(left: Bounded, vector: Bounded) -> Bounded:
    """⟨g_{i,o}, v_i⟩ for every sample and output, with v of shape (n, 1, m) or (m,)."""
    value = np.sum(left.value * vector.value, axis=2)
    sizes = np.sum(np.abs(left.value * vector.value), axis=2)
    largest = np.sum(left.largest * vector.largest, axis=2)
    return Bounded(value, largest - sizes + FLOAT64.gamma(left.value.shape[2] + 2) * largest)


def _sum(a: Bounded, b: Bounded) -> Bounded:
    return FLOAT64.add(a, b)
