"""A failure is told whole: the numbers and where they are, as text and as data, and how to see it again."""

import json
import shlex
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from properties import Case, Subject, run_property
from properties.__main__ import main
from properties.cases.strategies import cases
from properties.runner.compare import Mismatch, OraclesDisagree
from properties.runner.profiles import PROFILES
from properties.runner.registry import Property
from properties.runner.report import outcome_lines, write_json
from properties.runner.reproduce import as_code, from_code, property_named, reproduce
from properties.runner.run import Interrupted, run_case
from reference.contract import Capabilities, load_factory
from reference.contract.arguments import ArgumentError

CASE = Case(dtype="float32", widths=(8, 6), samples=3, outputs=3, seed=2)


def subject(name):
    return Subject(f"tests.properties.wrong:{name}", load_factory(f"tests.properties.wrong:{name}"))


def failing(name, property_name, case=CASE):
    return run_case(property_named(property_name), subject(name), case)


def test_a_wrong_number_is_told_with_its_place_the_bound_and_both_errors():
    outcome = failing("off_by_one", "outputs_match_the_oracle")
    difference = outcome.record.difference
    assert difference.index == {"sample": 2, "output": 0}
    assert difference.got == pytest.approx(difference.expected + 1.0)
    assert difference.error == pytest.approx(1.0)
    assert difference.error_over_bound == difference.error / difference.bound > 1e3
    assert (difference.wrong, difference.size) == (1, 9)
    assert outcome.record.samples == (2,)

    text = "\n".join(outcome_lines(outcome))
    for part in (
        "FAILED   outputs_match_the_oracle",
        "tests.properties.wrong:off_by_one",
        "forward: 1 of 9 elements off; worst at sample 2, output 0",
        f"expected {difference.expected:.17g}, got {difference.got:.17g}",
        f"error {difference.error:.3g}, bound {difference.bound:.3g}, "
        f"error over bound {difference.error_over_bound:.3g}",
        f"the implementation's {difference.error:.3g}, that of plain dense float32 {outcome.record.plain_error:.3g}",
        as_code(CASE),
        outcome.record.command,
    ):
        assert part in text


def test_the_plain_error_is_that_of_float32_at_the_same_element():
    record = failing("off_by_one", "outputs_match_the_oracle").record
    network = CASE.network
    h = CASE.X
    for weight in network.weights:
        m = len(weight)
        z = h @ weight.T
        tau = np.float32(0.25 * np.sqrt(2 / m))
        scale = np.float32(_shifted_scale(0.25))
        h = scale * np.where(z > tau, z - tau, np.float32(0))
    value = (h @ network.readout.T)[2, 0]
    assert value.dtype == np.float32
    assert 0 < record.plain_error < 1e-5
    assert record.plain_error == pytest.approx(abs(value - record.difference.expected), abs=2e-7)


def _shifted_scale(b):
    from scipy.stats import norm

    return np.sqrt(0.5 / ((1 + b * b) * norm.sf(b) - b * norm.pdf(b)))


def test_a_wrong_layer_and_unit_are_named():
    record = failing("masks", "active_sets_are_the_units_above_the_threshold").record
    assert record.difference.layer == 2
    assert record.message.startswith("Mismatch: active_sets, layer 2: 18 of 18 units differ")
    assert len(record.units) == 10
    for unit in record.units:
        assert unit.layer == 2
        assert unit.expected != unit.got
        assert (unit.margin > 0) == unit.expected
        assert abs(unit.margin) > unit.band > 0
        assert (
            f"sample {unit.sample}, unit {unit.unit}: expected {'active' if unit.expected else 'inactive'}, "
            f"got {'active' if unit.got else 'inactive'}, margin z − τ = {unit.margin:.6g}, "
            f"rounding band {unit.band:.3g}"
        ) in str(record)


def test_an_element_of_the_gram_matrix_names_its_two_samples():
    record = failing("gram", "gram_matrix_matches_the_oracle").record
    assert record.difference.index == {"row": 8, "column": 0}
    assert record.samples == (2, 0)
    assert "of the samples 2 and 0" in str(record)


def test_an_error_is_told_with_the_frames_of_the_implementation_only():
    record = failing("raising", "outputs_match_the_oracle", replace(CASE, samples=2)).record
    assert record.message == "ZeroDivisionError: no half of 2"
    assert "in halves" in record.traceback and "in forward" in record.traceback
    assert "evaluation.py" not in record.traceback
    assert record.difference is None and record.plain_error is None
    assert "in halves" in str(record)


def test_a_failure_that_does_not_repeat_says_so():
    load_factory("tests.properties.wrong:fickle").__closure__[0].cell_contents.calls = 0
    item = property_named("outputs_match_the_oracle")
    outcome = run_property(item, subject("fickle"), examples=1)
    assert outcome.state == "failed"
    assert outcome.examples_to_failure == 3
    assert not outcome.record.repeats
    assert "the implementation is not deterministic" in str(outcome.record)


def test_the_command_and_the_script_reproduce_the_failure(capsys):
    record = failing("off_by_one", "outputs_match_the_oracle").record
    words = shlex.split(record.command)
    assert words[:3] == ["python", "-m", "properties"]
    assert main(words[3:]) == 1
    assert record.message in capsys.readouterr().out
    assert main([word.replace("off_by_one", "correct") for word in words[3:]]) == 0
    ran = subprocess.run([sys.executable, "-c", record.script], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert record.message.removeprefix("Mismatch: ") in ran.stderr


def test_reproduce_lets_the_failure_through():
    with pytest.raises(Mismatch, match="worst at sample 2, output 0"):
        reproduce("tests.properties.wrong:off_by_one", "outputs_match_the_oracle", CASE)
    reproduce("tests.properties.wrong:correct", "outputs_match_the_oracle", CASE)


@given(cases(Capabilities(readout_bias=True, trained_layers=True)))
def test_a_case_as_code_is_the_case(case):
    assert from_code(as_code(case)) == case
    assert from_code(repr(case)) == case


@pytest.mark.parametrize(
    "text",
    ["", "Case(", "3", "Case(width=3)", "Case(seed=__import__('os').getpid())", "open('x')", "Case(**{'seed': 1})"],
)
def test_other_code_is_refused(text):
    with pytest.raises(ArgumentError, match="--reproduce: expected code as in Case"):
        from_code(text)


def test_the_json_has_the_numbers_of_the_text(tmp_path, capsys):
    file = tmp_path / "result.json"
    arguments = ["--impl", "tests.properties.wrong:off_by_one", "--profile", "dev", "--json", str(file)]
    assert main(arguments) == 1
    text = capsys.readouterr().out
    data = json.loads(file.read_text(encoding="utf-8"))
    assert data["schema"] == 1
    assert data["header"]["implementation"] == "tests.properties.wrong:off_by_one"
    assert data["header"]["profile"] == "dev" and data["header"]["seed"] == 0
    assert set(data["header"]["versions"]) == {"suite", "python", "numpy", "torch", "hypothesis"}
    counts = data["counts"]
    assert text.splitlines()[-1] == (
        f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped"
    )
    assert f"ambiguous units {counts['ambiguous_units']} of {counts['units']}" in text
    failed = next(item for item in data["outcomes"] if item["property"] == "outputs_match_the_oracle")
    assert failed["state"] == "failed" and failed["examples_to_failure"] >= 1
    assert failed["failure"]["message"] in text
    assert f"got {failed['failure']['difference']['got']:.17g}" in text
    assert failed["failure"]["fields"]["widths"]
    skipped = next(item for item in data["outcomes"] if item["state"] == "skipped")
    assert skipped["skipped"] and skipped["failure"] is None
    assert list(tmp_path.iterdir()) == [file]


def test_json_to_standard_output_is_nothing_but_json(capsys):
    main(["--impl", "tests.properties.wrong:lists", "--only", "outputs_match_the_oracle", "--json", "-"])
    printed = capsys.readouterr()
    assert json.loads(printed.out)["outcomes"][0]["failure"]["message"].startswith(
        "Mismatch: forward: expected a NumPy"
    )
    assert "FAILED" in printed.err


def test_numbers_that_json_has_not_are_words(tmp_path):
    write_json(str(tmp_path / "x.json"), {"a": [float("nan"), float("inf"), -float("inf"), 1.5]})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": ["NaN", "Infinity", "-Infinity", 1.5]}


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    file = tmp_path / "x.json"
    file.write_text("old")
    with pytest.raises(TypeError):
        write_json(str(file), {"a": object()})
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


def test_ctrl_c_ends_with_what_was_done(tmp_path, capsys):
    file = tmp_path / "result.json"
    chosen = ["outputs_match_the_oracle", "gram_matrix_matches_the_oracle"]
    only = [word for name in chosen for word in ("--only", name)]
    assert main(["--impl", "tests.properties.wrong:interrupting", "--examples", "2", *only, "--json", str(file)]) == 130
    assert "interrupted: 1 of 2 properties were run" in capsys.readouterr().out
    data = json.loads(file.read_text())
    assert data["interrupted"] is True
    assert [(item["property"], item["state"]) for item in data["outcomes"]] == [(chosen[0], "passed")]


def test_ctrl_c_while_shrinking_keeps_the_failure():
    def check(subject, case):
        if len(tried) > 1:
            raise KeyboardInterrupt
        tried.append(case)
        assert case.samples < 1

    tried = []
    with pytest.raises(Interrupted) as stopped:
        run_property(_property(check), subject("correct"))
    assert stopped.value.outcome.record.case == as_code(tried[-1])


def test_shrinking_stops_when_its_time_is_up():
    def check(subject, case):
        assert case.samples < 4

    profile = replace(PROFILES["ci"], shrink_seconds=0.0)
    at_once = run_property(_property(check), subject("correct"), profile=profile)
    shrunk = run_property(_property(check), subject("correct"))
    assert at_once.state == shrunk.state == "failed"
    assert at_once.examples_to_failure == shrunk.examples_to_failure
    assert at_once.examples == at_once.examples_to_failure
    assert from_code(shrunk.case).samples == 4
    assert from_code(shrunk.case).widths == (1,)


def test_fail_fast_stops_at_the_first_failure(capsys):
    assert main(["--impl", "tests.properties.wrong:lists", "--profile", "dev", "--fail-fast"]) == 1
    out = capsys.readouterr().out
    assert out.count("FAILED") == 1
    assert " 1 failed" in out.splitlines()[-1]


def test_disagreeing_oracles_blame_nobody(monkeypatch, capsys):
    monkeypatch.setattr("properties.runner.run.arbitrate", lambda case: "one says 1, the other 2")
    arguments = ["--impl", "tests.properties.wrong:off_by_one", "--only", "outputs_match_the_oracle"]
    only_masks = ["--only", "active_sets_are_the_units_above_the_threshold", "--profile", "dev"]
    assert main([*arguments, *only_masks]) == 3
    out = capsys.readouterr().out
    assert "disputed outputs_match_the_oracle" in out
    assert "no implementation is blamed: one says 1, the other 2" in out
    assert "1 disputed" in out
    assert out.splitlines()[-1] == "1 passed, 0 failed, 0 skipped"


def test_a_check_may_find_that_the_oracles_disagree():
    def check(subject, case):
        raise OraclesDisagree("the closed form is 3")

    outcome = run_property(_property(check), subject("correct"))
    assert outcome.state == "disputed" and outcome.disputed == "the closed form is 3"
    assert not outcome.failure


def test_a_case_that_an_oracle_cannot_take_blames_nobody(monkeypatch):
    def overflow(case):
        raise OverflowError("too large")

    monkeypatch.setattr("properties.runner.run.arbitrate", overflow)
    assert failing("off_by_one", "outputs_match_the_oracle").disputed == "an oracle raised OverflowError: too large"


@pytest.mark.parametrize(
    ("name", "property_name", "message"),
    [
        ("lists", "outputs_match_the_oracle", "forward: expected a NumPy array, got list [[0.0"),
        ("lists", "gram_matrix_matches_the_oracle", "gram: expected a NumPy array, got dict {'gram': "),
        (
            "lists",
            "jacobian_factors_match_the_oracle",
            "factors, layer 1: expected a pair of arrays, got int 1",
        ),
        ("lists", "gradient_matches_the_oracle", "gradient: expected a sequence, one entry a layer, got None"),
        ("lists", "report_describes_the_step", "step: expected a StepReport, got None"),
        ("lists", "evaluating_changes_nothing", "expected a"),
        ("nothing_built", "outputs_match_the_oracle", "factory: expected an implementation, got None"),
        ("method_missing", "outputs_match_the_oracle", "expected a method, as the operation is declared, got None"),
        ("refusing", "outputs_match_the_oracle", "factory: expected an implementation, got RuntimeError: no such acc"),
    ],
)
def test_what_is_not_of_the_contract_fails_by_the_name_of_the_operation(name, property_name, message):
    outcome = run_property(property_named(property_name), subject(name), profile=PROFILES["dev"])
    assert outcome.state == "failed"
    assert message in outcome.failure


def _property(check):
    return Property("claimed", frozenset(), cases, {}, check)
