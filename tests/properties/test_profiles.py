"""Profiles: ci repeats itself, nightly does not and remembers, dev tries a part; and what a caller chooses counts."""

from dataclasses import replace

import pytest
from hypothesis import strategies as st

import reference
from properties import Case, Subject, run_property
from properties.__main__ import main
from properties.cases.strategies import NAMED_CASES, cases
from properties.runner.profiles import PROFILES
from properties.runner.registry import Property
from reference.contract import Capabilities

NIGHTLY = replace(PROFILES["nightly"], examples=20)


def tried(profile, *, examples=NAMED_CASES, seed=None):
    """The cases that one run of a property tries."""
    found = []
    item = Property("seen", frozenset(), cases, examples, lambda subject, case: found.append(case))
    outcome = run_property(item, Subject("oracle", reference.factory), None, seed, profile=profile)
    assert outcome.state == "passed"
    return found


def test_ci_tries_the_same_cases_every_time_and_remembers_nothing():
    first = tried(PROFILES["ci"])
    assert first == tried(PROFILES["ci"])
    assert first[: len(NAMED_CASES)] != first[len(NAMED_CASES) :]
    assert len(first) >= PROFILES["ci"].examples
    assert PROFILES["ci"].database is None


def test_another_seed_gives_other_cases():
    assert tried(PROFILES["ci"], examples={}, seed=1) != tried(PROFILES["ci"], examples={}, seed=2)


def test_nightly_draws_a_seed_and_the_seed_repeats_it(tmp_path):
    drawn = [NIGHTLY.with_choices(database=tmp_path) for _ in range(2)]
    assert drawn[0].seed != drawn[1].seed
    assert tried(drawn[0], examples={}) != tried(drawn[1], examples={})
    assert tried(drawn[0], examples={}) == tried(drawn[0], examples={})


def test_dev_tries_a_part_of_the_named_cases():
    named = list(NAMED_CASES.values())
    found = [case for case in tried(PROFILES["dev"]) if case in named]
    assert len(named) // 5 <= len(found) <= len(named) // 2


def test_a_weight_scales_the_random_cases():
    def count(weight):
        item = Property(
            "seen", frozenset(), lambda capabilities: st.builds(Case, seed=st.integers(0, 10**6)), {}, _holds
        )
        return run_property(replace(item, weight=weight), Subject("oracle", reference.factory), 40, 0).examples

    assert count(1.0) == 40
    assert count(0.1) == 4
    assert count(0.001) == 1


def test_a_nightly_failure_is_tried_first_the_next_time(tmp_path):
    """The failing cases are one in a thousand, so that another seed does not find them by itself."""

    def outcome(name, profile):
        return run_property(
            Property(name, frozenset(), one_of, {}, _fails_at_rare_seeds),
            Subject("oracle", reference.factory),
            profile=profile,
        )

    def one_of(capabilities):
        return st.builds(Case, seed=st.integers(0, 10**6))

    finding = replace(NIGHTLY, examples=20_000, seed=0, database=tmp_path)
    first = outcome("rare", finding)
    assert first.state == "failed" and first.examples_to_failure > 20
    again = outcome("rare", replace(finding, examples=5, seed=1))
    assert again.state == "failed" and again.examples_to_failure <= 5
    assert outcome("another property", replace(finding, examples=5, seed=1)).state == "passed"
    assert outcome("rare", replace(finding, examples=5, seed=1, database=None)).state == "passed"


def _fails_at_rare_seeds(subject, case):
    assert case.seed % 997 != 13


def _any_seed(capabilities):
    return st.builds(Case, seed=st.integers(0, 10**6))


def _holds(subject, case):
    pass


@pytest.mark.parametrize("name", PROFILES)
def test_the_length_of_runs_reaches_the_properties(name, monkeypatch, tmp_path, capsys):
    lengths = []
    item = Property("seen", frozenset(), cases, {}, lambda subject, case: lengths.append(subject.run_length))
    monkeypatch.setattr("properties.__main__.REGISTRY", [item])
    arguments = ["--impl", "reference:factory", "--profile", name, "--examples", "1", "--database", str(tmp_path)]
    assert main(arguments) == 0
    assert set(lengths) == {PROFILES[name].run_length}
    assert main([*arguments, "--run-length", "3"]) == 0
    assert lengths[-1] == 3
    seed = "seed" if PROFILES[name].seed is None else f"seed {PROFILES[name].seed},"
    assert f"profile {name}, {seed}" in capsys.readouterr().out


def test_run_lengths_grow_from_dev_to_nightly():
    lengths = [PROFILES[name].run_length for name in ("dev", "ci", "nightly")]
    assert lengths == sorted(set(lengths))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_cases_are_tried_in_the_dtype_that_is_asked_for(dtype, monkeypatch, tmp_path, capsys):
    tried = []
    build = Subject.build

    def seen(self, case, *more):
        tried.append(case.dtype)
        return build(self, case, *more)

    monkeypatch.setattr(Subject, "build", seen)
    command = ["--impl", "reference:factory", "--profile", "dev", "--only", "outputs_match_the_oracle"]
    assert main([*command, "--dtype", dtype, "--json", str(tmp_path / "result.json")]) == 0
    assert set(tried) == {dtype} and len(tried) > 5
    assert f"dtypes {dtype};" in capsys.readouterr().out


def test_a_dtype_that_is_not_declared_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(reference.factory, "capabilities", Capabilities(dtypes=("float64",)))
    with pytest.raises(SystemExit):
        main(["--impl", "reference:factory", "--dtype", "float32"])
    assert "dtype: expected one of float64, got 'float32'" in capsys.readouterr().err
