"""Properties of an update as a linear map: in the learning rate, the residual, the samples, the layers.

Two steps of the implementation are compared with each other; the oracle contributes the bounds only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg

from properties.cases.case import Case
from properties.cases.strategies import NAMED_CASES, cases
from properties.claims.steps import coefficients, part, take, with_batch
from properties.runner.compare import assert_close
from properties.runner.registry import needs_methods, register
from properties.runner.subject import Subject
from properties.tolerances import bounds
from properties.tolerances.loss_bounds import loss_bounds
from properties.tolerances.replay import Replay
from properties.tolerances.rounding import UNIT_ROUNDOFF, Arithmetic, Bounded
from reference.contract import Network, Summands
from reference.contract.shapes import Bool, Float

#: λ over ‖HG‖₂ where damping is heavy: large enough for a sharp bound, small enough to see λ scaled by n or by m.
HEAVY = 2.0**12

#: Every check takes several steps, so few of the corners are tried.
CORNERS = {
    name: NAMED_CASES[name]
    for name in (
        "default threshold",
        "four layers",
        "three outputs",
        "duplicate samples",
        "all units active",
        "float32 thresholded identity",
        "logistic",
        "softmax, float32",
        "huber",
    )
}


def without(method: str) -> str:
    """A reason to skip, as `unless` wants it."""
    return f"the implementation declares no {method}"


@register("step", "to_network", "active_sets", strategy=cases, examples=CORNERS, weight=0.15)
def doubling_the_learning_rate_doubles_the_update(subject: Subject, case: Case) -> None:
    """ΔW(2η) = 2ΔW(η), whatever the condition: doubling rounds nothing, and what differs is the subtraction from W."""
    for method in subject.capabilities.methods:
        rate = case.rate(method)
        once = _update(subject, case, method, learning_rate=rate)
        twice = _update(subject, case, method, learning_rate=2.0 * rate)
        if once is None or twice is None or not once.same_masks([twice]):
            return
        direct = method == "gradient_descent" or subject.capabilities.solve_tolerance == 0.0
        first, second = ((u.subtraction if direct else u.error) for u in (once, twice))
        errors = [2.0 * a + b for a, b in zip(first, second, strict=True)]
        _assert_equal(f"update at 2η, {method}", twice.change, [2.0 * a for a in once.change], errors)


@register(
    "step",
    "to_network",
    "active_sets",
    strategy=cases,
    examples=CORNERS,
    weight=0.15,
    unless=lambda subject: "" if "squared" in subject.capabilities.losses else without("squared loss"),
)
def the_update_for_the_mean_target_is_the_mean_of_the_updates(subject: Subject, case: Case) -> None:
    """With the squared loss q is linear in the residual, and so in y."""
    squared = replace(case, loss="squared")
    first, second = squared.y, squared.y[::-1] - 3.0
    targets = [first, second.astype(first.dtype), ((first + second) / 2.0).astype(first.dtype)]  # integers: all exact
    for method in subject.capabilities.methods:
        of = [
            _update(
                subject, with_batch(squared, squared.X, y, squared.network), method, learning_rate=case.rate(method)
            )
            for y in targets
        ]
        a, b, mean = of
        if a is None or b is None or mean is None or not a.same_masks([b, mean]):
            return
        halves = [(u + v) / 2.0 for u, v in zip(a.change, b.change, strict=True)]
        errors = [(u + v) / 2.0 + w for u, v, w in zip(a.error, b.error, mean.error, strict=True)]
        _assert_equal(f"update for the mean target, {method}", mean.change, halves, errors)


@register(
    "step",
    "to_network",
    "active_sets",
    strategy=cases,
    examples=CORNERS,
    weight=0.15,
    unless=needs_methods("gradient_descent", "gauss_newton"),
)
def heavily_damped_gauss_newton_is_gradient_descent(subject: Subject, case: Case) -> None:
    """(HG + λI)⁻¹ r = r/λ + e with ‖e‖ ≤ ρ/(1 − ρ)·‖r‖/λ, ρ = ‖HG‖/λ (Neumann): a damping that is scaled shows here."""
    rate = case.rate("gradient_descent")
    gentle = _update(subject, case, "gradient_descent", learning_rate=rate)
    if gentle is None:
        return
    arithmetic = Arithmetic(case.dtype)
    loss = loss_bounds(case.loss, gentle.oracle.outputs, case.y, arithmetic)
    HG = scipy.linalg.block_diag(*loss.hessian.value) @ bounds.gram(gentle.oracle, arithmetic, case.trained).value
    norm = float(np.linalg.norm(HG, 2))
    damping = HEAVY * (norm if norm > 0.0 else 1.0)
    damped = _update(subject, case, "gauss_newton", learning_rate=rate * damping, damping=damping)
    if damped is None or not damped.same_masks([gentle]):
        return
    rho = norm / damping
    neumann = rho / (1.0 - rho) * rate * float(np.linalg.norm(loss.gradient.value))
    spread = Bounded(np.zeros(case.y.shape), np.full(case.y.shape, neumann))
    errors = [
        a + b + c.error
        for a, b, c in zip(
            gentle.error, damped.error, bounds.weighted_sums(spread, gentle.oracle, arithmetic), strict=True
        )
    ]
    _assert_equal("update at λ = 4096·‖HG‖ against η/λ times the gradient", damped.change, gentle.change, errors)


@register(
    "step",
    "to_network",
    "active_sets",
    strategy=cases,
    examples=CORNERS,
    weight=0.15,
    unless=lambda subject: (
        needs_methods("gradient_descent")(subject)
        or ("" if subject.capabilities.trained_layers else without("trained_layers"))
    ),
)
def layers_are_updated_independently(subject: Subject, case: Case) -> None:
    """Gradient descent of one layer moves it as gradient descent of all does, and moves no other."""
    everything = replace(case, trained=None)
    rate = everything.rate("gradient_descent")
    together = _update(subject, everything, "gradient_descent", learning_rate=rate)
    for layer in range(1, len(case.widths) + 1):
        alone = _update(subject, replace(case, trained=(layer,)), "gradient_descent", learning_rate=rate)
        if together is None or alone is None or not alone.same_masks([together]):
            return
        expected = [change if k == layer else 0.0 * change for k, change in enumerate(together.change, start=1)]
        errors = [
            a + b if k == layer else a
            for k, (a, b) in enumerate(zip(alone.error, together.error, strict=True), start=1)
        ]
        _assert_equal(f"update where layer {layer} alone is trained", alone.change, expected, errors)


@register("step", "to_network", "active_sets", strategy=cases, examples=CORNERS, weight=0.15)
def the_order_of_the_samples_does_not_matter(subject: Subject, case: Case) -> None:
    """A batch in reverse order moves the weights as the batch does."""
    for method in subject.capabilities.methods:
        rate, damping = case.rate(method), case.damping
        given = _update(subject, case, method, learning_rate=rate, damping=damping)
        reverse = part(case, slice(None, None, -1))
        reversed_ = _update(subject, reverse, method, learning_rate=rate, damping=damping)
        if given is None or reversed_ is None:
            return
        if any((a != b[::-1]).any() for a, b in zip(given.masks, reversed_.masks, strict=True)):
            return
        errors = [a + b for a, b in zip(given.error, reversed_.error, strict=True)]
        _assert_equal(f"update by the batch in reverse order, {method}", reversed_.change, given.change, errors)


@register(
    "step",
    "to_network",
    "active_sets",
    strategy=cases,
    examples=CORNERS,
    weight=0.15,
    unless=needs_methods("gradient_descent"),
)
def the_update_of_a_batch_is_the_sum_over_its_parts(subject: Subject, case: Case) -> None:
    """Gradient descent from the same weights: a risk is a sum over samples."""
    if case.samples < 2:
        return
    rate, cut = case.rate("gradient_descent"), (case.samples + 1) // 2
    whole = _update(subject, case, "gradient_descent", learning_rate=rate)
    parts = [
        _update(subject, part(case, chosen), "gradient_descent", learning_rate=rate)
        for chosen in (slice(cut), slice(cut, None))
    ]
    first, second = parts
    if whole is None or first is None or second is None:
        return
    both = [np.vstack(pair) for pair in zip(first.masks, second.masks, strict=True)]
    if any((a != b).any() for a, b in zip(whole.masks, both, strict=True)):
        return
    sums = [a + b for a, b in zip(first.change, second.change, strict=True)]
    errors = [a + b + c for a, b, c in zip(whole.error, first.error, second.error, strict=True)]
    _assert_equal("update of the batch against the sum over its parts", whole.change, sums, errors)


@dataclass(frozen=True)
class _Update:
    """What a step added to the weights.

    Attributes:
        change: By layer.
        error: A bound on how far it may be from that of exact arithmetic with the same masks.
        subtraction: The part of the bound that comes from subtracting from W.
        oracle: The replay.
    """

    change: list[Float[np.ndarray, "_ _"]]
    error: list[Float[np.ndarray, "_ _"]]
    subtraction: list[Float[np.ndarray, "_ _"]]
    oracle: Replay

    @property
    def masks(self) -> list[Bool[np.ndarray, "n _"]]:
        return self.oracle.masks

    def same_masks(self, others: Sequence[_Update]) -> bool:
        """Ambiguous units may be decided otherwise by the same implementation in another batch."""
        return all((a == b).all() for other in others for a, b in zip(self.masks, other.masks, strict=True))


def _update(
    subject: Subject, case: Case, method: str, *, learning_rate: float, damping: float | None = None
) -> _Update | None:
    """A step of a new implementation; None where rounding leaves it open."""
    implementation = subject.build(case)
    before, summands = implementation.to_network(), subject.summands(implementation)
    oracle = subject.replay(case, implementation, before)
    arithmetic = Arithmetic(case.dtype)
    q = coefficients(subject, case, oracle, method, learning_rate=learning_rate, damping=damping)
    if q is None:
        return None
    expected = bounds.moved_weights(before, oracle, q, arithmetic, trained=case.trained, summands=summands)
    take(implementation, case, method, learning_rate=learning_rate, damping=damping)
    after = implementation.to_network()
    pairs = list(zip(before.weights, after.weights, strict=True))
    return _Update(
        [b.astype(np.float64) - a for a, b in pairs],
        # This module's own sums and differences, in float64, are few: four roundings cover them.
        [
            e.error + 4.0 * UNIT_ROUNDOFF["float64"] * (np.abs(a) + np.abs(b))
            for e, (a, b) in zip(expected, pairs, strict=True)
        ],
        _subtraction(before, oracle, q, arithmetic, summands),
        oracle,
    )


def _subtraction(
    network: Network, oracle: Replay, q: Bounded, arithmetic: Arithmetic, summands: Sequence[Summands] | None
) -> list[Float[np.ndarray, "_ _"]]:
    """As in bounds.moved_weights: one rounding a term of at most |W| plus all terms, and what underflows."""
    errors = []
    for layer, weight in enumerate(network.weights):
        left, right = oracle.left[layer].largest, oracle.hidden[layer].largest
        size = np.einsum("io,ioa,ib->ab", q.largest, left, right, optimize=True)
        held, more = (np.abs(weight), 0) if summands is None else (summands[layer].magnitude, summands[layer].terms)
        lost = arithmetic.tiny * q.value.size * (1.0 + left.max(initial=0.0)) * (1.0 + right.max(initial=0.0))
        errors.append(arithmetic.gamma(q.value.size + more + 1) * (held + size) + lost)
    return errors


def _assert_equal(
    what: str,
    got: Sequence[Float[np.ndarray, "_ _"]],
    expected: Sequence[Float[np.ndarray, "_ _"]],
    errors: Sequence[Float[np.ndarray, "_ _"]],
) -> None:
    for layer, (a, b, error) in enumerate(zip(got, expected, errors, strict=True), start=1):
        assert_close(f"{what}, layer {layer}", ("unit", "input"), a, Bounded(b, error))
