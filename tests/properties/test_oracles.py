"""The oracles agree within their own bounds, and where one is wrong nobody else is blamed."""

import mpmath
import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings

import impl
import properties.tolerances.replay
import reference.activation
import reference.loss
from properties import Case
from properties.cases.strategies import (
    NAMED_EVALUATION_CASES,
    NAMED_THRESHOLD_CASES,
    NAMED_TINY_CASES,
    evaluation_cases,
    lattice_cases,
    threshold_cases,
    tiny_cases,
)
from properties.oracles import arbitrate, extended
from properties.oracles.arbitration import LARGEST_WORK, work
from properties.oracles.autograd import Autograd
from properties.suite import REGISTRY, Subject, run_property
from properties.tolerances import bounds
from reference.contract import LOSSES, Activation, Capabilities, Network, load_factory

EVERYTHING = Capabilities(losses=LOSSES, readout_bias=True, trained_layers=True)
PROPERTIES = {item.name: item for item in REGISTRY}


@pytest.mark.parametrize("strategy", [evaluation_cases, tiny_cases, lattice_cases, threshold_cases])
def test_oracles_agree_on_random_cases(strategy):
    @settings(max_examples=12, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @seed(0)
    @given(strategy(EVERYTHING))
    def check(case):
        assert not arbitrate(case)

    check()


NAMED = NAMED_EVALUATION_CASES | NAMED_THRESHOLD_CASES | NAMED_TINY_CASES


@pytest.mark.parametrize("name", NAMED)
def test_oracles_agree_on_named_cases(name):
    assert not arbitrate(NAMED[name])


def test_extended_precision_takes_part_in_most_arbitrations_of_small_cases():
    assert all(work(case) <= LARGEST_WORK for case in NAMED.values())


@pytest.mark.parametrize("kind", ["shifted_relu", "thresholded_identity"])
@pytest.mark.parametrize("b", [None, 0.0, -0.5, 2.5])
def test_the_scale_keeps_the_norm_by_its_definition(kind, b):
    network = Network([np.ones((6, 1))], None, np.ones((1, 6)), Activation(kind, b))
    scale = extended.activation_scale(network, 6)
    with mpmath.workdps(30):
        at = extended.threshold(network, 6) / mpmath.sqrt(mpmath.mpf(2) / 6)
        shift = at if kind == "shifted_relu" else 0
        moment = mpmath.quad(lambda g: (g - shift) ** 2 * mpmath.npdf(g), [at, at + 1, at + 5, mpmath.inf])
        assert abs(2 * scale**2 * moment - 1) < 1e-20


@pytest.mark.parametrize("loss", LOSSES)
def test_derivatives_of_the_losses_are_those_of_their_values(loss):
    f = [[mpmath.mpf(value) for value in (0.3, -0.7, 2.5)]]
    y = np.array([[1.0, 0.0, 0.0]]) if loss == "softmax_cross_entropy" else np.array([[1.0, -1.0, -1.0]])

    def moved(*changes):
        return [[value + change for value, change in zip(f[0], changes, strict=True)]]

    for o in range(3):
        unit = [1 if p == o else 0 for p in range(3)]

        def along(t, unit=unit):
            return extended.risk(loss, moved(*(t * u for u in unit)), y)

        assert abs(mpmath.diff(along, 0) - extended.residual(loss, f, y)[0][o]) < 1e-7
        for p in range(3):

            def slope(t, unit=unit, p=p):
                return extended.residual(loss, moved(*(t * u for u in unit)), y)[0][p]

            assert abs(mpmath.diff(slope, 0) - extended.hessian(loss, f, y)[0][o][p]) < 1e-7


@pytest.mark.parametrize("loss", LOSSES)
def test_the_step_is_the_same_in_the_space_of_samples_and_of_weights(loss):
    case = Case(widths=(3, 2), samples=2, outputs=2, loss=loss, b=-1.0, relative_damping=0.5)
    exact = extended.evaluate(case.network, case.X)
    r, H = extended.residual(loss, exact.outputs, case.y), extended.hessian(loss, exact.outputs, case.y)
    q = extended.gauss_newton(extended.gram(exact, (1, 2)), r, H, case.learning_rate, case.damping)
    step = [extended.rounded(extended.weighted_sum(exact, q, layer)) for layer in (1, 2)]
    torch = Autograd(case.network, case.X, [np.array(mask) for mask in exact.masks])
    by_torch = torch.gauss_newton_step(case.y, loss, case.learning_rate, case.damping)
    np.testing.assert_allclose(np.concatenate([part.ravel() for part in step]), by_torch, rtol=1e-9, atol=1e-12)


def _times(factor):
    return lambda wrapped: lambda *arguments, **options: factor * wrapped(*arguments, **options)


def _first_missing(wrapped):
    return lambda *arguments: [wrapped(*arguments)[0], *(exact_zero(left) for left in wrapped(*arguments)[1:])]


def exact_zero(a):
    return properties.tolerances.rounding.exact(0.0 * a.value)


def _tie_is_active(wrapped):
    return lambda activation, width: np.nextafter(wrapped(activation, width), -np.inf)


def _scaled_bound(wrapped):
    def scaled(*arguments):
        a = wrapped(*arguments)
        return None if a is None else properties.tolerances.rounding.Bounded(1.01 * a.value, a.error)

    return scaled


#: A wrong formula on the oracle's side: where, what, and a property in which it shows on a correct implementation.
WRONG = {
    "scale": (reference.activation, "scale", _times(1.001), "outputs_match_the_oracle"),
    "threshold": (reference.activation, "threshold", _times(1.2), "active_sets_are_the_units_above_the_threshold"),
    "tie": (reference.activation, "threshold", _tie_is_active, "a_unit_exactly_at_its_threshold_is_inactive"),
    "left factors": (properties.tolerances.replay, "_left", _first_missing, "jacobian_factors_match_the_oracle"),
    "residual": (reference.loss, "gradient", _times(2.0), "gradient_matches_the_oracle"),
    "Hessian": (reference.loss, "hessian", _times(2.0), "gauss_newton_step_matches_the_oracle"),
    "Gram": (bounds, "gram_from_jacobian", _times(1.01), "gram_matrix_matches_the_oracle"),
    "solve": (bounds, "gauss_newton_coefficients", _scaled_bound, "gauss_newton_step_matches_the_oracle"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_oracle_is_disputed_and_a_correct_implementation_not_blamed(name, monkeypatch):
    module, attribute, change, item = WRONG[name]
    monkeypatch.setattr(module, attribute, change(getattr(module, attribute)))
    outcome = run_property(PROPERTIES[item], Subject("ours", impl.factory), examples=10, random_seed=0)
    assert outcome.state == "disputed", outcome
    assert "disagree" in outcome.disputed


@pytest.mark.parametrize("item", ["jacobian_factors_match_the_oracle", "gradient_matches_automatic_differentiation"])
def test_a_planted_bug_is_blamed_and_not_disputed(item):
    subject = Subject("flipped sign", load_factory("tests.planted:factory?bug=flipped_sign"))
    outcome = run_property(PROPERTIES[item], subject, examples=10, random_seed=0)
    assert outcome.state == "failed"
    assert not outcome.disputed
