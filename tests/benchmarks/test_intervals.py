"""Exponents, ratios, crossovers and held-out widths with their intervals, on synthetic rounds with known truth."""

import math

import numpy as np
import pytest
from scipy.stats import binom, t

from benchmarks.scaling import (
    active_count,
    crossover,
    floored_exponent,
    half_width,
    held_out,
    plain_exponent,
    ratios,
    settle_columns,
    settle_rounds,
    sparse_exponents,
    sparse_work,
    time_exponent,
    work_exponent,
)
from benchmarks.scaling.synthetic import WIDTHS as M
from benchmarks.scaling.synthetic import Disturbances, synthetic_rounds
from reference.contract import ArgumentError

TRIALS = 1000


def within_coverage(covers):
    """Whether an interval of 95 % covers as often as it should.

    Where it truly covers 93 to 97 %, another number of trials has odds below 1e-6; where it covers 88 % or 99.5 %,
    this is noticed with odds above 0.9 of 1000 trials.
    """
    return binom.ppf(1e-6, len(covers), 0.93) <= np.sum(covers) <= binom.isf(1e-6, len(covers), 0.97)


def rounds_of(cost, rounds, generator, noise=0.05):
    """Rounds with independent noise and a slow drift that hits all widths of a round alike."""
    drift = np.exp(0.2 * np.sin(np.arange(rounds) / 3.0))[:, None]
    return cost * drift * np.exp(noise * generator.standard_normal((rounds, len(cost))))


@pytest.mark.parametrize("rounds", [2, 3, 5, 15])
@pytest.mark.parametrize("coverage", [0.5, 0.95])
def test_the_half_width_is_students(rounds, coverage):
    estimates = np.random.default_rng(0).standard_normal((4, 3, rounds))
    halves = half_width(estimates, coverage)
    assert halves.shape == (4, 3)
    for half, own in zip(halves.ravel(), estimates.reshape(12, rounds), strict=True):
        low, high = t.interval(coverage, rounds - 1, own.mean(), own.std(ddof=1) / math.sqrt(rounds))
        assert half == pytest.approx((high - low) / 2.0)


def test_coverage_tells_right_from_wrong():
    generator = np.random.default_rng(0)
    assert within_coverage(generator.random(TRIALS) < 0.95)
    assert not within_coverage(generator.random(TRIALS) < 0.87)
    assert not within_coverage(generator.random(TRIALS) < 0.998)


@pytest.mark.parametrize("rounds", [2, 3, 4, 5, 9, 15])
def test_exponents_cover_the_truth(rounds):
    generator = np.random.default_rng([1, rounds])
    settled = settle_rounds(synthetic_rounds(1.5, Disturbances(), trials=TRIALS, rounds=rounds, generator=generator))
    for estimate in (plain_exponent(M, settled), floored_exponent(M, settled)):
        assert within_coverage((estimate.low <= 1.5) & (estimate.high >= 1.5))
        assert np.all((estimate.low <= estimate.value) & (estimate.value <= estimate.high))


@pytest.mark.parametrize("disturbances", [Disturbances(outliers=0.05), Disturbances(drift=0.03)], ids=str)
def test_exponents_cover_the_truth_under_disturbances(disturbances):
    generator = np.random.default_rng(2)
    settled = settle_rounds(synthetic_rounds(2.0, disturbances, trials=TRIALS, rounds=15, generator=generator))
    for estimate in (plain_exponent(M, settled), floored_exponent(M, settled)):
        assert within_coverage((estimate.low <= 2.0) & (estimate.high >= 2.0))


def test_above_a_floor_only_the_floored_exponent_covers_the_truth():
    generator = np.random.default_rng(3)
    samples = synthetic_rounds(1.75, Disturbances(floor=1.0), trials=TRIALS, rounds=15, generator=generator)
    plain, floored = (fit(M, settle_rounds(samples)) for fit in (plain_exponent, floored_exponent))
    assert within_coverage((floored.low <= 1.75) & (floored.high >= 1.75))
    assert np.all(plain.high < 1.75)


def test_local_exponents_cover_the_truth():
    generator = np.random.default_rng(4)
    covers = [
        [low <= 1.5 <= high for low, high in time_exponent(M, samples).local_intervals]
        for samples in synthetic_rounds(1.5, Disturbances(drift=0.03), trials=40, rounds=15, generator=generator)
    ]
    assert within_coverage(np.ravel(covers)[::2])  # every other: neighbours share a width


def test_ratios_and_crossovers_cover_the_truth():
    generator, meeting = np.random.default_rng(5), 1500.0
    fast = synthetic_rounds(1.5, Disturbances(drift=0.03), trials=TRIALS // 2, rounds=9, generator=generator)
    truth = np.sqrt(M / meeting)
    slow = fast * truth * np.exp(0.05 * generator.standard_normal(fast.shape))
    in_ratio, in_crossover = [], []
    for one, other in zip(slow, fast, strict=True):
        low, high = ratios(one, other)[3].interval
        in_ratio.append(low <= truth[3] <= high)
        low, high = crossover(M, one, other).interval
        in_crossover.append(low <= meeting <= high)
    assert within_coverage(in_ratio)
    assert within_coverage(in_crossover)


def test_the_floored_exponent_sees_through_an_overhead():
    seconds = rounds_of(3e-4 + 2e-9 * M**1.75, 15, np.random.default_rng(2), noise=0.02)
    fit = time_exponent(M, seconds)
    assert fit.value < 1.5
    assert fit.floored_interval.low <= 1.75 <= fit.floored_interval.high
    assert fit.floor == pytest.approx(3e-4, rel=0.1)
    assert fit.of_minimum == pytest.approx(fit.value, abs=0.1)
    assert len(fit.local) == len(fit.local_intervals) == len(M) - 1


def test_an_outlier_moves_an_exponent_little():
    seconds = rounds_of(1e-9 * M**1.5, 15, np.random.default_rng(3), noise=0.01)
    before = time_exponent(M, seconds)
    seconds[4, -1] *= 50.0
    after = time_exponent(M, seconds)
    assert after.value == pytest.approx(before.value, abs=0.002)
    assert after.interval.high - after.interval.low < 1.5 * (before.interval.high - before.interval.low)


def test_drift_of_whole_rounds_moves_nothing():
    cost = 1e-9 * M**1.5 * np.exp(0.05 * np.random.default_rng(6).standard_normal((7, len(M))))
    before, after = time_exponent(M, cost), time_exponent(M, cost * np.logspace(0, 1, 7)[:, None])
    assert (after.value, *after.interval) == pytest.approx((before.value, *before.interval), abs=1e-9)
    assert after.local_intervals == pytest.approx(np.array(before.local_intervals), abs=1e-9)


def test_the_interval_is_over_the_slopes_of_the_rounds():
    cost = 1e-9 * M**1.5 * np.exp(0.05 * np.random.default_rng(7).standard_normal((4, len(M))))
    slopes = [np.polyfit(np.log(M), np.log(row), 1)[0] for row in cost]
    fit = time_exponent(M, cost)
    expected = t.interval(0.95, 3, np.mean(slopes), np.std(slopes, ddof=1) / 2.0)
    assert fit.value == pytest.approx(np.mean(slopes))
    assert fit.interval == pytest.approx(expected)
    local = [math.log(row[1] / row[0]) / math.log(M[1] / M[0]) for row in cost]
    expected = t.interval(0.95, 3, np.mean(local), np.std(local, ddof=1) / 2.0)
    assert fit.local_intervals[0] == pytest.approx(expected)


def test_one_round_has_no_intervals_and_no_regime():
    cost = 1e-9 * M**1.5 * np.where(M > 2000, 3.0, 1.0)
    fit = time_exponent(M, cost[None])
    assert fit.value > 1.5
    for interval in (fit.interval, fit.floored_interval, *fit.local_intervals):
        assert math.isnan(interval.low) and math.isnan(interval.high)
    assert fit.regime is None
    assert fit.held_out is not None
    assert np.isnan(half_width(np.ones((2, 1)))).all()


def test_few_widths_have_no_floored_exponent():
    fit = time_exponent(M[:3], 1e-9 * M[None, :3] ** 1.5)
    assert math.isnan(fit.floored) and math.isnan(fit.floor)
    assert fit.regime is None and fit.held_out is None


def test_fewer_than_three_widths_have_no_exponent():
    with pytest.raises(ArgumentError, match=r"^m:"):
        time_exponent(M[:2], np.ones((5, 2)))


@pytest.mark.parametrize("floor", [0.0, 1.0])
def test_a_held_out_width_is_predicted_exactly_by_the_law_that_holds(floor):
    cost = 1e-9 * (floor * M[1] ** 1.5 + M**1.5)
    held = held_out(M, cost)
    assert (held.m, held.measured) == (M[-1], cost[-1])
    assert held.floored == pytest.approx(cost[-1], rel=2e-3)
    assert held.floored_error == pytest.approx(0.0, abs=2e-3)
    if floor == 0.0:
        assert held.plain_error == pytest.approx(0.0, abs=1e-9)
    else:
        assert held.plain_error > 0.1  # the floor makes the line too flat


def test_a_held_out_width_is_not_looked_at():
    cost = 1e-9 * M**1.5
    doubled = held_out(M, cost * np.where(np.arange(len(M)) == len(M) - 1, 2.0, 1.0))
    assert doubled.plain == held_out(M, cost).plain and doubled.floored == held_out(M, cost).floored
    assert doubled.plain_error == pytest.approx(1.0)


def test_few_widths_hold_none_out():
    cost = 1e-9 * M**1.5
    assert held_out(M[:3], cost[:3]) is None
    four = held_out(M[:4], cost[:4])
    assert four.plain_error == pytest.approx(0.0, abs=1e-9) and math.isnan(four.floored_error)
    assert not math.isnan(held_out(M[:5], cost[:5]).floored_error)


def test_ratios_are_those_of_the_same_rounds():
    fast = rounds_of(1e-9 * M**1.5, 15, np.random.default_rng(4))
    for ratio in ratios(3.0 * fast, fast):
        assert ratio.value == pytest.approx(3.0)
        assert ratio.interval == pytest.approx((3.0, 3.0))
    slow = 3.0 * rounds_of(1e-9 * M**1.5, 15, np.random.default_rng(5))
    for one, other in zip(ratios(slow, fast), ratios(fast, slow), strict=True):
        assert other.value == pytest.approx(1.0 / one.value)
        assert other.interval == pytest.approx((1.0 / one.interval.high, 1.0 / one.interval.low))


def test_a_ratio_is_that_of_columns_settled():
    slow, fast = (rounds_of(M, 4, np.random.default_rng(seed)) for seed in (1, 2))
    settled = settle_columns(slow / fast)
    np.testing.assert_allclose([ratio.value for ratio in ratios(slow, fast)], np.exp(settled.typical))
    logs = np.log(slow / fast)[:, 0]
    low, high = t.interval(0.95, 3, logs.mean(), logs.std(ddof=1) / 2.0)
    assert ratios(slow, fast)[0].interval == pytest.approx((math.exp(low), math.exp(high)))


def test_one_round_has_ratios_without_intervals():
    ratio = ratios(2.0 * M[None], M[None])[0]
    assert ratio.value == pytest.approx(2.0) and math.isnan(ratio.interval.low) and math.isnan(ratio.interval.high)


def test_the_crossover_is_where_two_power_laws_meet():
    slow, fast = 1e-9 * M**2.0, 1e-9 * 1000.0**0.5 * M**1.5
    exact = crossover(M, slow[None], fast[None])
    assert exact.m == pytest.approx(1000.0)
    assert math.isnan(exact.interval.low) and math.isnan(exact.interval.high)
    generator = np.random.default_rng(5)
    noisy = crossover(M, rounds_of(slow, 15, generator), rounds_of(fast, 15, generator))
    assert noisy.interval.low <= 1000.0 <= noisy.interval.high
    assert noisy.interval.low < noisy.m < noisy.interval.high


def test_a_crossover_may_lie_outside_the_widths():
    seconds = rounds_of(1e-9 * M**1.5, 15, np.random.default_rng(6))
    assert crossover(M, 2.0 * seconds, seconds) == (0.0, (0.0, 0.0))
    assert crossover(M, seconds, 2.0 * seconds) == (math.inf, (math.inf, math.inf))


@pytest.mark.parametrize(("meeting", "end"), [(M[0] * 1.02, "low"), (M[-1] / 1.02, "high")])
def test_an_interval_may_reach_beyond_the_widths_on_one_side(meeting, end):
    generator = np.random.default_rng(7)
    slow, fast = (rounds_of(cost, 6, generator, noise=0.1) for cost in (M**0.5, np.full(len(M), meeting**0.5)))
    found = crossover(M, slow, fast)
    assert getattr(found.interval, end) == {"low": 0.0, "high": math.inf}[end]
    other = found.interval.high if end == "low" else found.interval.low
    assert M[0] <= other <= M[-1]


def test_a_crossover_is_the_last_one():
    ratio = np.array([1.5, 0.8, 1.2, 0.9, 1.1, 1.2, 1.3, 1.4, 1.5])
    found = crossover(M, ratio[None], np.ones((1, len(M)))).m
    assert 1448.0 < found < 2048.0


def test_work_without_a_power_law_has_no_exponent():
    assert work_exponent(M, 5.0 * M**2) == pytest.approx(2.0)
    assert work_exponent(M, np.zeros(len(M))) is None


def test_theory_is_that_of_the_normal_tail():
    widths = np.array([4096.0, 8192.0, 16384.0])
    sampled = np.random.default_rng(7).standard_normal(4_000_000)
    for m, k in zip(widths, active_count(widths), strict=True):
        share = np.mean(sampled > math.sqrt(0.4 * math.log(m)))
        assert share == pytest.approx(k / m, abs=5 * math.sqrt(k / m / len(sampled)))
    exponents = sparse_exponents(M, samples=32)
    assert exponents["forward"] == pytest.approx(1.0 + exponents["gram"])
    assert exponents["backward"] == pytest.approx(2.0 * exponents["gram"])
    assert exponents["backward"] < exponents["iteration"] < exponents["forward"]


def test_theory_adds_up():
    work = sparse_work(M, 32)
    k = active_count(M)
    np.testing.assert_allclose(work["forward"], 32 * M * k)
    np.testing.assert_allclose(work["backward"], 32 * k**2)
    np.testing.assert_allclose(work["update"], 32 * k**2)
    np.testing.assert_allclose(work["gram"], 2 * 32**2 * k)
    np.testing.assert_allclose(
        work["iteration"], sum(work[phase] for phase in ("forward", "backward", "gram", "update"))
    )
    local = [math.log(active_count(np.array([2.0 * m]))[0] / active_count(np.array([m]))[0]) / math.log(2) for m in M]
    assert all(0.7 < slope < 0.8 for slope in local) and local == sorted(local)  # towards 0.8, slowly
