"""Cases for implementations that store weights in bfloat16: what they are given is what they hold."""

import sys
import types
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings

import reference
from properties import REGISTRY, Subject
from properties.cases.case import Case
from properties.cases.storage import stored
from properties.cases.strategies import NAMED_EVALUATION_CASES, within
from properties.claims.storage import _near
from properties.runner.subject import subject_named
from properties.tolerances.replay import replay
from properties.tolerances.rounding import Arithmetic, storing_error
from reference.contract import LOSSES, ArgumentError, Capabilities

NARROW = Capabilities(
    dtypes=("float32",), storage="bfloat16", losses=LOSSES, readout_bias=True, trained_layers=True, subquadratic=True
)


def assert_held(case):
    assert (case.dtype, case.storage) == ("float32", "bfloat16")
    for weight in case.network.weights:
        np.testing.assert_array_equal(stored(weight, "bfloat16"), weight)


#: Statistical properties draw no cases.
STRATEGIES = {item.strategy for item in REGISTRY if item.seeded is None}


@pytest.mark.parametrize("strategy", sorted(STRATEGIES, key=lambda one: (one.__module__, one.__qualname__)))
def test_all_that_is_drawn_is_within_the_storage(strategy):
    @settings(max_examples=10, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @seed(0)
    @given(strategy(NARROW))
    def check(case):
        assert_held(case)

    check()


def test_named_cases_are_moved_into_the_storage():
    for item in REGISTRY:
        for named in item.examples.values():
            case = within(named, NARROW)
            if case is not None:
                assert_held(case)


def test_units_are_still_planted_at_the_threshold():
    named = NAMED_EVALUATION_CASES["units at the threshold, float32"]
    case = within(named, NARROW)
    for planted in (named, case):
        oracle = replay(planted.network, planted.X.astype(float), Arithmetic("float32"))
        assert [int(unclear[0].sum()) for unclear in oracle.ambiguous] == [3, 3]
    assert any((a != b).any() for a, b in zip(named.network.weights, case.network.weights, strict=True))


def test_weights_that_are_given_decide_otherwise_than_those_that_are_held():
    """Else the property of it could not tell the two apart."""
    case = Case(lattice=True, b=0.0, widths=(12, 12), samples=5, input_dimension=2, dtype="float32", storage="bfloat16")
    network = _near(case.network, np.random.default_rng(0))
    for given_, held in zip(network.weights, case.network.weights, strict=True):
        np.testing.assert_array_equal(stored(given_, "bfloat16"), held)
        assert (given_ != held).mean() > 0.4
    masks = [reference.factory(each).active_sets(case.X) for each in (network, case.network)]
    assert any((a != b).any() for a, b in zip(*masks, strict=True))


def test_the_error_of_storing_bounds_it_and_is_reached():
    generator = np.random.default_rng(1)
    size = 2.0 ** generator.integers(-140, 120, 4000)
    weight = np.append(generator.standard_normal(4000) * size, [1.0 + 2.0**-8, 2.0**-134])
    off = np.abs(stored(weight.astype(np.float32), "bfloat16").astype(np.float64) - weight)
    bound = storing_error(weight, "float32", "bfloat16")
    assert (off <= bound).all()
    assert (off / bound).max() > 0.9
    assert (storing_error(weight, "float32", None) < bound).all()


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (replace(NARROW, storage="int4"), "capabilities.storage: expected None or one of bfloat16, got 'int4'"),
        (Capabilities(storage="bfloat16"), "capabilities.dtypes: expected float32 alone, to which bfloat16 is widened"),
    ],
)
def test_what_is_no_storage_is_refused(declared, message, monkeypatch):
    module = types.ModuleType("declares_a_storage")
    module.factory = type("Factory", (), {"capabilities": declared, "__call__": lambda self: None})()
    monkeypatch.setitem(sys.modules, "declares_a_storage", module)
    with pytest.raises(ArgumentError, match=f"^{message}"):
        subject_named("declares_a_storage:factory")


def test_without_a_storage_its_properties_are_skipped_with_a_reason():
    subject = Subject("reference", reference.factory)
    reasons = {item.name: item.skipped(subject) for item in REGISTRY if "stor" in item.name}
    assert len(reasons) == 3
    assert set(reasons.values()) == {"the implementation stores weights in the dtype that it computes in"}
