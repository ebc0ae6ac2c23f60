"""`python -m benchmarks fit`: exponents of anybody's costs, from a CSV file with a row for every sample."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from benchmarks.commands.options import listed
from benchmarks.commands.terminal import output_console
from benchmarks.files import write_atomically
from benchmarks.fitting import Columns, fit, header, read_groups, title
from reference.contract import ArgumentError

ROUND = "round"
GROUP = ("implementation", "phase")
ESTIMATE = ("value", "low", "high")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand; what they leave out is as in scaling.csv."""
    parser.add_argument("data", type=Path, metavar="data.csv", help="with a header, and a row for every sample")
    parser.add_argument("--width", default="m", metavar="COLUMN", help="default: %(default)s")
    parser.add_argument("--cost", default="seconds", metavar="COLUMN", help="in any unit, default: %(default)s")
    parser.add_argument(
        "--round",
        metavar="COLUMN",
        help=f"samples taken close together share its value, default: {ROUND}; in a file that has none, the k-th row "
        "of a width is of the k-th round",
    )
    parser.add_argument(
        "--group",
        type=listed(str),
        metavar="COLUMN,…",
        help=f"rows that differ there are fitted apart, default: those of {','.join(GROUP)} that the file has",
    )
    parser.add_argument(
        "--baseline", metavar="NAME", help="a value of the first grouping column: the others are held against it"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")


def main(options: argparse.Namespace) -> int:
    """Runs it.

    Returns:
        0.

    Raises:
        ArgumentError: for a file that cannot be read or fitted.
    """
    columns = _columns(options, header(options.data))
    document = fit(read_groups(options.data, columns), columns, options.baseline)
    if options.json is not None:
        try:
            write_atomically(options.json, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
        except OSError as error:
            raise ArgumentError("--json", "a file that can be written", f"{str(options.json)!r} ({error})") from None
    console = output_console()
    console.print(_exponents(document))
    console.print(_widths(document))
    for line in _remarks(document):
        console.print(line, highlight=False, markup=False)
    return 0


def _columns(options: argparse.Namespace, names: tuple[str, ...]) -> Columns:
    """As the options say, and where they say nothing as in scaling.csv as far as the file goes along."""
    group = tuple(name for name in GROUP if name in names) if options.group is None else options.group
    return Columns(
        width=options.width,
        cost=options.cost,
        round=ROUND if options.round is None and ROUND in names else options.round,
        group=tuple(name for name in group if name),  # --group "" is one group
    )


def _exponents(document: dict[str, Any]) -> Table:
    columns = document["columns"]
    table = Table(
        title=escape(f"Exponents: {columns['cost']} ~ {columns['width']}^p"),
        caption="plain: slope through the typical costs, with a 95 % interval over rounds; floored: with a constant "
        "overhead fitted beside it. held out: the cost at the largest width over what the others predict by either "
        "fit, less 1.",
    )
    for column in columns["group"]:
        table.add_column(escape(column))
    for column in ("rounds", "plain", "floored", "held out, plain", "held out, floored"):
        table.add_column(column, justify="right", no_wrap=True)
    for group in document["groups"]:
        time = group["time"]
        held_out = time["held_out"] or dict.fromkeys(("plain_error", "floored_error"))
        table.add_row(
            *map(escape, group["name"]),
            str(group["rounds"]),
            _estimate(time),
            _estimate(time["floored"]),
            *(_relative(held_out[key]) for key in ("plain_error", "floored_error")),
        )
    return table


def _widths(document: dict[str, Any]) -> Table:
    columns, baseline = document["columns"], document["baseline"]
    ratio_title = escape(f"{baseline} / …")
    table = Table(
        title="Width by width",
        caption="local: the exponent from the next smaller width to this one."
        + ("" if baseline is None else f" {ratio_title}: its cost over this one, in the rounds of both."),
    )
    for column in columns["group"]:
        table.add_column(escape(column))
    table.add_column(escape(columns["width"]), justify="right")
    table.add_column("local", justify="right", no_wrap=True)
    if baseline is not None:
        table.add_column(ratio_title, justify="right", no_wrap=True)
    for group in document["groups"]:
        time, against = group["time"], group["against_baseline"]
        slopes = zip(time["local"], time["local_low"], time["local_high"], strict=True)
        local = dict(zip(group["widths"][1:], slopes, strict=True))
        ratio = {} if against is None else dict(zip(against["widths"], against["ratios"], strict=True))
        for m in group["widths"]:
            cells = [_estimate(dict(zip(ESTIMATE, local[m], strict=True))) if m in local else ""]
            if baseline is not None:
                cells.append(_estimate(ratio[m], "×") if m in ratio else "")
            table.add_row(*map(escape, group["name"]), f"{m:g}", *cells)
        table.add_section()
    return table


def _remarks(document: dict[str, Any]) -> list[str]:
    lines = []
    for group in document["groups"]:
        name, against, regime = title(group["name"]), group["against_baseline"], group["time"]["regime"]
        if group["dropped_rounds"]:
            lines.append(f"left out of {name}, for lack of some width: rounds {', '.join(group['dropped_rounds'])}")
        if regime is not None:
            lines.append(f"no single exponent tells the cost of {name}: {regime['text']}")
        if against is None:
            continue
        if against["rounds_not_shared"]:
            lines.append(
                f"left out of the ratios of {name}, for lack of a counterpart: rounds "
                + ", ".join(against["rounds_not_shared"])
            )
        if against["widths_not_shared"]:
            lines.append(
                f"without a ratio in {name}: widths {', '.join(f'{m:g}' for m in against['widths_not_shared'])}"
            )
        lines.append(_crossover(document, name, against))
    return lines


def _crossover(document: dict[str, Any], name: str, against: dict[str, Any]) -> str:
    crossover, width = against["crossover"], document["columns"]["width"]
    line = f"crossover, from where on {name} costs less than {document['baseline']}: "
    line += crossover["where"] if crossover["m"] is None else f"{width} = {crossover['m']:.0f}"
    if against["rounds"] < 2:
        return line
    low, high = (
        "above" if end is None else f"{end:.0f}" if end else "below" for end in map(crossover.get, ESTIMATE[1:])
    )
    return f"{line} [{low}, {high}]"


def _estimate(estimate: dict[str, Any], unit: str = "") -> str:
    value, low, high = map(estimate.get, ESTIMATE)
    if value is None:
        return "–"
    return f"{value:.2f}{unit}" + ("" if low is None or high is None else f" [{low:.2f}, {high:.2f}]")


def _relative(error: float | None) -> str:
    return "–" if error is None else f"{error:+.0%}"
