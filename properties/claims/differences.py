"""Properties of finite differences, taken inside the margin: no mask changes, so they are exact but for rounding.

With masks fixed the outputs are affine in the weights of one layer. So f(W_ℓ + Δ) − f(W_ℓ) = g_ℓᵀ Δ h_{ℓ−1} whatever
the size of Δ, as long as no unit crosses its threshold: nothing is lost to a truncated series, and Δ is as large as
the margins allow.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from properties.cases.case import Case
from properties.cases.strategies import NAMED_CORNERS, cases
from properties.runner.compare import assert_close
from properties.runner.registry import register
from properties.runner.subject import Subject
from properties.tolerances import bounds
from properties.tolerances.evaluated import Evaluated, evaluate
from properties.tolerances.loss_bounds import loss_bounds
from properties.tolerances.rounding import Arithmetic, Bounded
from reference.contract import Network
from reference.contract.shapes import Bool, Float
from reference.forward import forward

#: The step is halved at most so often; margins of 1e-9 of the weights need no test by differences.
HALVINGS = 30

FLOAT64 = Arithmetic("float64")


@register("forward", "jacobian_factors", "active_sets", strategy=cases, examples=NAMED_CORNERS, weight=0.4)
def outputs_move_along_the_jacobian(subject: Subject, case: Case) -> None:
    """f(W_ℓ + Δ) − f(W_ℓ) = g_ℓᵀ Δ h_{ℓ−1}, in one random layer and direction."""
    layer = case.seed % len(case.widths) + 1
    network, change = _moved(case, layer)
    before, after = evaluate(subject, case), evaluate(subject, case, network)
    same = _same_masks(before, after)
    left, right = before.left[layer - 1], before.right[layer - 1]
    along = FLOAT64.product(right, Bounded(change.T, FLOAT64.roundoff * np.abs(change.T)), change.shape[1])
    value = np.sum(left.value * along.value[:, None, :], axis=2)
    largest = np.sum(left.largest * along.largest[:, None, :], axis=2)
    sizes = np.sum(np.abs(left.value * along.value[:, None, :]), axis=2)
    error = largest - sizes + FLOAT64.gamma(left.value.shape[2] + 2) * largest
    moved = _difference(before, after)
    got, expected = moved.value[same], Bounded(value[same], (error + moved.error)[same])
    assert_close(f"f(W + Δ) − f(W), layer {layer}", ("sample", "output"), got, expected)


@register("forward", "gradient", "active_sets", strategy=cases, examples=NAMED_CORNERS, weight=0.4)
def outputs_move_along_the_gradient(subject: Subject, case: Case) -> None:
    """⟨∂risk/∂W_ℓ, Δ⟩ = Σ r·(f(W_ℓ + Δ) − f(W_ℓ)), in one random layer and direction."""
    layer = case.seed % len(case.widths) + 1
    network, change = _moved(case, layer)
    implementation = subject.build(case)
    before, after = evaluate(subject, case, built=implementation), evaluate(subject, case, network)
    if not _same_masks(before, after).all():
        return
    arithmetic = Arithmetic(case.dtype)
    oracle = subject.replay(case, implementation)
    r = loss_bounds(case.loss, oracle.outputs, case.y, arithmetic).gradient
    bound = bounds.weighted_sums(r, oracle, arithmetic)[layer - 1]
    gradient = implementation.gradient(case.X, case.y, case.loss)[layer - 1].astype(np.float64)
    moved = _difference(before, after)
    expected, sizes = np.sum(r.value * moved.value), np.sum(np.abs(r.value * moved.value))
    got, terms = np.sum(gradient * change), np.sum(np.abs(gradient * change))
    error = np.sum(r.largest * moved.largest) - sizes + np.sum(bound.error * np.abs(change))
    error += FLOAT64.gamma(change.size + moved.value.size + 2) * (terms + sizes)
    assert_close(f"⟨gradient, Δ⟩, layer {layer}", (), np.asarray(got), Bounded(np.asarray(expected), np.asarray(error)))


def _difference(before: Evaluated, after: Evaluated) -> Bounded:
    value = after.outputs.value - before.outputs.value
    return Bounded(value, before.outputs.error + after.outputs.error + FLOAT64.roundoff * np.abs(value))


def _same_masks(before: Evaluated, after: Evaluated) -> Bool[np.ndarray, " n"]:
    """The samples whose masks are the same in every layer: all but those that rounding decides otherwise."""
    pairs = zip(before.masks, after.masks, strict=True)
    return np.all([(mask == other).all(axis=1) for mask, other in pairs], axis=0)


def _moved(case: Case, layer: int) -> tuple[Network, Float[np.ndarray, "fan_out fan_in"]]:
    """The network with W_ℓ + Δ, and Δ: the first of a direction, its half, its quarter … that changes no mask."""
    network, generator = case.network, np.random.default_rng((case.seed, 20))
    weight = network.weights[layer - 1]
    direction = (np.abs(weight).max() or 1.0) * generator.standard_normal(weight.shape)
    masks = forward(network, case.X).masks
    weights = list(network.weights)
    for halving in range(HALVINGS):
        weights[layer - 1] = case.stored((weight + 2.0**-halving * direction).astype(weight.dtype))
        moved = replace(network, weights=weights)
        now = forward(moved, case.X).masks
        if all(np.array_equal(mask, other) for mask, other in zip(masks, now, strict=True)):
            break
    return moved, weights[layer - 1].astype(np.float64) - weight
