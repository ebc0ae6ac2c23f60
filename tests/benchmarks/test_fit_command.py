"""`python -m benchmarks fit`: exponents of anybody's costs."""

import csv
import json

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.analysis import time_exponent_document
from benchmarks.commands import terminal
from benchmarks.scaling import crossover, ratios, time_exponent
from benchmarks.scaling.synthetic import WIDTHS, Disturbances, synthetic_rounds
from tests.benchmarks import contestants as fakes

ROUNDS = 6


def drawn(exponent, seed=0):
    generator = np.random.default_rng(seed)
    return 1e-3 * synthetic_rounds(exponent, Disturbances(drift=0.03), trials=1, rounds=ROUNDS, generator=generator)[0]


def table(samples):
    """Lines of a file: the header and a line for every sample, round by round."""
    lines = ["m,round,seconds"]
    for number, of_round in enumerate(samples):
        lines += [f"{m:g},{number},{float(seconds)!r}" for m, seconds in zip(WIDTHS, of_round, strict=True)]
    return lines


def grouped(**samples):
    lines = ["implementation,m,phase,round,seconds"]
    for name, of_name in samples.items():
        for number, of_round in enumerate(of_name):
            for m, seconds in zip(WIDTHS, of_round, strict=True):
                lines.append(f"{name},{m:g},forward,{number},{float(seconds)!r}")
    return lines


@pytest.fixture
def fitted(tmp_path, capsys):
    """Fits a file of such lines; returns what is printed and what is written."""

    def run(lines, *options):
        (tmp_path / "data.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        written = tmp_path / "fit.json"
        assert main(["fit", str(tmp_path / "data.csv"), *options, "--json", str(written)]) == 0
        printed = capsys.readouterr()
        assert printed.err == "" and "\x1b" not in printed.out
        return printed.out, json.loads(written.read_text(), parse_constant=pytest.fail)

    return run


@pytest.fixture
def refused(tmp_path, capsys):
    """Has a file of such lines refused; returns the message."""

    def run(lines, *options):
        (tmp_path / "data.csv").write_bytes(("\n".join(lines) + "\n").encode() if isinstance(lines, list) else lines)
        with pytest.raises(SystemExit) as stopped:
            main(["fit", str(tmp_path / "data.csv"), *options])
        assert stopped.value.code == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        return printed.err.strip().splitlines()[-1]

    return run


def words(text):
    return " ".join(text.replace("│", " ").split())


def test_it_prints_what_the_functions_say(fitted):
    samples = drawn(1.5)
    printed, document = fitted(table(samples))
    fit = time_exponent(WIDTHS, samples)
    (group,) = document["groups"]
    assert group["time"] == time_exponent_document(fit)
    assert (group["name"], group["rounds"], group["dropped_rounds"]) == ([], ROUNDS, [])
    assert group["widths"] == WIDTHS.tolist() and group["against_baseline"] is None
    row = words(next(line for line in printed.splitlines() if line.startswith(f"│      {ROUNDS} ")))
    assert row == (
        f"{ROUNDS} {fit.value:.2f} [{fit.interval.low:.2f}, {fit.interval.high:.2f}] "
        f"{fit.floored:.2f} [{fit.floored_interval.low:.2f}, {fit.floored_interval.high:.2f}] "
        f"{fit.held_out.plain_error:+.0%} {fit.held_out.floored_error:+.0%}"
    )
    for m, slope, (low, high) in zip(WIDTHS[1:], fit.local, fit.local_intervals, strict=True):
        assert f" {m:g} {slope:.2f} [{low:.2f}, {high:.2f}] " in words(printed)
    assert "no single exponent" not in printed and "crossover" not in printed and "left out" not in printed


def test_it_recognizes_what_a_sweep_writes(tmp_path, capsys, monkeypatch):
    """And says of it, to the last bit, what the sweep said."""
    monkeypatch.setattr(terminal, "probe", lambda: None)
    monkeypatch.setattr("benchmarks.results.report_files", lambda *_: {})
    sweep = ["measure", "--data", "synthetic", "--dimension", "5", "--samples", "4", "--depth", "2", "--allow-dirty"]
    sweep += ["--rounds", "5", "--iterations", "2", "--precision", "0", "--widths", "8,10,12,16,20,24"]
    with fakes.undisturbed():
        main([*sweep, "--impl", "blas=benchmarks.rivals.dense:blas_factory", "--out", str(tmp_path)])
    measured = json.loads((tmp_path / "scaling.json").read_text())
    written = tmp_path / "fit.json"
    assert main(["fit", str(tmp_path / "scaling.csv"), "--baseline", "dense", "--json", str(written)]) == 0
    document = json.loads(written.read_text())
    assert document["columns"] == {
        "width": "m",
        "cost": "seconds",
        "round": "round",
        "group": ["implementation", "phase"],
    }
    assert len(document["groups"]) == 2 * 7
    for group in document["groups"]:
        name, phase = group["name"]
        assert group["time"] == measured["implementations"][name]["exponents"][phase]["time"]
        if (name, phase) == ("blas", "iteration"):
            assert group["against_baseline"]["ratios"] == list(measured["speedup"].values())
            assert group["against_baseline"]["crossover"] == measured["crossover"]["blas"]
    capsys.readouterr()


def test_without_rounds_the_rows_of_a_width_are_counted(fitted):
    samples = drawn(1.5)
    with_rounds = fitted(table(samples))[1]["groups"]
    lines = ["m,seconds"] + [
        f"{m:g},{float(seconds)!r}" for m, column in zip(WIDTHS, samples.T, strict=True) for seconds in column
    ]
    without = fitted(lines)[1]
    assert without["columns"]["round"] is None
    assert without["groups"] == with_rounds
    interleaved = ["m,seconds"] + [
        f"{m:g},{float(seconds)!r}" for row in samples for m, seconds in zip(WIDTHS, row, strict=True)
    ]
    assert fitted(interleaved)[1]["groups"] == with_rounds


def test_columns_may_have_other_names_and_others_stand_beside_them(fitted):
    samples = drawn(1.5)
    expected = fitted(table(samples))[1]["groups"]
    lines = ["note,bytes,day,kind,hidden units"]
    for number, row in enumerate(samples):
        lines += [f"x,{float(cost)!r},d{number},a,{m:g}" for m, cost in zip(WIDTHS, row, strict=True)]
    options = ["--width", "hidden units", "--cost", "bytes", "--round", "day", "--group", "kind,note"]
    printed, document = fitted(lines, *options)
    assert document["groups"] == [{**expected[0], "name": ["a", "x"]}]
    assert "bytes ~ hidden units^p" in printed


def test_groups_are_fitted_apart_and_held_against_the_baseline(fitted):
    one, other = drawn(1.5, seed=1), drawn(2.0, seed=2)
    one *= (other[:, 4] / one[:, 4])[:, None]  # they meet at 2048
    printed, document = fitted(grouped(one=one, other=other), "--baseline", "other")
    first, second = document["groups"]
    assert first["time"] == time_exponent_document(time_exponent(WIDTHS, one))
    assert second["time"] == time_exponent_document(time_exponent(WIDTHS, other))
    assert second["against_baseline"] is None
    against = first["against_baseline"]
    assert [(found["value"], found["low"], found["high"]) for found in against["ratios"]] == [
        (ratio.value, *ratio.interval) for ratio in ratios(other, one)
    ]
    crossing = crossover(WIDTHS, other, one)
    assert against["crossover"] == {
        "m": crossing.m,
        "where": "in range",
        **dict(zip(("low", "high"), crossing.interval, strict=True)),
    }
    assert (
        f"crossover, from where on one, forward costs less than other: m = {crossing.m:.0f} "
        f"[{crossing.interval.low:.0f}, {crossing.interval.high:.0f}]"
    ) in words(printed)
    for ratio in ratios(other, one):
        assert f"{ratio.value:.2f}× [{ratio.interval.low:.2f}, {ratio.interval.high:.2f}]" in words(printed)


@pytest.mark.parametrize(
    ("factor", "said", "low", "high"),
    [
        (0.01, "below the widths measured [below, below]", 0.0, 0.0),
        (100.0, "none in range [above, above]", None, None),
    ],
)
def test_a_crossover_beyond_the_widths_is_an_answer(factor, said, low, high, fitted):
    samples = drawn(1.5)
    printed, document = fitted(grouped(one=factor * samples, other=samples * 1.1), "--baseline", "other")
    found = document["groups"][0]["against_baseline"]["crossover"]
    assert (found["m"], found["low"], found["high"]) == (None, low, high)
    assert said in words(printed)


def test_a_change_of_regime_is_told(fitted):
    samples = drawn(1.5) * np.where(WIDTHS > 1024, 2.0, 1.0)
    printed, document = fitted(grouped(one=samples))
    text = str(time_exponent(WIDTHS, samples).regime)
    assert document["groups"][0]["time"]["regime"]["text"] == text
    assert f"no single exponent tells the cost of one, forward: {text}" in words(printed)


def test_rounds_that_lack_a_width_are_dropped_with_a_remark(fitted):
    samples = drawn(1.5)
    lines = grouped(one=samples, other=2.0 * samples)
    missing = {"one,512,forward,1,", "one,8192,forward,4,", "other,724,forward,0,"}
    lines = [line for line in lines if not any(line.startswith(prefix) for prefix in missing)]
    printed, document = fitted(lines, "--baseline", "other")
    one, other = document["groups"]
    assert one["dropped_rounds"] == ["1", "4"] and one["rounds"] == ROUNDS - 2
    assert other["dropped_rounds"] == ["0"]
    assert one["time"] == time_exponent_document(time_exponent(WIDTHS, samples[[0, 2, 3, 5]]))
    assert one["against_baseline"]["rounds"] == ROUNDS - 3
    assert sorted(one["against_baseline"]["rounds_not_shared"]) == ["0", "1", "4"]
    text = words(printed)
    assert "left out of one, forward, for lack of some width: rounds 1, 4" in text
    assert "left out of other, forward, for lack of some width: rounds 0" in text
    assert "left out of the ratios of one, forward, for lack of a counterpart: rounds 0, 1, 4" in text


def test_widths_that_only_one_has_have_no_ratio(fitted):
    samples = drawn(1.5)
    lines = [line for line in grouped(one=samples, other=samples) if not line.startswith("other,8192")]
    printed, document = fitted(lines, "--baseline", "other")
    assert document["groups"][0]["against_baseline"]["widths"] == WIDTHS[:-1].tolist()
    assert "without a ratio in one, forward: widths 8192" in words(printed)


def test_one_round_has_no_intervals(fitted):
    printed, document = fitted(grouped(one=drawn(1.5)[:1], other=drawn(2.0)[:1]), "--baseline", "other")
    time = document["groups"][0]["time"]
    assert time["low"] is time["high"] is time["regime"] is None and time["value"] > 0.0
    assert "[" not in printed


def test_three_widths_have_a_plain_exponent_only(fitted):
    lines = [line for line in table(drawn(1.5)) if line.split(",")[0] in ("m", "512", "724", "1024")]
    printed, document = fitted(lines)
    assert document["groups"][0]["time"]["floored"]["value"] is None
    assert document["groups"][0]["time"]["held_out"] is None
    assert "–" in printed


def test_names_are_printed_as_they_are(fitted):
    samples = drawn(1.5)
    lines = [line.replace("one", "[/bold]") for line in grouped(one=samples)]
    printed, _ = fitted(lines)
    assert "[/bold]" in printed


def test_no_groups_may_be_asked_for(fitted):
    assert fitted(grouped(one=drawn(1.5)), "--group", "")[1]["groups"][0]["name"] == []


def test_a_mark_at_the_beginning_blanks_and_empty_lines_do_no_harm(fitted):
    samples = drawn(1.5)
    expected = fitted(table(samples))[1]
    lines = table(samples)
    spaced = ["\ufeff" + lines[0].replace(",", ", "), "", *(line.replace(",", " , ") for line in lines[1:]), ""]
    assert fitted(spaced)[1] == expected


GOOD = table(drawn(1.5))


@pytest.mark.parametrize(
    ("lines", "options", "said"),
    [
        (GOOD, ["--width", "width"], "data: expected one column 'width', got m, round, seconds in"),
        (GOOD, ["--cost", "bytes"], "one column 'bytes'"),
        (GOOD, ["--round", "day"], "one column 'day'"),
        (GOOD, ["--group", "phase"], "one column 'phase'"),
        (["m,m,seconds", "1,1,1"], [], "one column 'm', got m, m, seconds"),
        ([*GOOD[:3], "1024,0,fast", *GOOD[4:]], [], "in column 'seconds', got 'fast' in line 4"),
        ([*GOOD[:3], "1024,0,", *GOOD[4:]], [], "got '' in line 4"),
        ([*GOOD[:3], "1024,0,0.0", *GOOD[4:]], [], "positive finite numbers in column 'seconds', got '0.0' in line 4"),
        ([*GOOD[:3], "1024,0,-1", *GOOD[4:]], [], "got '-1' in line 4"),
        ([*GOOD[:3], "1024,0,inf", *GOOD[4:]], [], "got 'inf' in line 4"),
        ([*GOOD[:3], "1024,0,nan", *GOOD[4:]], [], "got 'nan' in line 4"),
        ([*GOOD[:3], "wide,0,1", *GOOD[4:]], [], "in column 'm', got 'wide' in line 4"),
        ([*GOOD[:3], "", "-8,0,1", *GOOD[4:]], [], "got '-8' in line 5"),
        ([*GOOD[:3], "1024,0", *GOOD[4:]], [], "3 fields in every line, got 2 in line 4"),
        ([*GOOD, GOOD[2]], [], f"got another of all rows, round 0, width 724 in line {len(GOOD) + 1}"),
        (["m,seconds", "8,1", "16,2"], [], "at least 3 widths for every group, got 2 in all rows"),
        ([*grouped(one=drawn(1.5)), "other,8,forward,0,1"], [], "got 1 in other, forward"),
        (["m,round,seconds", "8,0,1", "16,0,1", "32,1,1"], [], "a round with every width"),
        (["m,seconds"], [], "rows of samples"),
        (b"", [], "a header"),
        (b"m,seconds\n\xff\xfe\n", [], "a CSV file that can be read"),
        (GOOD, ["--baseline", "one"], "--baseline: expected a grouping column"),
        (
            grouped(one=drawn(1.5)),
            ["--baseline", "dense"],
            "--baseline: expected one of one, from column 'implementation'",
        ),
        (
            [*grouped(one=drawn(1.5)), *(f"other,{m},forward,9,1" for m in (512, 724, 1024))],
            ["--baseline", "other"],
            "0 rounds and 3 widths shared by other, forward and one, forward",
        ),
        (GOOD, ["--json", "/dev/null/fit.json"], "--json: expected a file that can be written"),
        (GOOD, ["--no-such-option"], "--no-such-option"),
    ],
    ids=str,
)
def test_bad_files_and_options_are_named_in_one_line(lines, options, said, refused):
    message = refused(lines, *options)
    assert "error:" in message and said in message


def test_a_missing_file_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["fit", str(tmp_path / "missing.csv")])
    assert stopped.value.code == 2
    assert "data: expected a CSV file that can be read" in capsys.readouterr().err


def test_a_bad_file_leaves_the_old_outcome(tmp_path, refused):
    written = tmp_path / "fit.json"
    written.write_text("old")
    refused(GOOD[:2], "--json", str(written))
    assert written.read_text() == "old"


def test_the_file_is_only_read(tmp_path, fitted):
    fitted(GOOD)
    with (tmp_path / "data.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [line.split(",") for line in GOOD]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.csv", "fit.json"]
