"""Options that several subcommands share; nothing here needs a package of the extras."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

import torch

from benchmarks.learning_rate import STABLE
from reference.contract import METHODS, ArgumentError
from reference.contract.command_line import real

INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C

Item = TypeVar("Item")


def listed(parse: Callable[[str], Item]) -> Callable[[str], tuple[Item, ...]]:
    """An argparse type: items with commas between them."""
    return lambda text: tuple(parse(part.strip()) for part in text.removesuffix(",").split(","))


def usable_device(name: str) -> str:
    """The name of a torch device that is there.

    Raises:
        ArgumentError: for another.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ArgumentError("device", "a device that torch can use here", f"{name!r} ({error})") from None
    return str(device)


def add_method_options(group: argparse._ArgumentGroup) -> None:
    """Adds --method and --learning-rate."""
    group.add_argument("--method", choices=METHODS, default="gauss_newton", help="of the steps, default: %(default)s")
    group.add_argument(
        "--learning-rate",
        type=lambda text: text if text == STABLE else real(0.0)(text),
        default=0.3,
        metavar="ETA",
        help=f"default: %(default)s; {STABLE!r}, with gradient_descent: 1.9/λ_max of the Gram matrix at the initial "
        "weights of every width",
    )
