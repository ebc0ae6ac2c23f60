"""`python -m tests.planted`: puts every planted bug, and what it was planted in, through the properties.

Prints a table of bugs × properties with the number of examples to the first failure. Exit status 0 only if every bug
is found by a property that names it and the correct implementations are clean; 1 otherwise; 2 for bad arguments.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import IO, Any

import torch

from reference.contract.command_line import run, whole
from tests.planted.matrix import Row, Summary, all_rows
from tests.planted.registry import BUGS, planted


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", metavar="BUG", help="this bug (repeatable)")
    parser.add_argument("--quick", action="store_true", help="stop at the first property that names a bug")
    parser.add_argument("--jobs", type=whole(1, 1024), default=1, help="processes, default: %(default)s")
    parser.add_argument(
        "--json", metavar="FILE", help="also as JSON; - for the standard output, and nothing else there"
    )
    parser.add_argument("--csv", metavar="FILE", help="also as CSV, a line for a bug and a property; - likewise")
    parser.add_argument("--list", action="store_true", help="list the bugs and end")
    return run(parser, _main, argv)


def _main(options: argparse.Namespace) -> int:
    bugs = [planted(name).name for name in options.only or BUGS]
    if options.list:
        print("\n".join(f"{BUGS[name].kind:12} {name}: {BUGS[name].description}" for name in bugs))
        return 0
    torch.set_num_threads(1)  # small matrices
    quiet = "-" in (options.json, options.csv)
    rows = []
    for row in all_rows(bugs, quick=options.quick, jobs=options.jobs):
        rows.append(row)
        if not quiet:
            print(_line(row), flush=True)
    if options.json:
        with _opened(options.json) as file:
            json.dump({"summary": asdict(Summary.of(rows)), "rows": [_plain(row) for row in rows]}, file, indent=1)
            file.write("\n")
    if options.csv:
        with _opened(options.csv) as file:
            writer = csv.writer(file)
            writer.writerow(["name", "kind", "property", "expected", "state", "examples", "seconds"])
            writer.writerows(
                [row.name, row.kind, name, int(name in row.expected), cell.state, cell.examples, f"{cell.seconds:.3f}"]
                for row in rows
                for name, cell in row.cells.items()
            )
    if not quiet:
        print(_table(rows), _closing(rows, options.quick), sep="\n")
    return 0 if all(row.good for row in rows) else 1


def _line(row: Row) -> str:
    if row.kind == "correct":
        return f"{'clean' if row.good else 'FAILED':8} {row.name}" + "".join(
            f"\n         {name}: {row.cells[name].message}" for name in row.failed
        )
    if not row.good:
        return f"SURVIVED {row.name} ({row.kind}): {row.description} Found by: {', '.join(row.failed) or 'none'}"
    killer = min(row.killers, key=lambda name: row.cells[name].examples)
    return f"killed   {row.name} ({row.kind}) by {killer}, examples {row.examples_to_the_kill}"


def _table(rows: Sequence[Row]) -> str:
    """A number is that of the examples to the failure, * marks a property that names the bug; · passed, - skipped."""
    names = list(dict.fromkeys(name for row in rows for name in row.cells))
    legend = [f"{number:3} {name}" for number, name in enumerate(names, start=1)]
    width = max(len(row.name) for row in rows)
    head = " " * width + "".join(f"{number:5}" for number in range(1, len(names) + 1))
    body = [row.name.ljust(width) + "".join(f"{_mark(row, name):>5}" for name in names) for row in rows]
    return "\n".join(["", *legend, "", head, *body, ""])


def _mark(row: Row, name: str) -> str:
    cell = row.cells.get(name)
    if cell is None:
        return ""
    if cell.state in ("failed", "disputed"):
        return f"{cell.examples}{'*' if name in row.expected else ''}"
    return "-" if cell.state == "skipped" else "·"


def _closing(rows: Sequence[Row], quick: bool) -> str:
    summary = Summary.of(rows)
    correct = [row for row in rows if row.kind == "correct"]
    of = ", of the properties that name the bug" if quick else ""
    return (
        f"{summary.killed} of {summary.bugs} bugs killed by name; {sum(row.good for row in correct)} of {len(correct)} "
        f"correct implementations clean\n"
        f"median: {summary.examples:g} examples to the kill, {summary.seconds:.2f} s to the first failure "
        f"(at most {summary.slowest:.1f} s){of}"
    )


def _plain(row: Row) -> dict[str, Any]:
    return {**asdict(row), "good": row.good, "killers": row.killers}


@contextmanager
def _opened(path: str) -> Iterator[IO[str]]:
    if path == "-":
        yield sys.stdout
        return
    with open(path, "w", encoding="utf-8", newline="") as file:
        yield file


if __name__ == "__main__":
    sys.exit(main())
