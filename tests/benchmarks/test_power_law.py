"""The fits recover exponents that were put in."""

import numpy as np
import pytest

from benchmarks.scaling import fit_floored_power_law, fit_power_law, local_exponents
from reference.contract import ArgumentError

M = np.array([512, 724, 1024, 1448, 2048, 2896, 4096, 5792, 8192], dtype=np.float64)


@pytest.mark.parametrize("exponent", [0.0, 0.75, 1.0, 1.5, 1.75, 2.0])
def test_both_fits_recover_a_pure_power(exponent):
    cost = 3e-9 * M**exponent
    plain = fit_power_law(M, cost)
    assert plain.exponent == pytest.approx(exponent, abs=1e-9)
    assert plain.factor == pytest.approx(3e-9, rel=1e-9)
    if exponent > 0:  # a constant is its own floor
        assert fit_floored_power_law(M, cost).exponent == pytest.approx(exponent, abs=1e-3)


@pytest.mark.parametrize("exponent", [1.0, 1.5, 1.75, 2.0])
@pytest.mark.parametrize("share", [0.3, 3.0, 30.0])  # the floor over the power at the smallest width
def test_the_floored_fit_recovers_all_three_parameters(exponent, share):
    factor = 2e-9
    floor = share * factor * M[0] ** exponent
    cost = floor + factor * M**exponent
    fit = fit_floored_power_law(M, cost)
    assert fit.exponent == pytest.approx(exponent, abs=2e-3)
    assert fit.floor == pytest.approx(floor, rel=1e-2)
    assert fit.factor == pytest.approx(factor, rel=3e-2)
    assert fit_power_law(M, cost).exponent < exponent - 0.05  # what the plain line makes of it


def test_a_floor_is_never_negative():
    fit = fit_floored_power_law(M, 1e-9 * (M**1.5 - 0.5 * M[0] ** 1.5))
    assert fit.floor == 0.0
    assert fit.exponent > 1.5


def test_a_falling_cost_is_no_negative_power():
    fit = fit_floored_power_law(M, 1.0 / M)
    assert fit.factor >= 0.0
    assert fit.exponent >= 0.0


def test_rows_are_fitted_one_by_one():
    costs = np.stack([2e-6 + 1e-9 * M**p for p in (1.0, 1.4, 1.9)])
    for fit in (fit_power_law, fit_floored_power_law):
        together = fit(M, costs).exponent
        np.testing.assert_allclose(together, [fit(M, row).exponent for row in costs], rtol=1e-12)


def test_noise_of_five_percent_moves_the_exponent_little():
    generator = np.random.default_rng(0)
    noisy = 1e-9 * M**1.75 * np.exp(0.05 * generator.standard_normal((500, len(M))))
    slopes = fit_power_law(M, noisy).exponent
    x = np.log(M)
    predicted = 0.05 / np.sqrt(((x - x.mean()) ** 2).sum())  # standard error of a slope
    assert slopes.std() == pytest.approx(predicted, rel=0.15)  # five standard errors of a standard deviation
    assert slopes.mean() == pytest.approx(1.75, abs=5 * predicted / np.sqrt(500))


def test_local_exponents_show_a_change_of_regime():
    cost = np.where(M <= 2048, 1e-9 * M**1.5, 1e-9 * 2048**-0.7 * M**2.2)
    np.testing.assert_allclose(local_exponents(M, cost), [1.5] * 4 + [2.2] * 4, atol=1e-9)


@pytest.mark.parametrize(
    ("m", "cost", "argument"),
    [
        ([1.0, 2.0], [1.0, 2.0], "m"),
        ([1.0, 2.0, 2.0], [1.0, 2.0, 3.0], "m"),
        ([0.0, 1.0, 2.0], [1.0, 2.0, 3.0], "m"),
        ([1.0, 2.0, 4.0], [1.0, 0.0, 3.0], "cost"),
        ([1.0, 2.0, 4.0], [1.0, np.nan, 3.0], "cost"),
    ],
)
def test_what_cannot_be_fitted_is_refused(m, cost, argument):
    with pytest.raises(ArgumentError, match=f"^{argument}:"):
        fit_power_law(np.array(m), np.array(cost))


def test_three_widths_are_too_few_for_three_parameters():
    with pytest.raises(ArgumentError, match="at least 4"):
        fit_floored_power_law(M[:3], M[:3])


def test_a_row_is_fitted_alone_as_among_others():
    """To the last bit: otherwise the calibration would not be of what a sweep computes."""
    cost = np.random.default_rng(5).uniform(1e-4, 1e-2, (301, 4))
    together = fit_power_law(M[:4], cost)
    for row, exponent, factor in zip(cost, together.exponent, together.factor, strict=True):
        alone = fit_power_law(M[:4], row)
        assert (alone.exponent, alone.factor) == (exponent, factor)
