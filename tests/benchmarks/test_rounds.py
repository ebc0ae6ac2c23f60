"""What rounds come down to: typical costs, and how far each round is from them."""

import numpy as np
import pytest

from benchmarks.scaling import settle_columns, settle_rounds
from benchmarks.scaling.rounds import CLIP, FEWEST_TO_CLIP
from benchmarks.scaling.synthetic import WIDTHS, Disturbances, synthetic_rounds
from reference.contract import ArgumentError

ROUNDS = (1, 2, 4, 5, 15)  # fewer than FEWEST_TO_CLIP are averaged


def noisy(rounds, *, seed=0, noise=0.05, **disturbances):
    generator = np.random.default_rng(seed)
    disturbances = Disturbances(noise=noise, **disturbances)
    return synthetic_rounds(1.5, disturbances, trials=1, rounds=rounds, generator=generator)[0]


def centred(values):
    """What is left of columns when all may be shifted together."""
    return values - values.mean(axis=-1, keepdims=True)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("outliers", [0.0, 0.1])
def test_a_factor_that_a_round_has_in_common_changes_nothing(rounds, outliers):
    samples = noisy(rounds, outliers=outliers)
    slower = samples * np.random.default_rng(1).lognormal(0.0, 1.0, (rounds, 1))
    before, after = settle_rounds(samples), settle_rounds(slower)
    np.testing.assert_allclose(centred(after.typical), centred(before.typical), atol=1e-12)
    np.testing.assert_allclose(after.deviations, before.deviations, atol=1e-12)
    if rounds > 1:  # where columns stand for themselves, it does
        assert np.abs(settle_columns(slower).deviations - settle_columns(samples).deviations).max() > 0.1


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("settle", [settle_rounds, settle_columns])
def test_the_order_of_rounds_does_not_matter(rounds, settle):
    samples = noisy(rounds, drift=0.03, outliers=0.05)
    order = np.random.default_rng(1).permutation(rounds)
    before, after = settle(samples), settle(samples[order])
    np.testing.assert_allclose(after.typical, before.typical, atol=1e-12)
    np.testing.assert_allclose(after.deviations, before.deviations[order], atol=1e-12)


@pytest.mark.parametrize("settle", [settle_rounds, settle_columns])
def test_a_unit_is_a_shift_of_all_columns(settle):
    samples = noisy(15, outliers=0.05)
    before, after = settle(samples), settle(1e3 * samples)
    np.testing.assert_allclose(after.typical, before.typical + np.log(1e3), atol=1e-12)
    np.testing.assert_allclose(after.deviations, before.deviations, atol=1e-12)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("settle", [settle_rounds, settle_columns])
def test_typical_costs_are_among_the_samples(rounds, settle):
    samples = noisy(rounds, drift=0.03, outliers=0.1)
    typical = np.exp(settle(samples).typical)
    assert np.all(typical >= 0.999 * samples.min(axis=0)) and np.all(typical <= 1.001 * samples.max(axis=0))


@pytest.mark.parametrize("rounds", ROUNDS)
def test_without_noise_it_is_exact_whatever_the_drift(rounds):
    drift = np.random.default_rng(2).lognormal(0.0, 1.0, (rounds, 1))
    settled = settle_rounds(1e-9 * WIDTHS**1.5 * drift)
    np.testing.assert_allclose(centred(settled.typical), centred(np.log(WIDTHS**1.5)), atol=1e-12)
    np.testing.assert_allclose(settled.deviations, 0.0, atol=1e-12)


@pytest.mark.parametrize("factor", [3.0, 50.0, 1e6])
def test_an_outlier_moves_little_however_large_it_is(factor):
    samples = noisy(15, noise=0.01)
    struck = samples.copy()
    struck[4, -1] *= factor
    moved = settle_rounds(struck).typical - settle_rounds(samples).typical
    assert np.abs(moved).max() < 0.01 / 2  # the mean's standard error is 0.01/√15; it would move by ln(factor)/15


def test_as_few_rounds_as_cannot_tell_what_sticks_out_are_averaged():
    samples = noisy(FEWEST_TO_CLIP - 1)
    samples[0, 0] *= 50.0
    np.testing.assert_allclose(settle_rounds(samples).typical, np.log(samples).mean(axis=0), atol=1e-12)
    more = noisy(FEWEST_TO_CLIP)
    more[0, 0] *= 50.0
    assert np.log(more)[:, 0].mean() - settle_rounds(more).typical[0] > 0.5


@pytest.mark.parametrize("rounds", [2, 3, 4, 6, 14])
@pytest.mark.parametrize("settle", [settle_rounds, settle_columns])
def test_deviations_are_the_slopes_of_the_rounds(rounds, settle):
    """To the last rounding where nothing is pulled in: a checkerboard has all its rest at one deviation."""
    signs = (-1.0) ** (np.arange(rounds)[:, None] + np.arange(8))
    logs = np.log(WIDTHS[:8] ** 1.5) + 0.01 * signs
    if settle is settle_rounds:
        logs = logs + np.random.default_rng(3).normal(0.0, 1.0, (rounds, 1))
    settled = settle(np.exp(logs))
    assert np.abs(settled.deviations).max() < CLIP * 0.01 * 1.4826
    for weights in (centred(np.log(WIDTHS[:8])), np.array([0, 0, -1.0, 1.0, 0, 0, 0, 0])):
        estimates = settled.typical @ weights + settled.deviations @ weights
        np.testing.assert_allclose(estimates, logs @ weights, atol=1e-12)


def test_columns_that_stand_for_themselves_may_be_weighted_in_any_way():
    samples = noisy(4)
    settled = settle_columns(samples)
    np.testing.assert_allclose(settled.typical + settled.deviations, np.log(samples), atol=1e-12)


@pytest.mark.parametrize("rounds", [2, 4, 15])
def test_a_problem_is_settled_alone_as_among_others(rounds):
    generator = np.random.default_rng(4)
    samples = synthetic_rounds(1.5, Disturbances(outliers=0.1), trials=6, rounds=rounds, generator=generator)
    together = settle_rounds(samples.reshape(2, 3, rounds, len(WIDTHS)))
    for number, alone in enumerate(map(settle_rounds, samples)):
        np.testing.assert_array_equal(together.typical[divmod(number, 3)], alone.typical)
        np.testing.assert_array_equal(together.deviations[divmod(number, 3)], alone.deviations)


@pytest.mark.parametrize("rounds", [4, 15])
def test_the_layout_in_memory_does_not_matter(rounds):
    """To the last bit, so that others who compute from the same samples find the same."""
    samples = noisy(rounds, outliers=0.05)
    one, other = settle_rounds(samples), settle_rounds(np.asfortranarray(samples))
    weights = centred(np.log(WIDTHS))
    np.testing.assert_array_equal(one.typical, other.typical)
    np.testing.assert_array_equal(one.deviations @ weights, other.deviations @ weights)


@pytest.mark.parametrize("outliers", [0.0, 0.05])
def test_the_scatter_tells_how_far_typical_costs_may_be_off(outliers):
    """Of a slope, over 2000 repetitions: its standard deviation is known to 2 % then."""
    disturbances = Disturbances(outliers=outliers)
    samples = synthetic_rounds(1.5, disturbances, trials=2000, rounds=15, generator=np.random.default_rng(5))
    settled, weights = settle_rounds(samples), centred(np.log(WIDTHS))
    truth = (settled.typical @ weights).std()
    claimed = np.sqrt(((settled.deviations @ weights).var(axis=1, ddof=1) / 15).mean())
    assert claimed == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize(
    "samples",
    [np.ones((0, 3)), np.array([[1.0, 0.0]]), np.array([[1.0, -1.0]]), np.array([[1.0, np.inf]])],
    ids=["no rounds", "zero", "negative", "infinite"],
)
@pytest.mark.parametrize("settle", [settle_rounds, settle_columns])
def test_what_cannot_be_settled_is_refused(settle, samples):
    with pytest.raises(ArgumentError, match=r"^samples:"):
        settle(samples)
