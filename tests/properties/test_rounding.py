"""The bounds hold for float32 arithmetic in every order, and are not vacuous."""

import numpy as np
import pytest

from properties.cases.case import Case
from properties.runner.compare import Mismatch, assert_close
from properties.tolerances import bounds
from properties.tolerances.loss_bounds import loss_bounds
from properties.tolerances.replay import replay
from properties.tolerances.rounding import Arithmetic, Bounded, exact


@pytest.mark.parametrize("order", ["forward", "backward", "by magnitude"])
def test_a_float32_sum_stays_within_its_bound_in_every_order(order):
    generator = np.random.default_rng(0)
    arithmetic = Arithmetic("float32")
    for terms in (1, 2, 10, 300):
        a, b = generator.standard_normal((2, terms)).astype(np.float32)
        index = {
            "forward": np.arange(terms),
            "backward": np.arange(terms)[::-1],
            "by magnitude": np.argsort(abs(a * b)),
        }
        total = np.float32(0)
        for i in index[order]:
            total = np.float32(total + a[i] * b[i])
        expected = arithmetic.product(exact(a[None]), exact(b[:, None]), terms)
        assert_close("sum", ("row", "column"), np.array([[total]]), expected)


def test_a_bound_is_of_the_order_of_rounding():
    case = Case(widths=(64, 64), samples=4, dtype="float32", b=None)
    oracle = replay(case.network, case.X.astype(float), Arithmetic("float32"))
    assert np.all(oracle.outputs.error < 1e-3)
    gram = bounds.gram(oracle, Arithmetic("float32"))
    assert np.all(gram.error <= 2e-4 * np.abs(gram.value).max())


def test_errors_of_the_factors_reach_the_product():
    arithmetic = Arithmetic("float64")
    off = Bounded(np.array([[1.0, 2.0]]), np.array([[0.5, 0.0]]))
    product = arithmetic.product(off, exact(np.array([[3.0], [4.0]])), 2)
    assert product.error[0, 0] == pytest.approx(1.5, rel=1e-12)


def test_no_bound_is_claimed_for_a_system_that_rounding_makes_singular():
    matrix = exact(np.ones((2, 2)))
    arithmetic = Arithmetic("float64")
    loss = loss_bounds("squared", exact(np.array([[1.0], [-1.0]])), np.zeros((2, 1)), arithmetic)
    assert bounds.gauss_newton_coefficients(matrix, loss, 1.0, 1e-30, arithmetic, 0.0) is None
    assert bounds.gauss_newton_coefficients(matrix, loss, 1.0, 1e-2, arithmetic, 0.0) is not None


def test_a_nan_is_a_mismatch():
    with pytest.raises(Mismatch, match="1 of 2 elements off; worst at unit 1"):
        assert_close("thing", ("unit",), np.array([1.0, np.nan]), exact(np.array([1.0, 1.0])))
