"""`python -m benchmarks choices`: which choice of weights, solver and Gram matrix is the fastest, where."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from benchmarks.choices.analysis import analyse
from benchmarks.choices.comparison import gram_comparison, solver_comparison, weights_comparison
from benchmarks.choices.files import write
from benchmarks.choices.rounds import Plan, compare
from benchmarks.choices.tables import print_tables
from benchmarks.commands.options import INTERRUPTED, listed, usable_device
from benchmarks.commands.terminal import output_console, progress_bar
from benchmarks.environment import environment
from benchmarks.files import check_folder
from reference.contract import SolveError
from reference.contract.command_line import add_machine_options, real, whole
from reference.contract.network import HIGHEST_B, LOWEST_B

WIDTHS = (1024, 2048, 4096)
THRESHOLDS = (None, 0.5)
DEFAULT_THRESHOLD = "default"

Item = TypeVar("Item")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    group = parser.add_argument_group("problem")
    _add_list(group, "--widths", whole(1), WIDTHS, "M,M,…", "of the weights and the Gram comparison")
    _add_list(group, "--samples", whole(1), (32,), "N,N,…", "of the weights comparison")
    _add_list(group, "--gram-samples", whole(1), (32, 256), "N,N,…", "of the Gram comparison")
    _add_list(group, "--solver-samples", whole(1), (32, 256, 1024), "N,N,…", "of the solver comparison")
    group.add_argument(
        "--solver-width",
        type=whole(1),
        default=4096,
        metavar="M",
        help="of the solver comparison, default: %(default)s",
    )
    _add_list(
        group, "--b", _threshold, THRESHOLDS, "B,B,…", f"of the weights comparison; {DEFAULT_THRESHOLD}: √(0.4 ln m)"
    )
    group.add_argument(
        "--depth", type=whole(1), default=3, metavar="L", help="hidden layers, at most 2 beyond weights, default: 3"
    )
    group.add_argument(
        "--seed", type=whole(0, 2**63 - 1), default=0, help="chooses samples, weights and order, default: %(default)s"
    )
    add_machine_options(parser)
    group = parser.add_argument_group("comparison")
    group.add_argument(
        "--window", type=whole(1), default=32, metavar="T", help="iterations timed together, default: %(default)s"
    )
    group.add_argument("--rounds", type=whole(2), default=3, metavar="N", help="default: %(default)s")
    group.add_argument("--learning-rate", type=real(0.0), default=0.3, metavar="ETA", help="default: %(default)s")
    group.add_argument("--out", default="results", metavar="FOLDER", help="default: %(default)s")


def main(options: argparse.Namespace) -> int:
    """Runs it.

    Returns:
        0; 1 where a step fails or choices disagree; 130 after Ctrl-C.

    Raises:
        ArgumentError: for bad options that argparse cannot see.
    """
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    widths, depth, dtype = _merged(options.widths), options.depth, options.dtype
    plan = Plan(
        comparisons=(
            weights_comparison(widths, _merged(options.samples), _merged(options.b), depth, options.window, dtype),
            solver_comparison(options.solver_width, _merged(options.solver_samples), depth, dtype),
            gram_comparison(widths, _merged(options.gram_samples), depth, dtype),
        ),
        rounds=options.rounds,
        learning_rate=options.learning_rate,
        seed=options.seed,
        device=usable_device(options.device),
        dtype=dtype,
    )
    folder = check_folder(options.out)
    conditions = environment(plan.device)
    try:
        with progress_bar() as progress:
            outcome = compare(plan, progress)
    except KeyboardInterrupt:
        print("interrupted before the first round was complete: nothing to report", file=sys.stderr)
        return INTERRUPTED
    except SolveError as error:
        print(f"a step failed: {error}", file=sys.stderr)
        return 1
    document = analyse(outcome, conditions)
    paths = write(document, outcome, folder)
    print_tables(document, output_console())
    print("written: " + ", ".join(map(str, paths)))
    if outcome.interrupted:
        return INTERRUPTED
    settings = [setting for comparison in document["comparisons"].values() for setting in comparison["settings"]]
    entries = [entry for setting in settings for entry in setting["choices"].values()]
    return 0 if all(entry["agreement"]["agrees"] for entry in entries) else 1


def _add_list(
    group: argparse._ArgumentGroup,
    option: str,
    parse: Callable[[str], Item],
    default: tuple[Item, ...],
    metavar: str,
    what: str,
) -> None:
    shown = ",".join(DEFAULT_THRESHOLD if item is None else str(item) for item in default)
    group.add_argument(
        option, type=listed(parse), nargs="+", default=(default,), metavar=metavar, help=f"{what}, default: {shown}"
    )


def _threshold(text: str) -> float | None:
    return None if text == DEFAULT_THRESHOLD else real(LOWEST_B, HIGHEST_B)(text)


def _merged(groups: Sequence[tuple[Item, ...]]) -> tuple[Item, ...]:
    """Without repetitions, in the order given."""
    return tuple(dict.fromkeys(item for group in groups for item in group))
