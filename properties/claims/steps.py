"""One training step, judged from the implementation's own weights before it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from properties.cases.case import Case
from properties.runner.compare import Mismatch, assert_close
from properties.runner.subject import Subject
from properties.tolerances import bounds
from properties.tolerances.loss_bounds import loss_bounds
from properties.tolerances.replay import Replay
from properties.tolerances.rounding import Arithmetic, Bounded
from reference import Reference
from reference.contract import Implementation, Network, StepReport
from reference.contract.shapes import Float
from reference.forward import forward

#: A run in which a preactivation or an element of the Gram matrix is larger has left what anybody trains, and ends. Its
#: overflows are the business of `a_step_that_overflows_changes_nothing`.
LARGEST = 2.0**40


def with_batch(case: Case, X: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n c"], network: Network) -> Case:
    """The case with another batch and other weights: rates and damping are then those of its Gram matrix there."""
    other = replace(case, samples=len(X))
    vars(other).update(X=X, y=y, network=network)  # where a cached property keeps what it has found
    return other


def part(case: Case, samples: slice | np.ndarray) -> Case:
    """The case with some of its samples, and the weights that it has."""
    return with_batch(case, case.X[samples].copy(), case.y[samples].copy(), case.network)


def tame(case: Case) -> bool:
    """Whether preactivations and Gram matrix are of a size at which no number of a step comes near an overflow.

    A sample that is dead in the last layer has no part in the Gram matrix, however large its preactivations are.
    """
    gram = Reference(case.network, case.trained or tuple(range(1, case.network.depth + 1))).gram(case.X)
    sizes = [np.abs(z).max() for z in forward(case.network, case.X.astype(np.float64)).preactivations]
    return bool(max(np.abs(gram).max(), *sizes) < LARGEST and np.isfinite([*sizes, gram.max()]).all())


def goes_on(case: Case, implementation: Implementation) -> bool:
    """Whether training on the case's batch can go on from the present weights."""
    return tame(with_batch(case, case.X, case.y, implementation.to_network()))


def take(
    implementation: Implementation,
    case: Case,
    method: str,
    *,
    learning_rate: float | None = None,
    damping: float | None = None,
) -> StepReport:
    """A step on the case's batch, at its own learning rate and damping unless others are given."""
    return implementation.step(
        case.X,
        case.y,
        method=method,
        loss=case.loss,
        learning_rate=case.rate(method) if learning_rate is None else learning_rate,
        damping=case.damping if damping is None else damping,
    )


def check_step(subject: Subject, case: Case, implementation: Implementation, before: Network, method: str) -> bool:
    """Takes one step and compares the weights; False where the step cannot be resolved by any bound."""
    expected = expected_weights(subject, case, implementation, before, method)
    take(implementation, case, method)
    after = implementation.to_network()
    check_the_rest(method, before, after)
    if expected is None:
        check_finite(method, after)
        return False
    for layer, (weight, bound) in enumerate(zip(after.weights, expected, strict=True), start=1):
        assert_close(f"weights after {method}, layer {layer}", ("unit", "input"), weight, bound)
    return True


def expected_weights(
    subject: Subject, case: Case, implementation: Implementation, before: Network, method: str
) -> list[Bounded] | None:
    """The weights after a step from `before`, with bounds; None where rounding leaves them open."""
    oracle = subject.replay(case, implementation, before)
    q = coefficients(subject, case, oracle, method)
    if q is None:
        return None
    summands = subject.summands(implementation)
    return bounds.moved_weights(before, oracle, q, Arithmetic(case.dtype), trained=case.trained, summands=summands)


def coefficients(
    subject: Subject,
    case: Case,
    oracle: Replay,
    method: str,
    *,
    learning_rate: float | None = None,
    damping: float | None = None,
) -> Bounded | None:
    """q of a step, with bounds; None where rounding leaves it open. The arguments are those of `take`."""
    arithmetic = Arithmetic(case.dtype)
    loss = loss_bounds(case.loss, oracle.outputs, case.y, arithmetic)
    rate = case.rate(method) if learning_rate is None else learning_rate
    if method == "gradient_descent":
        return arithmetic.scaled(loss.gradient, rate, arithmetic.roundoff)
    subject.steps += 1
    G = bounds.gram(oracle, arithmetic, case.trained)
    tolerance = subject.capabilities.solve_tolerance
    lam = case.damping if damping is None else damping
    q = bounds.gauss_newton_coefficients(G, loss, rate, lam, arithmetic, tolerance)
    subject.unresolved_steps += q is None
    return q


def check_the_rest(what: str, before: Network, after: Network) -> None:
    """Readout and biases are not trained."""
    untrained: list[tuple[str, list[np.ndarray], list[np.ndarray]]] = [
        ("readout", [before.readout], [after.readout]),
        ("biases", [*(before.biases or [])], [*(after.biases or [])]),
        ("readout bias", _present(before.readout_bias), _present(after.readout_bias)),
    ]
    for name, given, now in untrained:
        if any(not np.array_equal(a, b) for a, b in zip(given, now, strict=True)):
            raise Mismatch(f"{what}: {name} changed, but only the weights are trained")


def check_finite(what: str, network: Network) -> None:
    """Whatever a step does, it leaves numbers."""
    for layer, weight in enumerate(network.weights, start=1):
        if not np.isfinite(weight).all():
            raise Mismatch(f"weights after {what}, layer {layer}: not finite")


def _present(array: np.ndarray | None) -> list[np.ndarray]:
    return [] if array is None else [array]
