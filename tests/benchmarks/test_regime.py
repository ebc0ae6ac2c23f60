"""Changes of regime: found where they are and of which kind they are, and not found where there are none."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.scaling import RegimeChange, regime_change, settle_rounds, time_exponent
from benchmarks.scaling.regime import FEWEST_WIDTHS_REGIME, LEAST_BREAK, LEAST_STEP, LEVEL, regime_changes_anywhere
from benchmarks.scaling.synthetic import WIDTHS, Disturbances, synthetic_rounds

PLAIN = 1e-9 * WIDTHS**1.5


def stepped(place, factor):
    """The cost steps beyond the width at that place."""
    return PLAIN * np.where(np.arange(len(WIDTHS)) > place, factor, 1.0)


def broken(place, change):
    """The exponent changes at the width at that place."""
    return PLAIN * np.maximum(WIDTHS / WIDTHS[place], 1.0) ** change


def found(cost, *, rounds=15, noise=0.005, seed=0):
    generator = np.random.default_rng(seed)
    samples = cost * np.exp(noise * generator.standard_normal((rounds, len(cost))))
    return regime_change(WIDTHS[: len(cost)], settle_rounds(samples))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("place", range(len(WIDTHS) - 2))
@pytest.mark.parametrize("factor", [1.5, 0.6])
def test_a_step_is_found_between_its_widths(place, factor, seed):
    change = found(stepped(place, factor), seed=seed)
    assert (change.kind, change.low, change.high) == ("step", WIDTHS[place], WIDTHS[place + 1])
    assert change.size == pytest.approx(factor, rel=0.15)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("place", [4, 5, 6])
@pytest.mark.parametrize("size", [0.8, -0.8])
def test_a_break_among_the_larger_widths_is_found_at_its_width(place, size, seed):
    """Among the smaller ones it is much like a floor, and whatever is found may be called otherwise."""
    change = found(broken(place, size), seed=seed)
    assert (change.kind, change.low, change.high) == ("break", WIDTHS[place], WIDTHS[place])
    assert change.size == pytest.approx(size, abs=0.1)


@pytest.mark.parametrize("size", [1.5, -1.5])
@pytest.mark.parametrize("place", range(1, len(WIDTHS) - 1))
def test_a_large_break_is_no_law_wherever_it_is(place, size):
    assert found(broken(place, size)) is not None


@pytest.mark.parametrize("cost", [PLAIN, PLAIN + PLAIN[2], 1e-3 + PLAIN], ids=["power", "floor", "high floor"])
def test_the_rule_itself_is_no_change(cost):
    assert found(cost) is None


def test_changes_too_small_to_matter_are_not_found_however_certain():
    assert found(stepped(4, math.exp(0.8 * LEAST_STEP)), noise=1e-5) is None
    assert found(stepped(4, math.exp(1.2 * LEAST_STEP)), noise=1e-5) is not None
    assert found(broken(4, -0.5 * LEAST_BREAK), noise=1e-5) is None


def test_noise_that_hides_a_change_hides_it():
    assert found(stepped(4, 1.3), noise=0.01) is not None
    assert found(stepped(4, 1.3), noise=1.0) is None


@pytest.mark.parametrize("rounds", [1, 2])
def test_one_round_or_two_cannot_tell(rounds):
    assert found(stepped(4, 10.0), rounds=rounds) is None
    assert found(stepped(4, 10.0), rounds=3, noise=1e-4) is not None


def test_few_widths_have_no_regime():
    m = WIDTHS[: FEWEST_WIDTHS_REGIME - 1]
    seconds = stepped(2, 2.0)[: len(m)] * np.exp(0.005 * np.random.default_rng(0).standard_normal((15, len(m))))
    assert time_exponent(m, seconds).regime is None
    assert found(stepped(2, 2.0)[:FEWEST_WIDTHS_REGIME]) is not None


@pytest.mark.parametrize("exponent", [1.0, 2.0])
@pytest.mark.parametrize("disturbances", [Disturbances(), Disturbances(floor=1.0, outliers=0.05, drift=0.03)])
@pytest.mark.parametrize("rounds", [4, 15])
def test_false_alarms_are_rarer_than_the_level(exponent, disturbances, rounds):
    """At the level itself more than so many of 400 would have odds below 1e-6."""
    trials, generator = 400, np.random.default_rng(6)
    samples = synthetic_rounds(exponent, disturbances, trials=trials, rounds=rounds, generator=generator)
    assert regime_changes_anywhere(WIDTHS, settle_rounds(samples)).sum() <= binom.isf(1e-6, trials, LEVEL)


def test_caches_that_are_outgrown_are_found():
    """Were nine of ten found only, so many of 400 would have odds below 1e-3."""
    trials, generator = 400, np.random.default_rng(7)
    samples = synthetic_rounds(1.5, Disturbances(cache=(2.0, 3.0)), trials=trials, rounds=15, generator=generator)
    assert regime_changes_anywhere(WIDTHS, settle_rounds(samples)).sum() >= binom.isf(1e-3, trials, 0.9)


def test_the_vectorized_answer_is_that_of_each_problem():
    generator = np.random.default_rng(8)
    samples = synthetic_rounds(1.5, Disturbances(cache=(1.0, 1.6)), trials=40, rounds=5, generator=generator)
    together = regime_changes_anywhere(WIDTHS, settle_rounds(samples))
    assert 0 < together.sum() < 40
    alone = [regime_change(WIDTHS, settle_rounds(rounds)) is not None for rounds in samples]
    np.testing.assert_array_equal(together, alone)


def test_it_says_what_it_found():
    assert str(RegimeChange("step", 724.0, 1024.0, 1.5)) == (
        "the cost steps by a factor of 1.50 between m = 724 and 1024"
    )
    assert str(RegimeChange("break", 1024.0, 1024.0, -0.25)) == "the exponent changes by −0.25 at m = 1024"
