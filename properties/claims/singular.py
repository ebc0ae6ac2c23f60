"""Properties of a Gauss–Newton step without damping on a singular Gram matrix: ill-conditioned is not bad input."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from properties.cases.case import Case
from properties.cases.strategies import within
from properties.claims.steps import take
from properties.runner.compare import Mismatch, assert_close
from properties.runner.registry import needs_methods, register
from properties.runner.subject import Subject
from properties.tolerances import bounds
from properties.tolerances.loss_bounds import loss_bounds
from properties.tolerances.replay import Replay
from properties.tolerances.rounding import Arithmetic, Bounded

#: Dead samples beside live ones whose own Gram matrix is far from singular.
LIVE_AND_DEAD = {
    "one live, one dead": Case(widths=(64,), b=0.0, samples=2, zeros=1, learning_rate=1.0, relative_damping=0.0),
    "three live, one dead": Case(widths=(64,), b=0.0, samples=4, zeros=1, learning_rate=1.0, relative_damping=0.0),
    "two layers": Case(
        input_dimension=6, widths=(48, 40), b=0.0, samples=5, zeros=2, learning_rate=0.5, relative_damping=0.0, seed=1
    ),
    "two layers, float32": Case(
        input_dimension=6, widths=(48, 40), b=0.0, samples=4, zeros=2, relative_damping=0.0, dtype="float32", seed=2
    ),
}

#: Least squares leaves out directions that vanish up to rounding: none within this factor of the largest.
LARGEST_CONDITION = {"float32": 1e2, "float64": 1e4}


@register(
    "step",
    "to_network",
    "active_sets",
    strategy=lambda capabilities: st.sampled_from(
        [case for named in LIVE_AND_DEAD.values() if (case := within(named, capabilities))]
    ),
    examples=LIVE_AND_DEAD,
    weight=0.01,
    unless=needs_methods("gauss_newton"),
)
def without_damping_live_samples_are_fitted_beside_dead_ones(subject: Subject, case: Case) -> None:
    """Rows of G that are zero change no weight: what is left is the step of the other rows."""
    implementation = subject.build(case)
    before = implementation.to_network()
    oracle = subject.replay(case, implementation, before)
    q = _coefficients(subject, case, oracle)
    if q is None:
        raise Mismatch(f"active_sets: expected a dead sample and well-conditioned live ones, as in {case!r}")
    summands = subject.summands(implementation)
    expected = bounds.moved_weights(before, oracle, q, Arithmetic(case.dtype), trained=case.trained, summands=summands)
    take(implementation, case, "gauss_newton", damping=0.0)
    for layer, (weight, bound) in enumerate(zip(implementation.to_network().weights, expected, strict=True), start=1):
        assert_close(f"weights after gauss_newton without damping, layer {layer}", ("unit", "input"), weight, bound)


def _coefficients(subject: Subject, case: Case, oracle: Replay) -> Bounded | None:
    """q = η G⁺ r with a bound for every solver that is backward stable and finds the rank; squared loss.

    It returns (G + E)⁺ (r + e) with ‖E‖ ≤ ‖e_G‖ + (γ_{3N+1} + tolerance)·N·‖G‖ (in every element, as in
    bounds.gauss_newton_coefficients) and a rank that E leaves alone. For such E
    ‖(G + E)⁺ − G⁺‖ ≤ (1 + √5)/2 ‖G⁺‖ ‖(G + E)⁺‖ ‖E‖ and ‖(G + E)⁺‖ ≤ ‖G⁺‖/(1 − ‖G⁺‖‖E‖)
    (P.-Å. Wedin, Perturbation theory for pseudo-inverses, BIT 13, 1973).
    None where no row is zero, or where the other rows are not well-conditioned.
    """
    arithmetic, tolerance = Arithmetic(case.dtype), subject.capabilities.solve_tolerance
    G = bounds.gram(oracle, arithmetic, case.trained)
    r = loss_bounds("squared", oracle.outputs, case.y, arithmetic).gradient
    live = np.diag(G.value) > 0.0
    values = np.linalg.eigvalsh(G.value[np.ix_(live, live)])
    if live.all() or not live.any() or not values[-1] < LARGEST_CONDITION[case.dtype] * values[0]:
        return None
    rows, inverse = len(G.value), 1.0 / values[0]
    E = np.linalg.norm(G.error) + rows * (arithmetic.gamma(3 * rows + 1) + tolerance) * values[-1]
    if not inverse * E < 0.5:
        return None
    flat, solution = r.value.reshape(-1), np.zeros(rows)
    solution[live] = np.linalg.solve(G.value[np.ix_(live, live)], flat[live])
    size = np.linalg.norm(flat)
    perturbed = inverse / (1.0 - inverse * E)
    off = 0.5 * (1.0 + np.sqrt(5.0)) * inverse * perturbed * E * size
    off += perturbed * (np.linalg.norm(r.error) + tolerance * size)
    q = Bounded(solution.reshape(r.value.shape), np.full(r.value.shape, off))
    return arithmetic.scaled(q, case.learning_rate, arithmetic.roundoff)
