"""`python -m benchmarks cuda`: one run on a GPU, in a few minutes: parity, counted work, the sweep, the limits."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from benchmarks.commands.options import INTERRUPTED, add_method_options, listed
from benchmarks.contestant import DENSE, DENSE_FACTORY, MEASURED, Contestant, load_contestants
from benchmarks.device.course import Course
from benchmarks.device.files import write_files
from benchmarks.device.plan import Findings, Plan
from benchmarks.environment import environment, refuse_changes
from benchmarks.files import check_folder
from benchmarks.journal import NAME, open_journal
from benchmarks.learning_rate import check_learning_rate
from reference.contract import DTYPES, ArgumentError, load_problem
from reference.contract.command_line import real, whole
from reference.contract.problem import DATA

#: Multiples of 8, so that rows of every matrix are aligned; not all powers of two.
WIDTHS = (1024, 1448, 2048, 2896, 4096, 5792, 8192, 11584, 16384, 23168, 32768, 46336, 65536)
COUNTED_WIDTHS = (1024, 2048)
#: On the CPU the run is a rehearsal: of the command, not of the widths.
REHEARSED_WIDTHS = (64, 96, 128, 192, 256)
REHEARSED_COUNTED_WIDTHS = (64, 128)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument("--out", required=True, metavar="FOLDER", help="for the results")
    parser.add_argument(
        "--device", default="cuda", help="a torch device, default: %(default)s; with cpu the run is a rehearsal"
    )
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the sweep, default: %(default)s")
    parser.add_argument("--tf32", action="store_true", help="let products of float32 be rounded to TF32")
    parser.add_argument("--threads", type=whole(1, 1024), default=None, metavar="N", help="CPU threads")
    group = parser.add_argument_group("problem")
    group.add_argument(
        "--data", choices=DATA, default="synthetic", help="default: %(default)s, which needs no other package"
    )
    group.add_argument("--samples", type=whole(1), default=32, metavar="N", help="n, default: %(default)s")
    group.add_argument(
        "--dimension", type=whole(1), default=64, metavar="D", help="d of the synthetic problem, default: %(default)s"
    )
    group.add_argument("--depth", type=whole(1), default=3, metavar="L", help="hidden layers, default: %(default)s")
    group.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="default: %(default)s")
    group = parser.add_argument_group("sweep")
    group.add_argument(
        "--widths",
        type=listed(whole(1)),
        default=None,
        metavar="M,M,…",
        help=f"default: {','.join(map(str, WIDTHS))}; on the CPU: {','.join(map(str, REHEARSED_WIDTHS))}",
    )
    group.add_argument("--iterations", type=whole(1), default=32, metavar="T", help="of a window, default: %(default)s")
    group.add_argument("--rounds", type=whole(1), default=5, metavar="N", help="at most, default: %(default)s")
    group.add_argument(
        "--budget", type=real(1.0), default=420.0, metavar="SECONDS", help="of the whole run, default: %(default)g"
    )
    add_method_options(group)
    group.add_argument(
        "--impl",
        action="append",
        metavar="[NAME=]MODULE:FACTORY",
        help="swept beside the dense rival, repeatable, default: " + " ".join(MEASURED),
    )
    parser.add_argument("--allow-dirty", action="store_true", help="measure a tree with uncommitted changes")


def main(options: argparse.Namespace) -> int:
    """Runs it.

    Returns:
        0; 1 where a part failed or results disagree with the dense rival's; 130 after Ctrl-C.

    Raises:
        ArgumentError: for bad options that argparse cannot see.
    """
    check_learning_rate(options.learning_rate, options.method)
    impls = options.impl or MEASURED
    contestants = _contestants(impls, options)
    plan = _plan(options, contestants)
    problem = load_problem(plan.data, plan.samples, seed=plan.seed, dimension=plan.dimension)
    conditions = environment("cpu")  # of this process, which leaves the device alone
    if not options.allow_dirty:
        refuse_changes(conditions)
    folder = check_folder(options.out)
    _check_free(folder)
    journal = open_journal(folder, _header(plan, conditions), fresh=True)
    show = _on_terminal if sys.stderr.isatty() else lambda _: None
    # Whoever ends the command gets what there is, also where it was begun in the background, where SIGINT is ignored.
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:

        def store(findings: Findings) -> None:
            write_files(plan, findings, problem, contestants, folder)

        findings = Course(plan, store, journal.append, show).run()
        show("")
        written = write_files(plan, findings, problem, contestants, folder)
        if findings.ended_by != "interruption":
            journal.append({"kind": "end", "ended_by": findings.ended_by})
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        journal.close()
    print(written.text)
    print("written: " + ", ".join(map(str, [*written.paths, folder / NAME])))
    if findings.ended_by == "interruption":
        print("interrupted: the files hold what was measured until then", file=sys.stderr)
        return INTERRUPTED
    return 0 if written.right else 1


def _check_free(folder: Path) -> None:
    """Raises ArgumentError where the folder has samples that are not of such a run: they might be gone on with."""
    if (folder / NAME).exists() and not (folder / "cuda.json").exists():
        raise ArgumentError("out", "a folder without the samples of another command", repr(str(folder)))


def _contestants(impls: Sequence[str], options: argparse.Namespace) -> list[Contestant]:
    """The dense rival is told how many samples come, so that it can prepare for them."""
    loaded = load_contestants(impls, dtype=options.dtype, method=options.method)
    dense = Contestant(DENSE, f"{DENSE_FACTORY}?samples={options.samples}", loaded[0].factory)
    return [dense, *loaded[1:]]


def _plan(options: argparse.Namespace, contestants: Sequence[Contestant]) -> Plan:
    device = _device(options.device)
    cpu = device.type == "cpu"
    widths = options.widths or (REHEARSED_WIDTHS if cpu else WIDTHS)
    return Plan(
        device=str(device),
        implementations={contestant.name: contestant.source for contestant in contestants},
        data=options.data,
        samples=options.samples,
        dimension=options.dimension,
        depth=options.depth,
        seed=options.seed,
        dtype=options.dtype,
        method=options.method,
        learning_rate=options.learning_rate,
        tf32=options.tf32,
        widths=tuple(sorted(set(widths))),
        counted_widths=REHEARSED_COUNTED_WIDTHS if cpu else COUNTED_WIDTHS,
        iterations=options.iterations,
        rounds=options.rounds,
        budget=options.budget,
        threads=options.threads,
    )


def _device(name: str) -> torch.device:
    """A device that is there, found out without starting anything on it: that is for the process that measures."""
    expected = "cpu, or a CUDA device that torch can use here"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ArgumentError("device", expected, f"{name!r} ({str(error).splitlines()[0]})") from None
    if device.type == "cuda" and torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count():
        return device
    if device.type != "cpu":
        raise ArgumentError("device", expected, f"{name!r}, of {torch.cuda.device_count()} CUDA devices")
    return device


def _header(plan: Plan, conditions: dict[str, Any]) -> dict[str, Any]:
    return {"environment": conditions, "problem": vars(plan), "implementations": plan.implementations}


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _on_terminal(what: str) -> None:
    """One line that is overwritten."""
    print(f"\r\x1b[K{what[:78]}", end="", file=sys.stderr, flush=True)
