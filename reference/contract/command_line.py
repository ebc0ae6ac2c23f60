"""Command-line options that several rooms share, each with a default and a checked domain."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from reference.contract.arguments import DTYPES, ArgumentError, number, whole_number
from reference.contract.problem import DATA


def add_problem_options(parser: argparse.ArgumentParser, *, samples: int, depth: int) -> None:
    """Adds --data, --samples, --dimension, --depth and --seed."""
    group = parser.add_argument_group("problem")
    group.add_argument("--data", choices=DATA, default="digits", help="default: %(default)s")
    group.add_argument("--samples", type=whole(1), default=samples, metavar="N", help="n, default: %(default)s")
    group.add_argument(
        "--dimension", type=whole(1), default=64, metavar="D", help="d of the synthetic problem, default: %(default)s"
    )
    group.add_argument("--depth", type=whole(1), default=depth, metavar="L", help="hidden layers, default: %(default)s")
    group.add_argument(
        "--seed", type=whole(0, 2**63 - 1), default=0, help="chooses samples and weights, default: %(default)s"
    )


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """Adds --device, --dtype and --threads."""
    group = parser.add_argument_group("machine")
    group.add_argument("--device", default="cpu", help="a torch device, default: %(default)s")
    group.add_argument("--dtype", choices=DTYPES, default="float32", help="default: %(default)s")
    group.add_argument(
        "--threads", type=whole(1, 1024), default=None, metavar="N", help="CPU threads, default: torch's own choice"
    )


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """An argparse type: whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        try:
            value: Any = int(text)
        except ValueError:
            value = text
        return _for_argparse(whole_number, value, low, high)

    return parse


def real(low: float, high: float = float("inf")) -> Callable[[str], float]:
    """An argparse type: finite numbers from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            value: Any = float(text)
        except ValueError:
            value = text
        return _for_argparse(number, value, low, high)

    return parse


def run(parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace], int], argv: Sequence[str] | None) -> int:
    """Parses, runs, and turns bad arguments into one line on standard error and exit status 2."""
    options = parser.parse_args(argv)
    try:
        return main(options)
    except (ArgumentError, ModuleNotFoundError) as error:
        parser.error(str(error))


def _for_argparse(check: Callable[..., Any], value: Any, low: Any, high: Any) -> Any:
    try:
        return check("value", value, low, high)
    except ArgumentError as error:  # argparse prints the option's name itself
        raise argparse.ArgumentTypeError(str(error).removeprefix("value: ")) from None
