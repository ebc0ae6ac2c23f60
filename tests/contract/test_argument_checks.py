"""The checks of arguments: what they return, and messages that name the argument, what was expected, what came."""

import math
import re

import numpy as np
import pytest
import torch

from reference.contract import ArgumentError, targets
from reference.contract.arguments import affordable, array, dtype_name, number, one_of, whole_number


def refused(argument, expected, got):
    return pytest.raises(ArgumentError, match=f"^{re.escape(f'{argument}: expected {expected}, got {got}')}$")


def test_the_error_is_a_value_error_that_knows_the_argument():
    error = ArgumentError("width", "more", "less")
    assert isinstance(error, ValueError)
    assert error.argument == "width"
    assert str(error) == "width: expected more, got less"


@pytest.mark.parametrize("value", ["cubic", "", None, 3, ["squared"]])
def test_a_name_that_is_not_known(value):
    with refused("loss", "one of squared, absolute", repr(value)):
        one_of("loss", value, ("squared", "absolute"))
    assert one_of("loss", "absolute", ("squared", "absolute")) == "absolute"


@pytest.mark.parametrize("value", ["float32", np.float32, np.dtype("float32"), torch.float32, "torch.float32"])
def test_a_dtype_may_be_given_in_every_usual_form(value):
    assert dtype_name("dtype", value) == "float32"


@pytest.mark.parametrize(
    ("value", "got"),
    [("half", "'half'"), (np.int8, "'int8'"), (torch.float16, "'float16'"), (None, "'None'"), (3, "'3'"), (int, None)],
)
def test_another_dtype_is_refused(value, got):
    with refused("dtype", "one of float32, float64", got or f"'{np.dtype(int).name}'"):
        dtype_name("dtype", value)


@pytest.mark.parametrize("value", [0, -1, 1.0, 1.5, "3", None, True, math.nan, np.float64(2), np.array([2])])
def test_a_number_that_is_not_whole_or_too_small(value):
    with refused("samples", "a whole number of at least 1", repr(value)):
        whole_number("samples", value, 1)


def test_a_whole_number_within_its_range_is_returned_as_int():
    with refused("threads", "a whole number of at least 1 and at most 8", "9"):
        whole_number("threads", 9, 1, 8)
    assert type(whole_number("threads", np.uint8(8), 1, 8)) is int


@pytest.mark.parametrize("value", [-1e-300, math.nan, math.inf, -math.inf, "1", None, True, [1.0], 1j, 10**400, "x"])
def test_a_number_that_is_not_finite_or_outside_its_range(value):
    with refused("damping", "a finite number of at least 0", repr(value)):
        number("damping", value, 0.0)


def test_a_number_is_returned_as_float():
    assert type(number("damping", np.float32(0.5), 0.0)) is float
    assert number("damping", 0, 0.0) == 0.0
    with refused("activation.b", "a finite number of at least -1 and at most 2", "2.5"):
        number("activation.b", 2.5, -1.0, 2.0)


@pytest.mark.parametrize(
    ("value", "expected", "got"),
    [
        (None, "an array of shape (≥1, 2)", "None"),
        ([[1.0, 2.0], [3.0]], "an array of shape (≥1, 2)", "list"),
        (np.zeros((0, 2)), "shape (≥1, 2)", "shape (0, 2)"),
        ([], "shape (≥1, 2)", "shape (0,)"),
        (np.zeros((3, 3)), "shape (≥1, 2)", "shape (3, 3)"),
        (np.zeros(2), "shape (≥1, 2)", "shape (2,)"),
        (np.zeros((1, 2, 1)), "shape (≥1, 2)", "shape (1, 2, 1)"),
        (1.0, "shape (≥1, 2)", "shape ()"),
        (np.zeros((1, 2), complex), "an array of real numbers", "dtype complex128"),
        (np.zeros((1, 2), bool), "an array of real numbers", "dtype bool"),
        ([["a", "b"]], "an array of real numbers", "dtype <U1"),
        ([[None, 1.0]], "an array of real numbers", "dtype object"),
        ({"a": 1}, "an array of real numbers", "dtype object"),
        ([[1.0, math.nan]], "values finite in float64", "nan at index (0, 1)"),
        ([[1.0, 2.0], [-math.inf, 2.0]], "values finite in float64", "-inf at index (1, 0)"),
    ],
)
def test_an_array_of_another_shape_kind_or_range(value, expected, got):
    with pytest.raises(ArgumentError, match=f"^{re.escape(f'X: expected {expected}, got {got}')}"):
        array("X", value, (None, 2))


def test_an_array_that_overflows_the_dtype_is_refused():
    with refused("X", "values finite in float32", "inf at index (1,)"):
        array("X", [1.0, 1e39], (2,), "float32")


def test_an_array_comes_back_contiguous_in_its_dtype():
    given = np.arange(6, dtype=np.float32).reshape(2, 3).T
    result = array("X", given, (3, 2))
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, given)
    assert array("X", [[1, 2]], (None, None)).dtype == np.float64
    assert array("X", np.zeros((1, 1), np.float16), (1, 1)).dtype == np.float64
    assert array("X", torch.zeros(2, 1), (2, 1), "float64").dtype == np.float64
    as_it_is = np.zeros((2, 2))
    assert array("X", as_it_is, (2, 2)) is as_it_is


def test_targets_may_be_a_vector_where_there_is_one_output():
    np.testing.assert_array_equal(targets("y", [1, 2], 2, 1, "float64"), [[1.0], [2.0]])
    np.testing.assert_array_equal(targets("y", [[1], [2]], 2, 1, "float32"), [[1.0], [2.0]])
    with refused("y", "shape (3)", "shape (2,)"):
        targets("y", [1, 2], 3, 1, "float64")
    with refused("y", "shape (2, 2)", "shape (2,)"):
        targets("y", [1, 2], 2, 2, "float64")
    with refused("y", "shape (2, 1)", "shape (1, 2)"):
        targets("y", [[1, 2]], 2, 1, "float64")
    with refused("y", "an array of shape (2, 1)", "None"):
        targets("y", None, 2, 1, "float64")
    with pytest.raises(ArgumentError, match=r"^y: expected an array of shape \(2, 1\), got list"):
        targets("y", [[1.0, 2.0], [3.0]], 2, 1, "float64")


def test_what_exceeds_the_memory_is_refused_in_gibibytes():
    affordable("network", 2**30, 2**30)
    with refused("network", "a size that fits the memory (1.0 GiB)", "one that takes 1.5 GiB"):
        affordable("network", 3 * 2**29, 2**30)
    with pytest.raises(ArgumentError, match="got one that takes 1073741824"):
        affordable("network", 2**60)


def test_where_the_memory_is_unknown_nothing_is_refused(monkeypatch):
    monkeypatch.delattr("os.sysconf")
    affordable("network", 2**60)
