"""The suite itself: whom it passes, what it skips, what its exit status means."""

import functools

import pytest

import impl
import reference
from properties import REGISTRY, Case, Subject, run_suite
from properties.__main__ import main
from properties.suite import run_property
from reference.contract import Capabilities, load_factory

IMPLEMENTATIONS = {
    "oracle": reference.factory,
    "sparse, compiled kernels": functools.partial(impl.factory, kernels="compiled"),
    "sparse, torch kernels": functools.partial(impl.factory, kernels="torch"),
    "dense rival": load_factory("benchmarks.rivals.dense:factory"),
}


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("item", REGISTRY, ids=lambda item: item.name)
def test_a_correct_implementation_passes(name, item):
    outcome = run_property(item, Subject(name, IMPLEMENTATIONS[name]), examples=60, random_seed=1)
    assert not outcome.failure, f"{outcome.failure}\n{outcome.case}"
    assert outcome.examples > 10


def test_few_units_are_ambiguous_and_few_steps_open():
    subject = Subject("oracle", reference.factory)
    run_suite(subject, examples=100)
    assert subject.ambiguous_units < 0.03 * subject.units
    assert subject.unresolved_steps < 0.1 * subject.steps


def test_what_is_declared_impossible_is_skipped_and_counted(capsys):
    class Limited:
        capabilities = Capabilities(operations=("forward", "active_sets"), dtypes=("float64",), outputs=False)

        def __call__(self, network, **options):
            return reference.factory(network, **options)

    outcomes = run_suite(Subject("limited", Limited()), examples=5)
    ran = {outcome.name for outcome in outcomes if not outcome.skipped}
    assert ran == {"active_sets_are_the_units_above_the_threshold", "outputs_match_the_oracle"}
    assert all("declares no" in outcome.skipped for outcome in outcomes if outcome.name not in ran)


def test_exit_status_is_zero_for_a_correct_implementation(capsys):
    assert main(["--impl", "reference:factory", "--examples", "3"]) == 0
    assert "13 passed, 0 failed, 0 skipped" in capsys.readouterr().out


def test_exit_status_is_one_where_nothing_ran(capsys):
    assert main(["--impl", "tests.properties.nothing:factory"]) == 1
    assert "0 passed, 0 failed, 13 skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--impl", "no.such:factory"], "impl: expected a module that can be imported"),
        (["--impl", "reference"], "impl: expected package.module:factory"),
        (["--impl", "reference:nothing"], "impl: expected a callable 'nothing' in reference"),
        (["--examples", "0"], "expected a whole number of at least 1, got 0"),
        (["--only", "everything"], "--only: expected one of active_sets_are"),
    ],
)
def test_bad_arguments_exit_with_two_and_one_message(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_the_reported_case_is_code_that_fails_again():
    factory = load_factory("tests.planted.flipped_sign:factory")
    item = next(item for item in REGISTRY if item.name == "jacobian_factors_match_the_oracle")
    outcome = run_property(item, Subject("flipped", factory), examples=5, random_seed=0)
    case = eval(outcome.case, {"Case": Case})
    with pytest.raises(AssertionError, match="left factor, layer"):
        item.check(Subject("flipped", factory), case)
