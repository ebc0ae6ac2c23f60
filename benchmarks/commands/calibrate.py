"""`python -m benchmarks calibrate`: how often the estimators are right, on synthetic sweeps whose truth is known."""

from __future__ import annotations

import argparse

from rich.table import Table

from benchmarks.commands.terminal import output_console, progress_bar
from benchmarks.scaling.calibration import (
    EXPONENTS,
    LEAST_COVERAGE,
    LEAST_FOUND,
    MOST_COVERAGE,
    SETTINGS,
    Figure,
    Row,
    calibrate,
)
from benchmarks.scaling.regime import LEVEL
from reference.contract.command_line import whole

FIGURES = ("plain", "floored", "ratio", "crossover", "regime")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument(
        "--trials", type=whole(1), default=1000, metavar="N", help="sweeps a setting, default: %(default)s"
    )
    parser.add_argument("--rounds", type=whole(3), default=15, metavar="N", help="rounds a sweep, default: %(default)s")
    parser.add_argument("--seed", type=whole(0, 2**63 - 1), default=0, help="default: %(default)s")


def main(options: argparse.Namespace) -> int:
    """Runs it.

    Returns:
        0 if every figure is as it must be, 1 otherwise.
    """
    rows: list[Row] = []
    total = len(SETTINGS) * len(EXPONENTS)
    with progress_bar() as progress:
        for row in calibrate(trials=options.trials, rounds=options.rounds, seed=options.seed):
            rows.append(row)
            progress(row.setting, len(rows), total)
    console = output_console()
    console.print(_table(rows, options.trials, options.rounds))
    wrong = [row for row in rows if not row.holds]
    for row in wrong:
        console.print(f"MISSED: {row.setting}, exponent {row.exponent:g}", highlight=False, markup=False)
    if not wrong:
        console.print("every figure is as it must be", highlight=False, markup=False)
    return 1 if wrong else 0


def _table(rows: list[Row], trials: int, rounds: int) -> Table:
    table = Table(
        title=f"Calibration: {trials} synthetic sweeps a row, {rounds} rounds of nine widths from 512 to 8192",
        caption=f"plain, floored, ratio, crossover: how often the 95 % interval holds the truth, to be within "
        f"{LEAST_COVERAGE:.0%} and {MOST_COVERAGE:.0%}. regime: how often a change is found, to be at least "
        f"{LEAST_FOUND:.0%} under a cache break and at most {LEVEL:.0%} elsewhere. ±: median half-width of the "
        "interval. A dash: the model is not true there.",
    )
    table.add_column("setting")
    table.add_column("exponent", justify="right")
    for name in FIGURES:
        table.add_column(name, justify="right")
    table.add_column("± plain", justify="right")
    table.add_column("± floored", justify="right")
    previous = None
    for row in rows:
        if previous not in (None, row.setting):
            table.add_section()
        previous = row.setting
        table.add_row(
            row.setting,
            f"{row.exponent:g}",
            *(_shown(row.figures.get(name)) for name in FIGURES),
            f"{row.plain_half:.3f}",
            f"{row.floored_half:.3f}",
        )
    return table


def _shown(figure: Figure | None) -> str:
    if figure is None:
        return "–"
    return f"{figure.share:.1%}" + ("" if figure.holds else " !")
