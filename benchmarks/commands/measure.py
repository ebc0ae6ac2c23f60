"""`python -m benchmarks measure`: sweeps the width and writes what it found."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import torch

from benchmarks.analysis import analyse
from benchmarks.commands.terminal import INTERRUPTED, listed, output_console, progress_bar, usable_device
from benchmarks.contestant import OURS, load_contestants
from benchmarks.environment import environment
from benchmarks.results import check_folder, write
from benchmarks.scaling.power_law import FEWEST_WIDTHS
from benchmarks.sweep import Plan, sweep
from benchmarks.table import print_tables
from reference.contract import ArgumentError, SolveError, load_problem
from reference.contract.command_line import add_machine_options, add_problem_options, real, whole

WIDTHS = (512, 724, 1024, 1448, 2048, 2896, 4096, 5792, 8192)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    add_problem_options(parser, samples=32, depth=3)
    add_machine_options(parser)
    group = parser.add_argument_group("sweep")
    group.add_argument(
        "--widths",
        type=listed(whole(1)),
        nargs="+",
        default=(WIDTHS,),
        metavar="M,M,…",
        help=f"at least {FEWEST_WIDTHS}, default: {','.join(map(str, WIDTHS))}",
    )
    group.add_argument("--rounds", type=whole(2), default=15, metavar="N", help="default: %(default)s")
    group.add_argument("--learning-rate", type=real(0.0), default=0.3, metavar="ETA", help="default: %(default)s")
    group.add_argument(
        "--impl",
        action="append",
        metavar="[NAME=]MODULE:FACTORY",
        help=f"measured beside the dense rival, repeatable, default: {OURS}",
    )
    group.add_argument("--out", default="results", metavar="FOLDER", help="default: %(default)s")


def main(options: argparse.Namespace) -> int:
    """Runs it.

    Returns:
        0; 1 where an implementation fails or disagrees with the dense rival; 130 after Ctrl-C.

    Raises:
        ArgumentError: for bad options that argparse cannot see.
    """
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    problem = load_problem(options.data, options.samples, seed=options.seed, dimension=options.dimension)
    contestants = load_contestants(options.impl or [OURS], dtype=options.dtype)
    folder = check_folder(options.out)
    plan = Plan(
        problem=problem,
        widths=_distinct(options.widths),
        depth=options.depth,
        rounds=options.rounds,
        learning_rate=options.learning_rate,
        seed=options.seed,
        device=usable_device(options.device),
        dtype=options.dtype,
    )
    conditions = environment(plan.device)
    try:
        with progress_bar() as progress:
            measurement = sweep(plan, contestants, progress)
    except KeyboardInterrupt:
        print("interrupted before the first round was complete: nothing to report", file=sys.stderr)
        return INTERRUPTED
    except SolveError as error:
        print(f"a step failed: {error}", file=sys.stderr)
        return 1
    document = analyse(measurement, contestants, conditions)
    paths = write(document, measurement, folder)
    print_tables(document, output_console())
    print("written: " + ", ".join(map(str, paths)))
    if measurement.interrupted:
        return INTERRUPTED
    points = [point for entry in document["implementations"].values() for point in entry["points"]]
    return 0 if all(point["agreement"]["agrees"] for point in points) else 1


def _distinct(groups: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    widths = tuple(sorted({m for group in groups for m in group}))
    if len(widths) < FEWEST_WIDTHS:
        raise ArgumentError("--widths", f"at least {FEWEST_WIDTHS} distinct widths", ", ".join(map(str, widths)))
    return widths
