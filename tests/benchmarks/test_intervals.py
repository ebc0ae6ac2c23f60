"""Bootstrap over rounds, ratios and crossovers, on synthetic rounds with known truth."""

import math

import numpy as np
import pytest

from benchmarks.scaling import (
    active_count,
    crossover,
    fit_power_law,
    interval,
    ratios,
    resampled_medians,
    round_choices,
    sparse_exponents,
    time_exponent,
    work_exponent,
)

M = np.array([512, 724, 1024, 1448, 2048, 2896, 4096, 5792, 8192], dtype=np.float64)


def rounds_of(cost, rounds, generator, noise=0.05):
    """Rounds with independent noise and a slow drift that hits all widths of a round alike."""
    drift = np.exp(0.2 * np.sin(np.arange(rounds) / 3.0))[:, None]
    return cost * drift * np.exp(noise * generator.standard_normal((rounds, len(cost))))


@pytest.mark.parametrize("exponent", [1.0, 1.5, 2.0])
def test_intervals_cover_the_truth(exponent):
    generator = np.random.default_rng(1)
    covered, trials, rounds = 0, 200, 15
    for _ in range(trials):
        medians = resampled_medians(rounds_of(1e-9 * M**exponent, rounds, generator), CHOICES)
        low, high = interval(fit_power_law(M, medians).exponent, rounds)
        covered += low <= exponent <= high
    # The interval claims 95 %. Were its true coverage only 90 %, fewer than 165 of 200 would have odds below 1e-3.
    assert covered >= 165


def test_the_floored_exponent_sees_through_an_overhead():
    seconds = rounds_of(3e-4 + 2e-9 * M**1.75, 15, np.random.default_rng(2), noise=0.02)
    fit = time_exponent(M, seconds, CHOICES)
    assert fit.value < 1.5
    assert fit.floored_interval.low <= 1.75 <= fit.floored_interval.high
    assert fit.floor == pytest.approx(3e-4, rel=0.1)
    assert fit.of_minimum == pytest.approx(fit.value, abs=0.1)
    assert len(fit.local) == len(M) - 1


def test_an_outlier_round_moves_a_median_little():
    seconds = rounds_of(1e-9 * M**1.5, 15, np.random.default_rng(3), noise=0.01)
    seconds[4, -1] *= 50.0
    assert time_exponent(M, seconds, CHOICES).value == pytest.approx(1.5, abs=0.02)


def test_one_round_has_no_interval():
    fit = time_exponent(M, 1e-9 * M[None] ** 1.5)
    assert fit.value == pytest.approx(1.5)
    assert math.isnan(fit.interval.low) and math.isnan(fit.interval.high)


def test_few_widths_have_no_floored_exponent():
    fit = time_exponent(M[:3], 1e-9 * M[None, :3] ** 1.5)
    assert math.isnan(fit.floored) and math.isnan(fit.floor)


def test_resamples_keep_rounds_whole():
    samples = np.arange(6.0)[:, None] * np.array([[1.0, 10.0]])  # the second column is ten times the first
    medians = resampled_medians(samples, round_choices(6, resamples=100))
    np.testing.assert_array_equal(medians[:, 1], 10.0 * medians[:, 0])


def test_an_interval_may_end_in_infinity():
    assert interval(np.array([1.0] * 90 + [math.inf] * 10), rounds=5) == (1.0, math.inf)


def test_ratios_are_those_of_medians_in_the_same_rounds():
    fast = rounds_of(1e-9 * M**1.5, 15, np.random.default_rng(4))
    for ratio in ratios(3.0 * fast, fast, CHOICES):
        assert ratio.value == pytest.approx(3.0)
        assert ratio.interval == pytest.approx((3.0, 3.0))


def test_the_crossover_is_where_two_power_laws_meet():
    slow, fast = 1e-9 * M**2.0, 1e-9 * 1000.0**0.5 * M**1.5
    generator = np.random.default_rng(5)
    exact = crossover(M, slow[None], fast[None], round_choices(1))
    assert exact.m == pytest.approx(1000.0)
    noisy = crossover(M, rounds_of(slow, 15, generator), rounds_of(fast, 15, generator), CHOICES)
    assert noisy.interval.low <= 1000.0 <= noisy.interval.high


def test_a_crossover_may_lie_outside_the_widths():
    seconds = rounds_of(1e-9 * M**1.5, 15, np.random.default_rng(6))
    assert crossover(M, 2.0 * seconds, seconds, CHOICES) == (0.0, (0.0, 0.0))
    assert crossover(M, seconds, 2.0 * seconds, CHOICES) == (math.inf, (math.inf, math.inf))


def test_a_crossover_is_the_last_one():
    ratio = np.array([1.5, 0.8, 1.2, 0.9, 1.1, 1.2, 1.3, 1.4, 1.5])
    found = crossover(M, ratio[None], np.ones((1, len(M))), round_choices(1)).m
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


CHOICES = round_choices(15, resamples=400)
