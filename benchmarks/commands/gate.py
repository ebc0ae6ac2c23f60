"""`python -m benchmarks gate BASE HEAD`: whether head is worse than base; two commits, or two scaling.json files.

Exit status: 0 the same, 1 worse, 2 bad arguments, 3 broken, 4 inconclusive, 5 better.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.commands.options import INTERRUPTED, listed, usable_device
from benchmarks.commands.terminal import output_console, progress_bar, warn_if_busy
from benchmarks.contestant import OURS, named
from benchmarks.gate import commits, files
from benchmarks.gate.alternate import Evidence, Plan, measure
from benchmarks.gate.quantity import Finding, Quantity
from benchmarks.gate.verdict import BrokenError, Judgement, Verdict, judge
from benchmarks.gate.version import commit_of, extract
from reference.contract import ArgumentError, load_problem
from reference.contract.command_line import add_machine_options, real, whole
from reference.contract.problem import DATA

WIDTHS = (512, 1024, 2048, 4096, 8192)
FEWEST_STAGES = 2
COUNTED = (
    "lazy=impl:factory?weights=lazy&forward=gather",
    "keeping=impl:factory?weights=lazy&maintenance=keep&forward=gather",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument("base", metavar="BASE", help="a commit, or a scaling.json")
    parser.add_argument("head", metavar="HEAD", help="likewise")
    group = parser.add_argument_group("commits")
    group.add_argument(
        "--widths",
        type=listed(whole(1)),
        default=WIDTHS,
        metavar="M,M,…",
        help=f"default: {','.join(map(str, WIDTHS))}",
    )
    group.add_argument("--iterations", type=whole(1), default=16, metavar="T", help="of a window, default: %(default)s")
    group.add_argument("--rounds", type=whole(1), default=3, metavar="N", help="of a stage, default: %(default)s")
    group.add_argument(
        "--budget",
        type=real(0.0),
        default=180.0,
        metavar="SECONDS",
        help=f"no stage is begun that would exceed it, but for the first {FEWEST_STAGES}, default: %(default)g",
    )
    group.add_argument(
        "--impl",
        action="append",
        metavar="[NAME=]MODULE:FACTORY",
        help=f"to be timed, repeatable, default: {OURS}",
    )
    group.add_argument(
        "--counted",
        action="append",
        metavar="[NAME=]MODULE:FACTORY",
        help=f"of which work, events and memory are compared only, repeatable, default: {' '.join(COUNTED)}",
    )
    group.add_argument("--data", choices=DATA, default="digits", help="default: %(default)s")
    group.add_argument("--samples", type=whole(1), default=32, metavar="N", help="n, default: %(default)s")
    group.add_argument("--depth", type=whole(1), default=3, metavar="L", help="hidden layers, default: %(default)s")
    group.add_argument("--learning-rate", type=real(0.0), default=0.3, metavar="ETA", help="default: %(default)s")
    group.add_argument("--seed", type=whole(0, 2**63 - 1), default=0, help="default: %(default)s")
    add_machine_options(parser)
    parser.add_argument("--json", metavar="FILE", help="also as JSON")


def main(options: argparse.Namespace) -> int:
    """Runs it.

    Returns:
        The verdict's exit status; 130 after Ctrl-C.

    Raises:
        ArgumentError: for bad arguments.
    """
    if options.json and not Path(options.json).parent.is_dir():  # said before anything is measured
        raise ArgumentError("json", "a file in a folder that is there", repr(options.json))
    try:
        if options.base.endswith(".json") or options.head.endswith(".json"):
            found, remarks = _files(options)
        else:
            found, remarks = _commits(options)
        judgement = judge(found)
    except BrokenError as error:
        found, remarks, judgement = [], [], Judgement(Verdict.BROKEN, f"broken: {error}")
    except KeyboardInterrupt:
        print("interrupted: no verdict", file=sys.stderr)
        return INTERRUPTED
    console = output_console()
    if found:
        console.print(_table(found))
    for line in (*remarks, judgement.reason):
        console.print(line, highlight=False, markup=False)
    if options.json:
        Path(options.json).write_text(json.dumps(_plain(found, judgement), indent=1) + "\n", encoding="utf-8")
    return judgement.verdict.value


def _files(options: argparse.Namespace) -> tuple[list[Quantity], list[str]]:
    base, head = (files.read_results(side.upper(), getattr(options, side)) for side in ("base", "head"))
    return files.quantities(base, head), files.remarks(base, head)


def _commits(options: argparse.Namespace) -> tuple[list[Quantity], list[str]]:
    hashes = [commit_of(side.upper(), getattr(options, side)) for side in ("base", "head")]
    plan = Plan(
        timed=dict(named(impl) for impl in options.impl or [OURS]),
        counted=dict(named(impl) for impl in options.counted or ([] if options.impl else COUNTED)),
        widths=tuple(sorted(set(options.widths))),
        iterations=options.iterations,
        rounds=options.rounds,
        data=options.data,
        samples=options.samples,
        depth=options.depth,
        learning_rate=options.learning_rate,
        seed=options.seed,
        device=usable_device(options.device),
        dtype=options.dtype,
        threads=options.threads,
    )
    y = load_problem(plan.data, plan.samples, seed=plan.seed).y
    warn_if_busy()
    with tempfile.TemporaryDirectory(prefix="gate-") as temporary, progress_bar() as progress:
        folders = Path(temporary) / "base", Path(temporary) / "head"
        for commit, folder in zip(hashes, folders, strict=True):
            extract(commit, folder)
        begin = then = time.monotonic()
        evidence, found = Evidence(), list[Quantity]()
        for evidence in measure(plan, folders, progress):
            commits.check_results(plan, evidence, y)
            found = commits.quantities(plan, evidence)
            last, then = time.monotonic() - then, time.monotonic()
            if _decided(found, evidence) or (
                len(evidence.stages) >= FEWEST_STAGES and then - begin + last > options.budget
            ):
                break
    return found, _remarks(evidence, found, hashes)


def _decided(found: Sequence[Quantity], evidence: Evidence) -> bool:
    """Counts decide at once where they are worse; times need stages that agree."""
    if any(quantity.finding is Finding.WORSE and quantity.unit == "count" for quantity in found):
        return True
    return len(evidence.stages) >= FEWEST_STAGES and judge(found).verdict is not Verdict.INCONCLUSIVE


def _remarks(evidence: Evidence, found: Sequence[Quantity], hashes: Sequence[str]) -> list[str]:
    base, head = (commit[:12] for commit in hashes)
    rounds = sum(len(next(iter(stage.values()))) for stage in evidence.stages)
    lines = [f"base {base}, head {head}, {len(evidence.stages)} stages, {rounds} rounds"]
    worse = [quantity for quantity in found if quantity.finding is Finding.WORSE and quantity.unit == "ratio"]
    if worse:
        worst = max(worse, key=lambda quantity: quantity.value)
        m = max(m for _, m in evidence.stages[0])
        phases = commits.slower_phases(evidence, worst.implementation, m)
        shown = ", ".join(f"{phase} {ratio:.2f}×" for phase, ratio in phases.items())
        lines.append(f"phases of {worst.implementation} at m = {m}, as they report themselves: {shown}")
    return lines


def _table(found: Sequence[Quantity]) -> Table:
    table = Table(title="Head against base", caption="of what is counted, only what differs")
    for column in ("implementation", "quantity", "head / base, or difference", "margin", "finding"):
        table.add_column(column, no_wrap=column != "quantity")
    for quantity in found:
        if quantity.unit == "count" and quantity.finding is Finding.SAME:
            continue
        name, _, value = str(quantity).rpartition(": ")
        margin = f"{quantity.margin:.2f}" if quantity.unit == "exponent" else f"{math.exp(quantity.margin):.2f}×"
        open_alarm = quantity.finding is Finding.OPEN and quantity.alarm_only and not quantity.beyond
        table.add_row(quantity.implementation, name, value, margin, "–" if open_alarm else quantity.finding.value)
    return table


def _plain(found: Sequence[Quantity], judgement: Judgement) -> dict[str, Any]:
    return {
        "schema": 1,
        "verdict": judgement.verdict.name.lower(),
        "reason": judgement.reason,
        "quantities": [
            {
                "implementation": quantity.implementation,
                "name": quantity.name,
                "unit": quantity.unit,
                **{key: _finite(getattr(quantity, key)) for key in ("value", "low", "high", "margin")},
                "parts": list(quantity.parts),
                "finding": quantity.finding.value,
            }
            for quantity in found
        ],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
