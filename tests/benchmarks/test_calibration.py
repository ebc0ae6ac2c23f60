"""The calibration of the estimators, which must be able to fail, and the synthetic rounds that it is made of."""

import dataclasses
import math

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.commands import calibrate as command
from benchmarks.scaling import calibration, crossover
from benchmarks.scaling.calibration import SETTINGS, Figure, Row, calibrate
from benchmarks.scaling.crossover import Crossover
from benchmarks.scaling.exponent import plain_exponent
from benchmarks.scaling.interval import Interval
from benchmarks.scaling.ratio import Ratio
from benchmarks.scaling.synthetic import WIDTHS, Disturbances, synthetic_rounds

FIGURES = ("plain", "floored", "ratio", "crossover", "regime")


@pytest.fixture
def few_settings(monkeypatch):
    """One setting where everything is put to the test, and one with a change of regime."""
    for name in [name for name in SETTINGS if name not in ("5 % noise", "cache break")]:
        monkeypatch.delitem(SETTINGS, name)
    for module in (calibration, command):
        monkeypatch.setattr(module, "EXPONENTS", (1.5,))


def rows(trials=400, rounds=9, seed=1):
    return {row.setting: row for row in calibrate(trials=trials, rounds=rounds, seed=seed)}


@pytest.mark.parametrize(("share", "holds"), [(0.93, True), (0.97, True), (0.929, False), (0.971, False)])
def test_a_figure_holds_between_its_ends(share, holds):
    assert Figure(share, 0.93, 0.97).holds == holds


def test_a_figure_that_is_no_number_does_not_hold():
    assert not Figure(math.nan, 0.0, 1.0).holds


def test_a_row_holds_if_all_its_figures_do():
    good, bad = Figure(0.95, 0.93, 0.97), Figure(0.5, 0.93, 0.97)
    assert Row("", 1.0, {"plain": good, "floored": good}, 0.0, 0.0).holds
    assert not Row("", 1.0, {"plain": good, "floored": bad}, 0.0, 0.0).holds


def test_every_setting_puts_to_the_test_what_is_true_there():
    figures = {row.setting: set(row.figures) for row in calibrate(trials=2, rounds=3, seed=0)}
    assert figures == {
        "5 % noise": set(FIGURES),
        "floor": {"floored", "regime"},
        "drift": set(FIGURES),
        "outliers": set(FIGURES),
        "floor, drift and outliers": {"floored", "regime"},
        "cache break": {"regime"},
    }


def test_the_seed_determines_everything_and_rows_do_not_depend_on_each_other(few_settings):
    first, again, other = (rows(trials=20, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["5 % noise"] != other["5 % noise"]


def test_estimators_hold_what_they_promise(few_settings):
    """Shares of 400 trials are known to 1.1 %; of this seed's they are where they must be."""
    for row in rows().values():
        assert row.holds, row
        assert 0.0 < row.plain_half < row.floored_half


def _too_narrow(estimate):
    middle, half = (estimate.high + estimate.low) / 2.0, (estimate.high - estimate.low) / 4.0
    return estimate._replace(low=middle - half, high=middle + half)


def _too_wide(estimate):
    half = estimate.high - estimate.low
    return estimate._replace(low=estimate.low - half, high=estimate.high + half)


@pytest.mark.parametrize("change", [_too_narrow, _too_wide])
@pytest.mark.parametrize("figure", ["plain", "floored"])
def test_wrong_intervals_of_exponents_are_noticed(figure, change, few_settings, monkeypatch):
    estimator = getattr(calibration, f"{figure}_exponent")
    monkeypatch.setattr(calibration, f"{figure}_exponent", lambda *arguments: change(estimator(*arguments)))
    wrong = [name for name, found in rows()["5 % noise"].figures.items() if not found.holds]
    assert wrong == [figure]


def test_a_biased_exponent_is_noticed(few_settings, monkeypatch):
    monkeypatch.setattr(
        calibration, "plain_exponent", lambda m, settled: plain_exponent(m ** (1.0 + 1e-2), settled)
    )  # 1 % off, less than a half-width
    assert not rows()["5 % noise"].figures["plain"].holds


def test_wrong_ratios_and_crossovers_are_noticed(few_settings, monkeypatch):
    def halved(*arguments):
        m, (low, high) = crossover(*arguments)
        return Crossover(m, Interval((low + m) / 2.0, (high + m) / 2.0))

    monkeypatch.setattr(calibration, "crossover", halved)
    monkeypatch.setattr(calibration, "ratios", lambda *_: [Ratio(1.0, Interval(0.0, 9.0))] * len(WIDTHS))
    figures = rows()["5 % noise"].figures
    assert not figures["crossover"].holds and not figures["ratio"].holds


@pytest.mark.parametrize(("answer", "wrong"), [(False, "cache break"), (True, "5 % noise")])
def test_blindness_and_false_alarms_are_noticed(answer, wrong, few_settings, monkeypatch):
    monkeypatch.setattr(
        calibration, "regime_changes_anywhere", lambda m, settled: np.full(len(settled.typical), answer)
    )
    found = rows(trials=20)
    assert not found[wrong].figures["regime"].holds
    assert all(row.figures["regime"].holds for name, row in found.items() if name != wrong)


@pytest.mark.parametrize("coverage", [0.8, 0.999])
def test_the_command_fails_where_the_coverage_is_wrong(coverage, few_settings, monkeypatch, capsys):
    from benchmarks.scaling import exponent, interval

    monkeypatch.setattr(exponent, "half_width", lambda estimates: interval.half_width(estimates, coverage))
    assert main(["calibrate", "--trials", "400", "--rounds", "9", "--seed", "1"]) == 1
    printed = capsys.readouterr().out
    assert "MISSED: 5 % noise, exponent 1.5" in printed and " !" in printed
    assert "every figure is as it must be" not in printed


def test_the_command_succeeds_where_all_is_well(few_settings, capsys):
    assert main(["calibrate", "--trials", "400", "--rounds", "9", "--seed", "1"]) == 0
    printed = capsys.readouterr()
    assert "every figure is as it must be" in printed.out and "MISSED" not in printed.out and " !" not in printed.out
    assert printed.err == ""  # no progress in a pipe


def test_status_and_text_go_together_in_all_settings(monkeypatch, capsys):
    """With 200 trials shares are known to 1.5 % only, so that some are missed by chance."""
    for module in (calibration, command):
        monkeypatch.setattr(module, "EXPONENTS", (1.5,))
    found = list(calibrate(trials=200, rounds=5, seed=0))
    status = main(["calibrate", "--trials", "200", "--rounds", "5"])
    printed = capsys.readouterr().out
    missed = [line for line in printed.splitlines() if line.startswith("MISSED: ")]
    assert missed == [f"MISSED: {row.setting}, exponent 1.5" for row in found if not row.holds]
    assert status == (1 if missed else 0)
    for row in found:
        for figure in row.figures.values():
            assert f"{figure.share:.1%}" + ("" if figure.holds else " !") in printed
    assert printed.count("!") == sum(not figure.holds for row in found for figure in row.figures.values())


@pytest.mark.parametrize("option", [["--trials", "0"], ["--rounds", "2"], ["--seed", "-1"], ["--trials", "many"]])
def test_bad_options_are_named(option, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["calibrate", *option])
    assert stopped.value.code == 2
    assert option[0] in capsys.readouterr().err


def drawn(exponent=1.5, trials=3, rounds=4, seed=0, **disturbances):
    generator = np.random.default_rng(seed)
    return synthetic_rounds(exponent, Disturbances(**disturbances), trials=trials, rounds=rounds, generator=generator)


def test_synthetic_rounds_without_disturbances_are_the_law():
    samples = drawn(noise=0.0)
    np.testing.assert_allclose(samples, np.broadcast_to((WIDTHS / WIDTHS[0]) ** 1.5, (3, 4, len(WIDTHS))))
    floored = drawn(noise=0.0, floor=2.0)
    np.testing.assert_allclose(floored - samples, 2.0 * samples[0, 0, 1])


def test_synthetic_disturbances_are_of_the_size_that_they_say():
    law = drawn(noise=0.0, trials=1, rounds=1)
    many = {"trials": 50, "rounds": 40}
    noise = np.log(drawn(noise=0.05, **many) / law)
    assert noise.std() == pytest.approx(0.05, rel=0.03) and abs(noise.mean()) < 0.002
    struck = drawn(noise=0.0, outliers=0.05, **many) / law
    assert np.mean(struck > 1.001) == pytest.approx(0.05, abs=0.007)
    assert struck[struck > 1.001].min() >= 1.5 and struck.max() <= 10.0
    drift = np.log(drawn(noise=0.0, drift=0.03, **many) / law)
    within, between = drift.std(axis=2).mean(), drift.mean(axis=2).std()
    assert between > 2.0 * within > 0.0  # slow: rounds differ by more than samples of a round


def test_a_synthetic_cache_costs_nothing_within_and_its_factor_far_beyond():
    factor = drawn(noise=0.0, cache=(2.0, 2.0), trials=200, rounds=1)[:, 0] / drawn(noise=0.0, trials=1)[0, 0]
    assert np.all(factor[:, :3] == 1.0)
    assert np.all((factor[:, -1] > 1.5) & (factor[:, -1] < 2.0))
    assert np.all(np.diff(factor, axis=1) >= -1e-12)


def test_disturbances_are_plain_values():
    assert dataclasses.asdict(Disturbances()) == {
        "noise": 0.05,
        "floor": 0.0,
        "drift": 0.0,
        "outliers": 0.0,
        "cache": (1.0, 1.0),
    }
