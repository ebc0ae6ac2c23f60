"""The suite itself: whom it passes, what it skips, what its exit status means."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import reference
from properties import REGISTRY, Case, Subject, run_suite
from properties.__main__ import main
from properties.runner.profiles import PROFILES
from properties.suite import run_property
from reference.contract import Capabilities, load_factory

ROOT = Path(__file__).resolve().parent.parent.parent

#: Beside those that `make test` puts through the ci profile.
IMPLEMENTATIONS = ("impl:factory?kernels=torch", "benchmarks.rivals.dense:factory")


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def result(request):
    """A whole run as JSON, in a process of its own, where no array annotation is checked: that is five times faster."""
    options = ["--examples", "15", "--seed", "1", "--threads", "1", "--json", "-"]
    command = [sys.executable, "-m", "properties", "--impl", request.param, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_correct_implementation_passes(result):
    outcomes = {outcome["property"]: outcome for outcome in result["outcomes"]}
    assert list(outcomes) == [item.name for item in REGISTRY]
    for item in REGISTRY:
        outcome = outcomes[item.name]
        assert outcome["state"] in ("passed", "skipped")
        assert outcome["skipped"] or outcome["examples"] > 0


def test_few_units_are_ambiguous_and_few_steps_open(result):
    counts = result["counts"]
    assert counts["ambiguous_units"] < 0.03 * counts["units"]
    assert counts["open_steps"] < 0.1 * counts["steps"]


def test_it_passes_where_array_annotations_are_checked():
    outcomes = run_suite(Subject("oracle", reference.factory), profile=PROFILES["dev"])
    assert {outcome.state for outcome in outcomes} == {"passed", "skipped"}


def test_what_is_declared_impossible_is_skipped_and_counted(capsys):
    class Limited:
        capabilities = Capabilities(operations=("forward", "active_sets"), dtypes=("float64",), outputs=False)

        def __call__(self, network, **options):
            return reference.factory(network, **options)

    outcomes = {outcome.name: outcome for outcome in run_suite(Subject("limited", Limited()), examples=5)}
    for item in REGISTRY:
        missing = item.needs - set(Limited.capabilities.operations)
        assert outcomes[item.name].skipped or not missing
        if missing:
            assert outcomes[item.name].skipped == f"the implementation declares no {', '.join(sorted(missing))}"
    ran = {name for name, outcome in outcomes.items() if outcome.state == "passed"}
    assert {"active_sets_are_the_units_above_the_threshold", "outputs_match_the_oracle"} <= ran


def test_exit_status_is_zero_for_a_correct_implementation(capsys):
    names = [item.name for item in REGISTRY][:3]
    assert (
        main(["--impl", "reference:factory", "--examples", "3", *(word for name in names for word in ("--only", name))])
        == 0
    )
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 0 failed, 0 skipped"


def test_exit_status_is_one_where_nothing_ran(capsys):
    assert main(["--impl", "tests.properties.nothing:factory"]) == 1
    assert f"0 passed, 0 failed, {len(REGISTRY)} skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--impl", "no.such:factory"], "impl: expected a module that can be imported"),
        (["--impl", "reference"], "impl: expected package.module:factory"),
        (["--impl", "reference:nothing"], "impl: expected a callable 'nothing' in reference"),
        (["--examples", "0"], "expected a whole number of at least 1, got 0"),
        (["--only", "everything"], "--only: expected the name of a property, such as "),
    ],
)
def test_bad_arguments_exit_with_two_and_one_message(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_what_an_implementation_writes_into_a_case_is_not_held_against_the_next():
    item = next(item for item in REGISTRY if item.name == "arrays_of_the_caller_are_neither_written_nor_kept")
    before = {
        name: [array.copy() for array in (case.X, case.y, *case.network.weights)]
        for name, case in item.examples.items()
    }
    writing = load_factory("tests.planted:factory?bug=targets_overwritten")
    assert run_property(item, Subject("writing", writing), examples=1).state == "failed"
    for name, case in item.examples.items():
        for now, then in zip([case.X, case.y, *case.network.weights], before[name], strict=True):
            np.testing.assert_array_equal(now, then)
    assert run_property(item, Subject("oracle", reference.factory), examples=1).state == "passed"


def test_the_reported_case_is_code_that_fails_again():
    factory = load_factory("tests.planted:factory?bug=flipped_sign")
    item = next(item for item in REGISTRY if item.name == "jacobian_factors_match_the_oracle")
    outcome = run_property(item, Subject("flipped", factory), examples=5, random_seed=0)
    case = eval(outcome.case, {"Case": Case})
    with pytest.raises(AssertionError, match="left factor, layer"):
        item.check(Subject("flipped", factory), case)
