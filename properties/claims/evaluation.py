"""Properties of an evaluation: active sets, outputs, Jacobian factors, gradient, Gram matrix."""

from __future__ import annotations

import numpy as np

import reference
from properties.cases.case import Case
from properties.cases.strategies import (
    NAMED_EVALUATION_CASES,
    NAMED_LATTICE_CASES,
    NAMED_TINY_CASES,
    evaluation_cases,
    lattice_cases,
    tiny_cases,
)
from properties.oracles import extended
from properties.oracles.autograd import Autograd
from properties.runner.compare import Mismatch, assert_close, assert_identical
from properties.suite import Subject, register
from properties.tolerances import bounds
from properties.tolerances.loss_bounds import loss_bounds
from properties.tolerances.rounding import Arithmetic, Bounded


@register("active_sets", strategy=evaluation_cases, examples=NAMED_EVALUATION_CASES)
def active_sets_are_the_units_above_the_threshold(subject: Subject, case: Case) -> None:
    """Active means z > τ; inside the rounding band either answer is legal."""
    subject.replay(case, subject.build(case))


@register("forward", "active_sets", strategy=evaluation_cases, examples=NAMED_EVALUATION_CASES)
def outputs_match_the_oracle(subject: Subject, case: Case) -> None:
    """f(x) = A h_L."""
    implementation = subject.build(case)
    oracle = subject.replay(case, implementation)
    assert_close("forward", ("sample", "output"), implementation.forward(case.X), oracle.outputs)


@register("jacobian_factors", "active_sets", strategy=evaluation_cases, examples=NAMED_EVALUATION_CASES)
def jacobian_factors_match_the_oracle(subject: Subject, case: Case) -> None:
    """∂f_o(x_i)/∂W_ℓ = g_{i,o,ℓ} h_{i,ℓ−1}ᵀ, factor by factor."""
    implementation = subject.build(case)
    oracle = subject.replay(case, implementation)
    factors = implementation.jacobian_factors(case.X)
    if len(factors) != len(oracle.left):
        raise Mismatch(f"jacobian_factors: expected {len(oracle.left)} pairs, got {len(factors)}")
    for layer, (left, right) in enumerate(factors, start=1):
        assert_close(f"left factor, layer {layer}", ("sample", "output", "unit"), left, oracle.left[layer - 1])
        assert_close(f"right factor, layer {layer}", ("sample", "unit"), right, oracle.hidden[layer - 1])


@register("gradient", "active_sets", strategy=evaluation_cases, examples=NAMED_EVALUATION_CASES)
def gradient_matches_the_oracle(subject: Subject, case: Case) -> None:
    """The gradient of the empirical risk, Σ r g hᵀ."""
    _check_gradient(subject, case, against_autograd=False)


@register("gradient", "active_sets", strategy=evaluation_cases, examples=NAMED_EVALUATION_CASES)
def gradient_matches_automatic_differentiation(subject: Subject, case: Case) -> None:
    """The same gradient from torch's autograd, which shares no formula with the oracle."""
    _check_gradient(subject, case, against_autograd=True)


@register("jacobian_factors", "active_sets", strategy=evaluation_cases, examples=NAMED_TINY_CASES, weight=0.25)
def jacobian_matches_automatic_differentiation(subject: Subject, case: Case) -> None:
    """g_{i,o,ℓ} h_{i,ℓ−1}ᵀ, written out, against torch's reverse mode."""
    implementation = subject.build(case)
    oracle = subject.replay(case, implementation)
    jacobians = Autograd(case.network, case.X, oracle.masks).jacobians
    expected = bounds.jacobian(oracle, Arithmetic(case.dtype))
    for layer, (left, right) in enumerate(implementation.jacobian_factors(case.X), start=1):
        got = left.astype(np.float64)[:, :, :, None] * right[:, None, None, :]
        bound = Bounded(jacobians[layer - 1], expected[layer - 1].error)
        assert_close(f"Jacobian, layer {layer}", ("sample", "output", "unit", "input"), got, bound)


@register(
    "forward", "jacobian_factors", "gram", "active_sets", strategy=tiny_cases, examples=NAMED_TINY_CASES, weight=0.25
)
def evaluation_matches_extended_precision(subject: Subject, case: Case) -> None:
    """Outputs, factors and Gram matrix of tiny networks against scalar loops with fifty digits."""
    implementation = subject.build(case)
    oracle = subject.replay(case, implementation)
    exact = extended.evaluate(case.network, case.X, oracle.masks)

    def within(numbers: object, bound: Bounded) -> Bounded:
        return Bounded(extended.rounded(numbers), bound.error)

    assert_close("forward", ("sample", "output"), implementation.forward(case.X), within(exact.outputs, oracle.outputs))
    for layer, (left, right) in enumerate(implementation.jacobian_factors(case.X), start=1):
        g, h = (
            within(exact.left[layer - 1], oracle.left[layer - 1]),
            within(exact.hidden[layer - 1], oracle.hidden[layer - 1]),
        )
        assert_close(f"left factor, layer {layer}", ("sample", "output", "unit"), left, g)
        assert_close(f"right factor, layer {layer}", ("sample", "unit"), right, h)
    G = extended.gram(exact, case.trained or range(1, len(case.widths) + 1))
    expected = bounds.gram(oracle, Arithmetic(case.dtype), case.trained)
    assert_close("gram", ("row", "column"), implementation.gram(case.X), within(G, expected))


@register("gram", "active_sets", strategy=evaluation_cases, examples=NAMED_EVALUATION_CASES)
def gram_matrix_matches_the_oracle(subject: Subject, case: Case) -> None:
    """G = J Jᵀ: symmetric, and equal to the product of a Jacobian that is written out."""
    implementation = subject.build(case)
    arithmetic = Arithmetic(case.dtype)
    oracle = subject.replay(case, implementation)
    expected = bounds.explicit_gram(oracle, arithmetic, case.trained)
    got = implementation.gram(case.X)
    assert_close("gram", ("row", "column"), got, expected)
    assert_close("gram, transposed", ("row", "column"), got.T, expected)


@register(
    "forward", "active_sets", "jacobian_factors", strategy=lattice_cases, examples=NAMED_LATTICE_CASES, weight=1.5
)
def evaluation_is_exact_on_integers(subject: Subject, case: Case) -> None:
    """On small integers nothing rounds, so everything is equal bit for bit; z = τ is inactive."""
    implementation = subject.build(case)
    oracle = reference.factory(case.network)
    for layer, (mask, expected) in enumerate(
        zip(implementation.active_sets(case.X), oracle.active_sets(case.X), strict=True), start=1
    ):
        assert_identical(f"active_sets, layer {layer} (a tie z = τ is inactive)", ("sample", "unit"), mask, expected)
    assert_identical("forward", ("sample", "output"), implementation.forward(case.X), oracle.forward(case.X))
    for layer, (factors, exact_factors) in enumerate(
        zip(implementation.jacobian_factors(case.X), oracle.jacobian_factors(case.X), strict=True), start=1
    ):
        assert_identical(f"left factor, layer {layer}", ("sample", "output", "unit"), factors[0], exact_factors[0])
        assert_identical(f"right factor, layer {layer}", ("sample", "unit"), factors[1], exact_factors[1])


@register(
    "forward",
    "active_sets",
    "jacobian_factors",
    "to_network",
    strategy=evaluation_cases,
    examples=NAMED_EVALUATION_CASES,
    weight=0.5,
)
def evaluating_changes_nothing(subject: Subject, case: Case) -> None:
    """Evaluations repeat to the last bit, leave weights and the caller's arrays alone, and share no memory."""
    X = case.X.copy()
    implementation = subject.build(case)
    first = implementation.forward(X).copy()
    returned = [array for pair in implementation.jacobian_factors(X) for array in pair]
    returned += [np.asarray(mask) for mask in implementation.active_sets(X)]
    returned += list(implementation.to_network().weights)
    for array in returned:
        if array.flags.writeable:
            array[...] = 1  # a caller may overwrite what it was given
    assert_identical(
        "X after returned arrays were overwritten (they may not share its memory)", ("sample", "feature"), X, case.X
    )
    assert_identical("forward, repeated", ("sample", "output"), implementation.forward(X), first)
    for layer, (weight, given) in enumerate(
        zip(implementation.to_network().weights, case.network.weights, strict=True), start=1
    ):
        assert_identical(f"weights, layer {layer}", ("unit", "input"), weight, given)


def _check_gradient(subject: Subject, case: Case, *, against_autograd: bool) -> None:
    implementation = subject.build(case)
    arithmetic = Arithmetic(case.dtype)
    oracle = subject.replay(case, implementation)
    r = loss_bounds(case.loss, oracle.outputs, case.y, arithmetic).gradient
    expected = bounds.weighted_sums(r, oracle, arithmetic)
    if against_autograd:
        values = Autograd(case.network, case.X, oracle.masks).gradient(case.y, case.loss)
        expected = [Bounded(value, bound.error) for value, bound in zip(values, expected, strict=True)]
    got = implementation.gradient(case.X, case.y, case.loss)
    if len(got) != len(expected):
        raise Mismatch(f"gradient: expected {len(expected)} layers, got {len(got)}")
    for layer, (gradient, bound) in enumerate(zip(got, expected, strict=True), start=1):
        assert_close(f"gradient, layer {layer}", ("unit", "input"), gradient, bound)
