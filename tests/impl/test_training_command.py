"""`python -m impl`: trains, prints every iteration, and agrees with the oracle step by step."""

import re

import numpy as np
import pytest

import impl.__main__ as command
from properties.tolerances import bounds
from properties.tolerances.loss_bounds import loss_bounds
from properties.tolerances.replay import replay
from properties.tolerances.rounding import Arithmetic
from reference import Network, SolveError, load_problem

SMALL = ["--width", "64", "--samples", "4", "--iterations", "2"]
ROW = re.compile(r"^ *(\d+) +(\S+) +((?:\d+ )*\d+) +(\d+) +([\d.]+) ms(.*)$", re.MULTILINE)


def rows_of(printed):
    return [
        (int(number), float(loss), [int(count) for count in active.split()], int(dead), float(time))
        for number, loss, active, dead, time, _ in ROW.findall(printed)
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernels", ["compiled", "torch"])
def test_it_fits_real_data_within_ten_iterations(kernels, dtype, capsys):
    arguments = ["--width", "512", "--samples", "16", "--iterations", "10", "--kernels", kernels, "--dtype", dtype]
    assert command.main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"digits: n = 16, d = 64; m = 512, L = 2, {dtype} on cpu, 2 threads; initialization ")
    rows = rows_of(printed)
    assert [row[0] for row in rows] == list(range(10))
    assert rows[0][1] > 1.0
    for _, _, active, dead, time in rows:
        assert len(active) == 2
        assert all(0 < count < 512 for count in active)
        assert 0 <= dead < 16
        assert time > 0
    assert rows[-1][3] == 0
    last = printed.splitlines()[-1].split()
    assert last[0] == "end"
    assert float(last[1]) < 1e-6


class Recorded:
    """An implementation that keeps the network before each step, and the step's report."""

    def __init__(self, implementation, steps):
        self._implementation, self._steps = implementation, steps
        self.initialization, self.forward = implementation.initialization, implementation.forward

    def step(self, X, y, **options):
        before = self._implementation.to_network()
        report = self._implementation.step(X, y, **options)
        self._steps.append((before, self._implementation.to_network(), report, X, y, options))
        return report


@pytest.mark.parametrize("method", ["gauss_newton", "gradient_descent"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_step_by_step_it_agrees_with_the_oracle(dtype, method, capsys, monkeypatch):
    steps = []
    factory = command.factory
    monkeypatch.setattr(command, "factory", lambda *args, **options: Recorded(factory(*args, **options), steps))
    rate = "1.0" if method == "gauss_newton" else "0.001"
    arguments = ["--width", "256", "--samples", "12", "--iterations", "5", "--dtype", dtype]
    assert command.main([*arguments, "--method", method, "--learning-rate", rate, "--damping", "1"]) == 0
    printed = rows_of(capsys.readouterr().out)
    assert len(printed) == len(steps) == 5

    # Nothing is tuned: bounds are those of properties.tolerances, with the oracle started from the same weights, and
    # with the implementation's decision at units whose margin is inside the rounding band.
    arithmetic = Arithmetic(dtype)
    for (_, loss, _, dead, _), (before, after, report, X, y, options) in zip(printed, steps, strict=True):
        X, y = (array.astype(dtype).astype(np.float64) for array in (X, y))  # noqa: PLW2901  as the command computes
        before = Network([weight.astype(np.float64) for weight in before.weights], None, before.readout)  # noqa: PLW2901
        oracle = replay(before, X, arithmetic, factory(before, dtype=dtype).active_sets(X))
        squared = loss_bounds("squared", oracle.outputs, y, arithmetic)
        assert abs(report.loss - squared.value.value) <= squared.value.error
        assert loss == pytest.approx(report.loss, rel=1e-4)  # as many digits are printed
        assert dead == len(report.dead_samples)
        for counts, mask in zip(report.active_counts, oracle.masks, strict=True):
            np.testing.assert_array_equal(counts, mask.sum(axis=1))
        q = (
            bounds.gauss_newton_coefficients(
                bounds.gram(oracle, arithmetic), squared, options["learning_rate"], options["damping"], arithmetic, 0.0
            )
            if method == "gauss_newton"
            else arithmetic.scaled(squared.gradient, options["learning_rate"], arithmetic.roundoff)
        )
        assert q is not None
        for weight, bound in zip(after.weights, bounds.moved_weights(before, oracle, q, arithmetic), strict=True):
            assert (np.abs(weight - bound.value) <= bound.error).all()


@pytest.mark.parametrize("option", ["data", "activation", "b", "depth", "seed", "threads", "damping", "dimension"])
def test_every_option_has_its_effect(option, capsys):
    chosen = {
        "data": ["--data", "diabetes"],
        "activation": ["--activation", "thresholded_identity"],
        "b": ["--b", "0.1"],
        "depth": ["--depth", "3"],
        "seed": ["--seed", "1"],
        "threads": ["--threads", "1"],
        "damping": ["--damping", "10"],
        "dimension": ["--data", "synthetic", "--dimension", "5"],
    }[option]
    assert command.main(SMALL) == 0
    usual = capsys.readouterr().out
    assert command.main([*SMALL, *chosen]) == 0
    printed = capsys.readouterr().out
    if option == "threads":
        assert ", 1 threads;" in printed
        assert ", 2 threads;" in usual
    else:
        assert [row[:4] for row in rows_of(printed)] != [row[:4] for row in rows_of(usual)]


def test_a_dead_sample_and_a_singular_matrix_are_reported(capsys):
    assert command.main(["--width", "8", "--samples", "6", "--b", "2.5", "--damping", "0", "--iterations", "1"]) == 0
    printed = capsys.readouterr().out
    assert rows_of(printed)[0][3] > 0
    assert "Gram matrix singular to rounding at damping 0" in printed


def test_a_step_that_cannot_be_computed_ends_with_status_one(capsys, monkeypatch):
    def step(self, *arguments, **options):
        raise SolveError("update: expected finite new weights")

    monkeypatch.setattr("impl.implementation.SparseNetwork.step", step)
    assert command.main(SMALL) == 1
    assert capsys.readouterr().err == "stopped: update: expected finite new weights\n"


def test_training_that_diverges_ends_with_status_one_and_says_why(capsys):
    diverging = ["--method", "gradient_descent", "--learning-rate", "1e30", "--iterations", "9"]
    assert command.main([*SMALL, *diverging]) == 1
    assert capsys.readouterr().err.startswith("stopped: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "mnist"], "argument --data: invalid choice: 'mnist'"),
        (["--samples", "0"], "argument --samples: expected a whole number of at least 1, got 0"),
        (["--samples", "1798"], "samples: expected at most 1797 for digits, got 1798"),
        (["--data", "diabetes", "--samples", "443"], "samples: expected at most 442 for diabetes, got 443"),
        (["--data", "synthetic", "--samples", "9" * 12], "samples: expected a size that fits the memory ("),
        (["--data", "synthetic", "--dimension", "0"], "argument --dimension: expected a whole number of at least 1"),
        (["--depth", "9" * 12], "width and depth: expected a size that fits the memory ("),
        (["--depth", "0"], "argument --depth: expected a whole number of at least 1, got 0"),
        (
            ["--seed", "-1"],
            "argument --seed: expected a whole number of at least 0 and at most 9223372036854775807",
        ),
        (["--seed", "9" * 30], "argument --seed: expected a whole number of at least 0 and at most"),
        (["--device", "abacus"], "device: expected a device that torch can use here, got 'abacus' ("),
        (["--device", "meta"], "device: expected a device that stores numbers, got 'meta'"),
        (["--dtype", "float16"], "argument --dtype: invalid choice: 'float16'"),
        (["--threads", "0"], "argument --threads: expected a whole number of at least 1 and at most 1024, got 0"),
        (["--width", "0"], "argument --width: expected a whole number of at least 1, got 0"),
        (["--width", "1e3"], "argument --width: expected a whole number of at least 1, got '1e3'"),
        (["--width", "10000000"], "width and depth: expected a size that fits the memory ("),
        (["--width", "9" * 30], "width and depth: expected a size that fits the memory ("),
        (["--iterations", "0"], "argument --iterations: expected a whole number of at least 1, got 0"),
        (["--method", "newton"], "argument --method: invalid choice: 'newton'"),
        (["--learning-rate", "-1"], "argument --learning-rate: expected a finite number of at least 0, got -1.0"),
        (["--learning-rate", "fast"], "argument --learning-rate: expected a finite number of at least 0, got 'fast'"),
        (["--damping", "nan"], "argument --damping: expected a finite number of at least 0, got nan"),
        (["--activation", "relu"], "argument --activation: invalid choice: 'relu'"),
        (["--b", "31"], "argument --b: expected a finite number of at least -1e+06 and at most 30, got 31.0"),
        (["--b", "30"], "activation.b: expected a threshold whose scale is finite in torch.float32, got 30 (scale "),
        (["--kernels", "fast"], "argument --kernels: invalid choice: 'fast'"),
        (["--storage", "float16"], "argument --storage: invalid choice: 'float16'"),
        (["--storage", "bfloat16"], "weights: expected lazy, with maintenance keep or recompress, with storage='bf"),
        (["--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_a_bad_argument_ends_with_status_two_and_one_message(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main([*SMALL, *arguments])
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1].startswith(f"python -m impl: error: {message}")
    assert captured.out == ""


def test_compiled_kernels_without_numba_are_refused_by_name(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stopped:
        command.main([*SMALL, "--data", "synthetic", "--kernels", "compiled"])
    assert stopped.value.code == 2
    assert "kernels: expected torch, since compiled kernels need a CPU device and numba" in capsys.readouterr().err


def test_the_printed_loss_at_the_end_is_that_of_the_trained_network(capsys, monkeypatch):
    steps = []
    factory = command.factory
    monkeypatch.setattr(command, "factory", lambda *args, **options: Recorded(factory(*args, **options), steps))
    assert command.main([*SMALL, "--dtype", "float64", "--damping", "1"]) == 0
    problem = load_problem("digits", 4)
    outputs = factory(steps[-1][1], dtype="float64").forward(problem.X)
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert float(last[1]) == pytest.approx(0.5 * ((outputs - problem.y) ** 2).sum(), rel=1e-4)


@pytest.mark.parametrize(
    "choice",
    [
        ["--weights", "lazy"],
        ["--weights", "lazy", "--maintenance", "keep"],
        ["--solver", "cg"],
        ["--solver", "sketched-cg"],
    ],
)
@pytest.mark.parametrize("batch", [[], ["--batch", "3"]])
def test_every_choice_prints_the_losses_of_the_default(choice, batch, capsys):
    small = ["--data", "synthetic", "--samples", "6", "--width", "32", "--iterations", "4", "--dtype", "float64"]
    small += ["--loss", "logistic", "--damping", "1", "--b", "0", *batch]
    losses = []
    for options in ([], choice):
        assert command.main([*small, *options]) == 0
        losses.append([line.split()[1] for line in capsys.readouterr().out.splitlines()[2:]])
    assert len(losses[0]) == 5
    assert losses[0] == losses[1]


def test_a_narrower_storage_trains_the_rounded_network(capsys):
    options = ["--weights", "lazy", "--maintenance", "keep", "--storage", "bfloat16", "--samples", "8"]
    assert command.main(["--width", "256", "--iterations", "10", "--b", "0.5", *options]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert rows[-1][1] < 1e-4 * rows[0][1]
