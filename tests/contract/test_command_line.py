"""Command-line options: domains, defaults, and one line on standard error with exit status 2."""

import argparse

import pytest

from reference.contract import ArgumentError
from reference.contract.command_line import add_machine_options, add_problem_options, real, run, whole


def parser():
    built = argparse.ArgumentParser(prog="program")
    add_problem_options(built, samples=5, depth=2)
    add_machine_options(built)
    return built


def test_the_options_have_defaults():
    options = vars(parser().parse_args([]))
    assert options == {
        "data": "digits",
        "samples": 5,
        "dimension": 64,
        "depth": 2,
        "seed": 0,
        "device": "cpu",
        "dtype": "float32",
        "threads": None,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "expected a whole number of at least 1 and at most 9, got 0"),
        ("10", "expected a whole number of at least 1 and at most 9, got 10"),
        ("2.5", "expected a whole number of at least 1 and at most 9, got '2.5'"),
        ("two", "expected a whole number of at least 1 and at most 9, got 'two'"),
        ("", "expected a whole number of at least 1 and at most 9, got ''"),
        ("9" * 5000, "expected a whole number of at least 1 and at most 9, got "),
    ],
)
def test_a_text_that_is_no_whole_number_in_the_range(text, message):
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        whole(1, 9)(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-1", "expected a finite number of at least 0 and at most 2, got -1.0"),
        ("2.1", "expected a finite number of at least 0 and at most 2, got 2.1"),
        ("nan", "expected a finite number of at least 0 and at most 2, got nan"),
        ("inf", "expected a finite number of at least 0 and at most 2, got inf"),
        ("1e", "expected a finite number of at least 0 and at most 2, got '1e'"),
    ],
)
def test_a_text_that_is_no_number_in_the_range(text, message):
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        real(0.0, 2.0)(text)
    assert str(caught.value) == message


def test_numbers_in_the_range_are_converted():
    assert whole(1, 9)("9") == 9
    assert real(0.0)("1e-6") == 1e-6


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--data", "mnist"], "argument --data: invalid choice: 'mnist'"),
        (["--samples", "0"], "argument --samples: expected a whole number of at least 1, got 0"),
        (["--samples", "many"], "argument --samples: expected a whole number of at least 1, got 'many'"),
        (["--dimension", "-3"], "argument --dimension: expected a whole number of at least 1, got -3"),
        (["--depth", "0"], "argument --depth: expected a whole number of at least 1, got 0"),
        (
            ["--seed", "-1"],
            "argument --seed: expected a whole number of at least 0 and at most 9223372036854775807",
        ),
        (["--dtype", "float16"], "argument --dtype: invalid choice: 'float16'"),
        (["--threads", "0"], "argument --threads: expected a whole number of at least 1 and at most 1024, got 0"),
        (["--threads", "1025"], "argument --threads: expected a whole number of at least 1 and at most 1024, got 1025"),
        (["--unknown"], "unrecognized arguments: --unknown"),
        (["--samples"], "argument --samples: expected one argument"),
    ],
)
def test_a_bad_option_ends_with_status_two_and_one_line(argv, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(parser(), lambda options: pytest.fail("it ran"), argv)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"program: error: {message}")


@pytest.mark.parametrize("error", [ArgumentError("width", "less", "more"), ModuleNotFoundError("no module here")])
def test_what_the_command_refuses_later_ends_in_the_same_way(error, capsys):
    def refuse(options):
        raise error

    with pytest.raises(SystemExit) as stopped:
        run(parser(), refuse, [])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"program: error: {error}"


def test_the_status_is_that_of_the_command():
    assert run(parser(), lambda options: options.samples, ["--samples", "7"]) == 7
