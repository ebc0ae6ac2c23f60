"""`python -m benchmarks measure`: sweeps the width and writes what it found."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.analysis import analyse
from benchmarks.commands.options import INTERRUPTED, add_method_options, listed, usable_device
from benchmarks.commands.terminal import output_console, progress_bar, warn_if_busy
from benchmarks.contestant import MEASURED, Contestant, load_contestants
from benchmarks.environment import environment, refuse_changes
from benchmarks.files import check_folder
from benchmarks.journal import NAME, open_journal
from benchmarks.learning_rate import check_learning_rate
from benchmarks.load import LoadMeter
from benchmarks.results import write
from benchmarks.scaling.power_law import FEWEST_WIDTHS
from benchmarks.sweep import Plan, check_memory, sweep
from benchmarks.table import print_tables
from benchmarks.visit import Training
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
    group.add_argument(
        "--iterations",
        type=whole(1),
        default=32,
        metavar="T",
        help="of a window, timed one by one from the initial weights on, default: %(default)s",
    )
    group.add_argument("--rounds", type=whole(2), default=15, metavar="N", help="at most, default: %(default)s")
    group.add_argument(
        "--budget",
        type=real(0.0),
        default=300.0,
        metavar="SECONDS",
        help="no round is begun that would exceed it, but for the first two, default: %(default)g",
    )
    group.add_argument(
        "--precision",
        type=real(0.0),
        default=0.01,
        metavar="P",
        help="rounds end when the exponents of an iteration are known to ± this, default: %(default)s",
    )
    add_method_options(group)
    group.add_argument(
        "--impl",
        action="append",
        metavar="[NAME=]MODULE:FACTORY",
        help="measured beside the dense rival, repeatable, default: " + " ".join(MEASURED),
    )
    group.add_argument("--out", default="results", metavar="FOLDER", help="default: %(default)s")
    group.add_argument("--fresh", action="store_true", help="discard an unfinished sweep in the folder")
    group.add_argument("--allow-dirty", action="store_true", help="measure a tree with uncommitted changes")


def main(options: argparse.Namespace) -> int:
    """Runs it.

    Returns:
        0; 1 where an implementation fails or disagrees with the dense rival; 130 after Ctrl-C.

    Raises:
        ArgumentError: for bad options that argparse cannot see.
    """
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    contestants = load_contestants(options.impl or MEASURED, dtype=options.dtype, method=options.method)
    check_learning_rate(options.learning_rate, options.method)
    plan = Plan(
        training=Training(
            problem=load_problem(options.data, options.samples, seed=options.seed, dimension=options.dimension),
            iterations=options.iterations,
            learning_rate=options.learning_rate,
            device=usable_device(options.device),
            dtype=options.dtype,
            method=options.method,
        ),
        widths=_distinct(options.widths),
        depth=options.depth,
        seed=options.seed,
        rounds=options.rounds,
        budget=options.budget,
        precision=options.precision,
    )
    check_memory(plan)
    conditions = environment(plan.training.device)
    if not options.allow_dirty:
        refuse_changes(conditions)
    folder = check_folder(options.out)
    journal = open_journal(folder, _header(plan, contestants, conditions), fresh=options.fresh)
    resumed = sum(entry["kind"] == "visit" for entry in journal.entries)
    if resumed:
        print(f"resuming an unfinished sweep: {resumed} visits are there already", file=sys.stderr)
    try:
        busy, meter = warn_if_busy(), LoadMeter()
        with progress_bar() as progress:
            measurement = sweep(plan, contestants, journal, progress)
        conditions = {**conditions, "others_before": busy, "others_meanwhile": meter.others()}
        document = analyse(measurement, contestants, conditions)
        paths = write(document, measurement, folder)
        if not measurement.interrupted:
            journal.append({"kind": "end", "ended_by": measurement.ended_by})
    except KeyboardInterrupt:
        print("interrupted: nothing to report yet; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except SolveError as error:
        print(f"a step failed: {error}", file=sys.stderr)
        return 1
    finally:
        journal.close()
    print_tables(document, output_console())
    print("written: " + ", ".join(map(str, [folder / NAME, *paths])))
    if measurement.interrupted:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    points = [point for entry in document["implementations"].values() for point in entry["points"]]
    return 0 if all(point["agreement"]["agrees"] for point in points) else 1


def _header(plan: Plan, contestants: Sequence[Contestant], conditions: dict[str, Any]) -> dict[str, Any]:
    """What must be the same for two parts of one sweep; how long it goes on may differ."""
    training = plan.training
    return {
        "environment": conditions,
        "problem": {
            "data": training.problem.name,
            "samples": training.problem.X.shape[0],
            "dimension": training.problem.X.shape[1],
            "depth": plan.depth,
            "dtype": training.dtype,
            "method": training.method,
            "learning_rate": training.learning_rate,
            "seed": plan.seed,
            "widths": list(plan.widths),
            "iterations": training.iterations,
        },
        "implementations": {contestant.name: contestant.source for contestant in contestants},
    }


def _distinct(groups: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    widths = tuple(sorted({m for group in groups for m in group}))
    if len(widths) < FEWEST_WIDTHS:
        raise ArgumentError("--widths", f"at least {FEWEST_WIDTHS} distinct widths", ", ".join(map(str, widths)))
    return widths
