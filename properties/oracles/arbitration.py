"""Whether the oracles agree on a case: where they do not, no implementation is to blame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.linalg

import reference
from properties.cases.case import Case
from properties.oracles import extended
from properties.oracles.autograd import Autograd
from properties.runner.compare import Mismatch, assert_close, assert_identical, assert_masks
from properties.tolerances import bounds
from properties.tolerances.loss_bounds import LossBounds, loss_bounds
from properties.tolerances.replay import Replay, replay
from properties.tolerances.rounding import Arithmetic, Bounded
from reference import activation as phi
from reference import loss as losses
from reference import step as steps

#: Multiplications of a case that extended precision takes on: some tenths of a second.
LARGEST_WORK = 20_000

#: Trained weights up to which torch's Gauss–Newton step is solved for in the space of the weights.
LARGEST_SYSTEM = 150

FLOAT64 = Arithmetic("float64")


def arbitrate(case: Case) -> str:
    """What the oracles disagree on, "" where they agree within float64's bounds.

    The reference and its replay are held against each other, against torch's automatic differentiation, and at tiny
    sizes against extended precision: masks, outputs, Jacobian, gradient, Gram matrix, loss, Gauss–Newton step.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        oracle = replay(case.network, case.X.astype(np.float64), FLOAT64)
        loss = loss_bounds(case.loss, oracle.outputs, case.y, FLOAT64)
        compared: list[tuple[str, Callable[[Case, Replay, LossBounds], None]]] = [
            ("the reference and its replay", _the_reference),
            ("the reference and automatic differentiation", _automatic_differentiation),
        ]
        if work(case) <= LARGEST_WORK:
            compared.append(("the reference and extended precision", _extended_precision))
        for names, check in compared:
            try:
                check(case, oracle, loss)
            except Mismatch as mismatch:
                return f"{names} disagree: {mismatch}"
    return ""


def work(case: Case) -> int:
    """About how many multiplications an evaluation of the case takes: forward, backward, gradient."""
    weights = sum(weight.size for weight in case.network.weights)
    return case.samples * (1 + 2 * case.outputs) * weights


def _the_reference(case: Case, oracle: Replay, loss: LossBounds) -> None:
    implementation = reference.factory(case.network, trained_layers=case.trained)
    assert_masks(implementation.active_sets(case.X), oracle)
    assert_close("forward", ("sample", "output"), implementation.forward(case.X), oracle.outputs)
    for layer, (left, right) in enumerate(implementation.jacobian_factors(case.X), start=1):
        assert_close(f"left factor, layer {layer}", ("sample", "output", "unit"), left, oracle.left[layer - 1])
        assert_close(f"right factor, layer {layer}", ("sample", "unit"), right, oracle.hidden[layer - 1])
    _assert_weights("gradient", implementation.gradient(case.X, case.y, case.loss), _gradient(oracle, loss))
    assert_close("gram", ("row", "column"), implementation.gram(case.X), bounds.gram(oracle, FLOAT64, case.trained))
    assert_close(
        "gram", ("row", "column"), implementation.gram(case.X), bounds.explicit_gram(oracle, FLOAT64, case.trained)
    )


def _automatic_differentiation(case: Case, oracle: Replay, loss: LossBounds) -> None:
    torch = Autograd(case.network, case.X.astype(np.float64), oracle.masks)
    assert_close("forward", ("sample", "output"), torch.outputs, oracle.outputs)
    jacobians = bounds.jacobian(oracle, FLOAT64)
    for layer, (got, expected) in enumerate(zip(torch.jacobians, jacobians, strict=True), start=1):
        assert_close(f"Jacobian, layer {layer}", ("sample", "output", "unit", "input"), got, expected)
    assert_close(
        "gram", ("row", "column"), torch.gram(case.trained), bounds.explicit_gram(oracle, FLOAT64, case.trained)
    )
    _assert_weights("gradient", torch.gradient(case.y, case.loss), _gradient(oracle, loss))
    H = _cancelled(loss.hessian)
    if loss.settled:
        assert_close("Hessian", ("sample", "output", "output'"), torch.hessian(case.y, case.loss), H)
    trained = case.trained or range(1, len(case.widths) + 1)
    if loss.settled and sum(case.network.weights[layer - 1].size for layer in trained) <= LARGEST_SYSTEM:
        _step_in_the_space_of_the_weights(case, oracle, loss, [jacobians[layer - 1] for layer in trained], torch)


def _step_in_the_space_of_the_weights(
    case: Case, oracle: Replay, loss: LossBounds, jacobians: list[Bounded], torch: Autograd
) -> None:
    """(Jᵀ H J + λI) Δ = η Jᵀ r against Jᵀ q, where rounding leaves neither open."""
    q = _coefficients(case, oracle, loss)
    if q is None or case.damping == 0.0:
        return
    rows = case.samples * case.outputs
    J = Bounded(
        np.hstack([jacobian.value.reshape(rows, -1) for jacobian in jacobians]),
        np.hstack([jacobian.error.reshape(rows, -1) for jacobian in jacobians]),
    )
    Jt = Bounded(J.value.T, J.error.T)
    H = _cancelled(loss.hessian)
    H = Bounded(*(scipy.linalg.block_diag(*part) for part in (H.value, H.error)))
    r = Bounded(loss.gradient.value.reshape(-1, 1), loss.gradient.error.reshape(-1, 1))
    A = FLOAT64.product(FLOAT64.product(Jt, H, rows), J, rows)
    A = Bounded(A.value + case.damping * np.eye(len(A.value)), A.error)
    solution = bounds.solved(A, FLOAT64.product(Jt, r, rows), FLOAT64, 0.0)
    if solution is None:
        return
    solution = FLOAT64.scaled(solution, case.learning_rate)
    step = FLOAT64.product(Jt, Bounded(q.value.reshape(-1, 1), q.error.reshape(-1, 1)), rows)
    got = torch.gauss_newton_step(case.y, case.loss, case.learning_rate, case.damping, case.trained)
    assert_close("Gauss–Newton step", ("weight",), got, Bounded(step.value[:, 0], (step.error + solution.error)[:, 0]))


def _extended_precision(case: Case, oracle: Replay, loss: LossBounds) -> None:
    exact = extended.evaluate(case.network, case.X, oracle.masks)
    rounded = extended.rounded
    if case.lattice:  # τ is exact there, and decides ties
        tau = np.array([phi.threshold(case.network.activation, width) for width in case.widths])
        assert_identical("τ", ("layer",), rounded(exact.thresholds), tau)
    margins = [rounded(margin) for margin in exact.margins]
    for layer, margin in enumerate(margins, start=1):
        expected = Bounded(oracle.margins[layer - 1], oracle.bands[layer - 1])
        assert_close(f"z − τ, layer {layer}", ("sample", "unit"), margin, expected)
    own = zip(oracle.ambiguous, oracle.masks, margins, strict=True)
    assert_masks([np.where(unclear, mask, margin > 0) for unclear, mask, margin in own], oracle)
    for layer, (left, right) in enumerate(zip(exact.left, exact.hidden[:-1], strict=True), start=1):
        assert_close(f"left factor, layer {layer}", ("sample", "output", "unit"), rounded(left), oracle.left[layer - 1])
        assert_close(f"right factor, layer {layer}", ("sample", "unit"), rounded(right), oracle.hidden[layer - 1])
    assert_close("forward", ("sample", "output"), rounded(exact.outputs), oracle.outputs)
    assert_close("loss", (), rounded(extended.risk(case.loss, exact.outputs, case.y)), loss.value)
    r = extended.residual(case.loss, exact.outputs, case.y)
    assert_close("r", ("sample", "output"), rounded(r), loss.gradient)
    gradient = [rounded(extended.weighted_sum(exact, r, layer)) for layer in range(1, len(case.widths) + 1)]
    _assert_weights("gradient", gradient, _gradient(oracle, loss))
    G = extended.gram(exact, case.trained or range(1, len(case.widths) + 1))
    assert_close("gram", ("row", "column"), rounded(G), bounds.gram(oracle, FLOAT64, case.trained))
    if loss.settled:
        H = extended.hessian(case.loss, exact.outputs, case.y)
        assert_close("Hessian", ("sample", "output", "output'"), rounded(H), loss.hessian)
        q = extended.gauss_newton(G, r, H, case.learning_rate, case.damping)
        _solution_of_the_step(case, oracle, loss, None if q is None else rounded(q))


def _solution_of_the_step(case: Case, oracle: Replay, loss: LossBounds, exact: np.ndarray | None) -> None:
    expected = _coefficients(case, oracle, loss)
    if exact is None or expected is None:
        return
    assert_close("Gauss–Newton coefficients", ("sample", "output"), exact, expected)
    r = losses.gradient(case.loss, oracle.outputs.value, case.y)
    H = losses.hessian(case.loss, oracle.outputs.value, case.y)
    G = bounds.gram(oracle, FLOAT64, case.trained).value
    got = steps.gauss_newton(G, r, H, case.learning_rate, case.damping)
    assert_close("the reference's coefficients", ("sample", "output"), got, expected)


def _coefficients(case: Case, oracle: Replay, loss: LossBounds) -> Bounded | None:
    G = bounds.gram(oracle, FLOAT64, case.trained)
    return bounds.gauss_newton_coefficients(G, loss, case.learning_rate, case.damping, FLOAT64, 0.0)


def _gradient(oracle: Replay, loss: LossBounds) -> list[Bounded]:
    return bounds.weighted_sums(loss.gradient, oracle, FLOAT64)


def _assert_weights(what: str, got: Sequence[np.ndarray], expected: Sequence[Bounded]) -> None:
    for layer, (matrix, bound) in enumerate(zip(got, expected, strict=True), start=1):
        assert_close(f"{what}, layer {layer}", ("unit", "input"), matrix, bound)


def _cancelled(H: Bounded) -> Bounded:
    """torch has p·(1 − p) where the reference has σ(f)·σ(−f): 1 − p is off by a few roundoffs of 1."""
    return Bounded(H.value, H.error + 8 * FLOAT64.roundoff)
