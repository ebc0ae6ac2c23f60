"""Networks, activations, problems and reports: what their constructors refuse, and what they hold."""

import re
import sys
import tracemalloc

import numpy as np
import pytest

from reference import (
    ACTIVATIONS,
    Activation,
    ArgumentError,
    LayerWork,
    Network,
    PhaseWork,
    load_problem,
    random_network,
)

W1, W2, A = np.ones((4, 3)), np.ones((5, 4)), np.ones((2, 5))


def refused(message):
    return pytest.raises(ArgumentError, match=f"^{re.escape(message)}")


def test_a_network_holds_what_it_was_given():
    network = Network([W1, W2], [np.zeros(4), np.zeros(5)], A, "thresholded_identity")
    assert network.widths == (3, 4, 5)
    assert (network.depth, network.outputs) == (2, 2)
    assert network.activation == Activation("thresholded_identity", None)
    assert network.weights[0] is W1


def test_a_network_takes_lists_and_integers_as_float64():
    network = Network([[[1, 2]]], None, [[1]])
    assert network.weights[0].dtype == np.float64
    assert network.activation == Activation("shifted_relu", None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": []}, "weights: expected a sequence of at least one matrix, got list []"),
        ({"weights": W1}, "weights: expected a sequence of at least one matrix, got ndarray"),
        ({"weights": None}, "weights: expected a sequence of at least one matrix, got NoneType None"),
        ({"weights": [W1, W1]}, "weights[1] (layer 2): expected shape (≥1, 4), got shape (4, 3)"),
        ({"weights": [W1[0]]}, "weights[0] (layer 1): expected shape (≥1, ≥1), got shape (3,)"),
        ({"weights": [np.ones((0, 3))]}, "weights[0] (layer 1): expected shape (≥1, ≥1), got shape (0, 3)"),
        ({"weights": [np.ones((4, 0))]}, "weights[0] (layer 1): expected shape (≥1, ≥1), got shape (4, 0)"),
        ({"weights": [W1 * np.nan, W2]}, "weights[0] (layer 1): expected values finite in float64, got nan at index"),
        ({"weights": [W1, W2 * 1j]}, "weights[1] (layer 2): expected an array of real numbers, got dtype complex128"),
        ({"weights": [W1, "W2"]}, "weights[1] (layer 2): expected an array of real numbers, got dtype <U2"),
        ({"readout": None}, "readout: expected an array of shape (≥1, 5), got None"),
        ({"readout": A.T}, "readout: expected shape (≥1, 5), got shape (5, 2)"),
        ({"readout": A[0]}, "readout: expected shape (≥1, 5), got shape (5,)"),
        ({"readout": A[:0]}, "readout: expected shape (≥1, 5), got shape (0, 5)"),
        ({"readout": A * np.nan}, "readout: expected values finite in float64, got nan at index (0, 0)"),
        ({"biases": []}, "biases: expected a sequence of 2 vectors, one a layer, got 0"),
        ({"biases": 3}, "biases: expected a sequence of 2 vectors, one a layer, got int 3"),
        ({"biases": [np.zeros(4)]}, "biases: expected a sequence of 2 vectors, one a layer, got 1"),
        ({"biases": [np.zeros(4), np.zeros(4)]}, "biases[1] (layer 2): expected shape (5), got shape (4,)"),
        ({"biases": [np.zeros(4), None]}, "biases[1] (layer 2): expected an array of shape (5), got None"),
        ({"biases": [np.full(4, np.inf), np.zeros(5)]}, "biases[0] (layer 1): expected values finite in float64"),
        ({"activation": "relu"}, "activation.kind: expected one of shifted_relu, thresholded_identity, got 'relu'"),
        ({"activation": ("shifted_relu", 31)}, "activation.b: expected a finite number of at least -1e+06 and at most"),
        ({"activation": ("shifted_relu", np.nan)}, "activation.b: expected a finite number"),
        ({"activation": ("shifted_relu", "1")}, "activation.b: expected a finite number"),
        ({"activation": None}, "activation: expected an Activation, a pair (kind, b) or a kind, got None"),
        ({"activation": ("shifted_relu",)}, "activation: expected an Activation, a pair (kind, b) or a kind, got ("),
        ({"activation": (None, 1.0)}, "activation.kind: expected one of shifted_relu, thresholded_identity, got None"),
    ],
)
def test_a_network_that_does_not_fit_together_is_refused(arguments, message):
    with refused(message):
        Network(**{"weights": [W1, W2], "biases": None, "readout": A} | arguments)


def test_the_names_of_activations_are_those_of_the_method():
    assert ACTIVATIONS == ("shifted_relu", "thresholded_identity")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_dimension": 0}, "input_dimension: expected a whole number of at least 1, got 0"),
        ({"input_dimension": 2.0}, "input_dimension: expected a whole number of at least 1, got 2.0"),
        ({"widths": ()}, "widths: expected a sequence of at least one width, got ()"),
        ({"widths": 8}, "widths: expected a sequence of at least one width, got 8"),
        ({"widths": "88"}, "widths: expected a sequence of at least one width, got '88'"),
        ({"widths": (8, 0)}, "widths[1]: expected a whole number of at least 1, got 0"),
        ({"widths": (8, None)}, "widths[1]: expected a whole number of at least 1, got None"),
        ({"outputs": 0}, "outputs: expected a whole number of at least 1, got 0"),
        ({"outputs": True}, "outputs: expected a whole number of at least 1, got True"),
        ({"activation": "relu"}, "activation.kind: expected one of"),
        ({"seed": -1}, "seed: expected a whole number of at least 0, got -1"),
        ({"seed": None}, "seed: expected a whole number of at least 0, got None"),
        ({"dtype": "float16"}, "dtype: expected one of float32, float64, got 'float16'"),
        ({"widths": (10**7, 10**7)}, "widths: expected a size that fits the memory ("),
        ({"input_dimension": 10**16}, "widths: expected a size that fits the memory ("),
        ({"outputs": 10**15}, "outputs: expected a size that fits the memory ("),
    ],
)
def test_a_random_network_refuses_bad_arguments_and_allocates_nothing(arguments, message):
    tracemalloc.start()
    try:
        with refused(message):
            random_network(**{"input_dimension": 3, "widths": (8, 8)} | arguments)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("name", "dimension"), [("digits", 64), ("diabetes", 10), ("synthetic", 64)])
def test_a_problem_has_rows_of_unit_norm_and_one_target_a_sample(name, dimension):
    problem = load_problem(name, 20, seed=3)
    assert (problem.name, problem.X.shape, problem.y.shape) == (name, (20, dimension), (20, 1))
    np.testing.assert_allclose(np.linalg.norm(problem.X, axis=1), 1.0, rtol=1e-14)
    assert len(np.unique(problem.X, axis=0)) == 20
    np.testing.assert_array_equal(problem.X, load_problem(name, 20, seed=3).X)
    assert not np.array_equal(problem.X, load_problem(name, 20, seed=4).X)


def test_all_samples_of_the_data_can_be_had_and_no_more():
    assert set(np.unique(load_problem("digits", 1797).y)) == {-1.0, 1.0}
    y = load_problem("diabetes", 442).y
    assert (abs(y.mean()), y.std()) == (pytest.approx(0.0, abs=1e-12), pytest.approx(1.0))
    with refused("samples: expected at most 1797 for digits, got 1798"):
        load_problem("digits", 1798)
    with refused("samples: expected at most 442 for diabetes, got 443"):
        load_problem("diabetes", 443)


@pytest.mark.parametrize("name", ["digits", "synthetic"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "mnist"}, "data: expected one of digits, diabetes, synthetic, got 'mnist'"),
        ({"name": None}, "data: expected one of digits, diabetes, synthetic, got None"),
        ({"samples": 0}, "samples: expected a whole number of at least 1, got 0"),
        ({"samples": 4.0}, "samples: expected a whole number of at least 1, got 4.0"),
        ({"seed": -1}, "seed: expected a whole number of at least 0, got -1"),
        ({"seed": 1.5}, "seed: expected a whole number of at least 0, got 1.5"),
    ],
)
def test_a_problem_refuses_bad_arguments(name, arguments, message):
    with refused(message):
        load_problem(**{"name": name, "samples": 4} | arguments)


def test_the_synthetic_problem_refuses_a_dimension_that_cannot_be():
    assert load_problem("synthetic", 3, dimension=2).X.shape == (3, 2)
    with refused("dimension: expected a whole number of at least 1, got 0"):
        load_problem("synthetic", 3, dimension=0)
    with refused("samples: expected a size that fits the memory"):
        load_problem("synthetic", 10**9, dimension=10**6)


def test_without_scikit_learn_the_message_says_how_to_get_the_data(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ModuleNotFoundError, match=r"the digits data come with scikit-learn: pip install"):
        load_problem("digits", 4)
    assert load_problem("synthetic", 4).X.shape == (4, 64)


def test_the_work_of_a_phase_is_summed_over_its_layers():
    work = PhaseWork({0: LayerWork(1, 10), 2: LayerWork(5, 50)})
    assert (work.multiply_adds, work.bytes) == (6, 60)
    assert (PhaseWork().multiply_adds, PhaseWork().bytes) == (0, 0)
