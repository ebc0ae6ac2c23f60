"""The array annotations of the four packages are checked while the tests run."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch

import reference
from impl.backward import left_factors
from impl.loss import SquaredLoss
from impl.support import Support
from impl.weights import EagerWeights
from properties.tolerances.rounding import Bounded
from reference.forward import Trace
from reference.loss import gradient
from tests.array_annotations import names_an_array
from tests.compiled import COMPILED

ROOT = Path(__file__).resolve().parent.parent
Wrong = jaxtyping.TypeCheckError


def test_shapes_that_do_not_fit_together_are_caught_in_the_oracle():
    with pytest.raises(Wrong, match="parameter 'y'"):
        gradient("squared", np.zeros((3, 1)), np.zeros((3, 2)))
    assert gradient("squared", np.zeros((3, 1)), np.zeros((3, 1))).shape == (3, 1)


def test_a_wrong_number_of_axes_or_kind_of_number_is_caught_in_the_implementation():
    with pytest.raises(Wrong, match="parameter 'y'"):
        SquaredLoss().gradient(torch.zeros(3, 1), torch.zeros(3))
    with pytest.raises(Wrong, match="parameter 'y'"):
        SquaredLoss().gradient(torch.zeros(3, 1), torch.zeros(3, 1, dtype=torch.int64))


def test_a_field_of_a_dataclass_is_caught():
    with pytest.raises(Wrong, match="units"):
        Support(
            torch.zeros(2, dtype=torch.int32), torch.zeros(3, dtype=torch.int32), torch.zeros(4, dtype=torch.int32), 5
        )
    with pytest.raises(Wrong, match="outputs"):
        Trace([np.zeros((2, 3))], [], [], np.zeros((4, 1)))


def test_a_result_of_the_wrong_shape_is_caught(monkeypatch):
    monkeypatch.setattr("reference.implementation.gram", lambda left, right: np.zeros((3, 4)))
    oracle = reference.factory(reference.random_network(3, (4,)))
    with pytest.raises(Wrong, match=r"return value\s+of reference.implementation.Reference._gram"):
        oracle.gram(np.ones((3, 3)))


def test_what_a_caller_hands_in_is_left_to_the_checks_of_arguments():
    oracle = reference.factory(reference.random_network(3, (4,)))
    assert oracle.forward([[1, 2, 3]]).shape == (1, 1)
    with pytest.raises(reference.ArgumentError, match="X: expected shape"):
        oracle.forward(np.ones(3))


@pytest.mark.parametrize(
    "function", [left_factors, EagerWeights.apply, EagerWeights.plan_update, Bounded.__init__, gradient]
)
def test_a_function_with_array_annotations_is_wrapped(function):
    assert inspect.unwrap(function) is not function


def test_functions_that_numba_compiles_are_left_alone():
    functions = {
        "impl.kernels.loops": "gather",
        "impl.kernels.factor_loops": "project",
        "impl.kernels.meeting_loops": "list_meetings",
        "impl.certified.addresses": "vector",
        "impl.certified.append_loops": "append_column",
        "impl.certified.collect_loops": "collect",
        "impl.certified.combine_loops": "combine",
        "impl.certified.course_loops": "course",
        "impl.certified.layer_table": "known_at",
        "impl.certified.loops": "screen",
        "impl.certified.rescreen_loops": "rescreened_rows",
        "impl.certified.rest_loops": "set_to_rest",
        "impl.certified.row_loops": "advance",
        "impl.certified.transposed_loops": "transpose_sample",
    }
    assert {*functions, "impl.kernels.stored"} == set(COMPILED)  # which has what the loops of the first call
    for module, function in functions.items():
        assert hasattr(getattr(importlib.import_module(module), function), "py_func")


def test_arrays_are_recognized_inside_other_annotations():
    array = jaxtyping.Float[np.ndarray, "n d"]
    assert names_an_array(list[tuple[array, int]])
    assert names_an_array(array | None)
    assert not names_an_array(list[tuple[str, int]])


def test_without_jaxtyping_the_annotations_are_documentation_only():
    program = (
        "import sys; sys.modules['jaxtyping'] = None\n"
        "import impl, reference\n"
        "network = reference.random_network(3, (4,))\n"
        "print(*(factory(network).forward([[1, 2, 3]]).shape for factory in (reference.factory, impl.factory)))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert finished.stdout == "(1, 1) (1, 1)\n"
