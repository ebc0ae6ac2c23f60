"""The suite finds the planted bugs, by properties that name them, and `python -m tests.planted` says so truthfully."""

import csv
import io
import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from properties import REGISTRY, Case
from reference.contract import ArgumentError, load_factory
from tests.planted import BUGS, registry
from tests.planted.__main__ import main
from tests.planted.matrix import correct_row
from tests.planted.private import SHARED, PrivateCopy, is_copied

ROOT = Path(__file__).resolve().parent.parent.parent

LEAST_BUGS = 40


@pytest.fixture(scope="module")
def quick_run():
    """The whole command, in a process of its own: there no array annotation is checked, which is five times faster."""
    command = [sys.executable, "-m", "tests.planted", "--quick", "--jobs", "2", "--json", "-"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_killed_by_a_property_that_names_it(bug, quick_run):
    row = next(row for row in quick_run[1]["rows"] if row["name"] == bug)
    assert row["good"], f"{bug} ({BUGS[bug].description}) survives {', '.join(row['cells'])}"


def test_the_correct_implementations_are_clean(quick_run):
    rows = {row["name"]: row for row in quick_run[1]["rows"] if row["kind"] == "correct"}
    assert set(rows) == {bug.base for bug in BUGS.values()}
    assert all(row["good"] for row in rows.values()), {name: row["cells"] for name, row in rows.items()}


def test_the_exit_status_is_zero_where_every_bug_is_killed(quick_run):
    status, result = quick_run
    assert status == 0
    assert result["summary"]["killed"] == result["summary"]["bugs"] == len(BUGS) >= LEAST_BUGS
    assert 1 <= result["summary"]["examples"] < 60


def test_bugs_expect_to_be_killed_by_properties_that_there_are():
    names = {item.name for item in REGISTRY}
    assert {killer for bug in BUGS.values() for killer in bug.killers} <= names


def test_a_bug_that_survives_is_named_and_makes_the_exit_status_one(monkeypatch, capsys):
    harmless = registry.Bug(
        "harmless", "updates", "Nothing is wrong.", "reference:factory", "reference.gram", lambda module: None,
        ("outputs_match_the_oracle",),
    )  # fmt: skip
    monkeypatch.setitem(BUGS, "harmless", harmless)
    assert main(["--only", "harmless", "--quick"]) == 1
    printed = capsys.readouterr().out
    assert "SURVIVED harmless (updates): Nothing is wrong." in printed
    assert "0 of 1 bugs killed" in printed


def test_a_bug_that_only_others_find_is_not_killed_by_name(monkeypatch, capsys):
    mistaken = registry.Bug(
        "mistaken", "losses", "The gradient is wrong.", "reference:factory", "reference.loss",
        BUGS["softmax_overflows"].change, ("outputs_match_the_oracle",),
    )  # fmt: skip
    monkeypatch.setitem(BUGS, "mistaken", mistaken)
    assert main(["--only", "mistaken", "--quick"]) == 1
    assert "SURVIVED mistaken" in capsys.readouterr().out


def test_a_correct_implementation_that_fails_or_runs_nothing_is_not_clean():
    wrong = "tests.planted:factory?bug=outputs_before_samples"
    assert not correct_row(wrong, properties=frozenset({"gram_matrix_matches_the_oracle"})).good
    assert correct_row(wrong, properties=frozenset({"outputs_match_the_oracle"})).good
    assert not correct_row(wrong, properties=frozenset()).good


def test_the_table_and_the_csv_have_the_number_of_examples(tmp_path, capsys):
    path = tmp_path / "matrix.csv"
    assert main(["--only", "outputs_before_samples", "--quick", "--csv", str(path)]) == 0
    lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    killed = next(line for line in lines if line["name"] == "outputs_before_samples")
    assert killed["property"] == "gram_matrix_matches_the_oracle"
    assert (killed["state"], killed["expected"]) == ("failed", "1")
    assert f"{killed['examples']}*" in capsys.readouterr().out


def test_an_unknown_bug_is_a_bad_argument(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--only", "no_such_bug"])
    assert stopped.value.code == 2
    assert "bug: expected the name of a planted bug" in capsys.readouterr().err
    with pytest.raises(ArgumentError, match="bug: expected the name of a planted bug"):
        load_factory("tests.planted:factory?bug=no_such_bug")


def test_a_copy_shares_no_function_with_the_correct_implementation():
    copy = PrivateCopy("impl.gram", lambda module: None)
    copy.load("impl.construction")
    assert {"impl.gram", "impl.weights.lazy", "impl.kernels.select"} <= set(copy.modules)
    for name, module in copy.modules.items():
        assert sys.modules[name] is not module
        for value in vars(module).values():
            origin = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", "")
            if isinstance(origin, str) and is_copied(origin) and isinstance(value, type | types.FunctionType):
                assert value is not getattr(sys.modules[origin], value.__name__, None), (name, value)
            if isinstance(value, types.ModuleType) and is_copied(origin):
                assert value is copy.modules[origin]


def test_a_planted_bug_leaves_the_correct_implementation_alone():
    case = Case()
    correct = load_factory("impl:factory")(case.network).gram(case.X)
    wrong = load_factory("tests.planted:factory?bug=right_factors_of_the_layer_itself")(case.network).gram(case.X)
    assert not np.allclose(wrong, correct)
    np.testing.assert_array_equal(load_factory("impl:factory")(case.network).gram(case.X), correct)
    assert not any(is_copied(shared) for shared in SHARED)
