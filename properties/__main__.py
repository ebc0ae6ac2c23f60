"""`python -m properties --impl package.module:factory`: puts an implementation through the suite.

Exit status 0 only if nothing failed and something ran; 1 if a property failed or nothing ran; 2 for bad arguments;
3 if nothing failed, but the oracles disagree somewhere; 130 if the run was interrupted before a failure.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from properties.runner.header import header, header_lines
from properties.runner.profiles import PROFILES
from properties.runner.report import as_data, count_lines, counts, outcome_lines, write_json
from properties.runner.reproduce import from_code, property_named
from properties.runner.run import Outcome, run_case, run_suite
from properties.runner.subject import subject_named
from properties.suite import REGISTRY
from reference.contract.arguments import DTYPES, ArgumentError
from reference.contract.command_line import run, whole


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m properties", description=__doc__.splitlines()[0])
    parser.add_argument("--impl", default="impl:factory", metavar="MODULE:FACTORY", help="default: %(default)s")
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    parser.add_argument("--dtype", choices=DTYPES, help="try all cases in it, default: in those declared")
    parser.add_argument("--threads", type=whole(1, 1024), help="default: torch's own choice")
    parser.add_argument("--only", action="append", metavar="PROPERTY", help="run this property (repeatable)")
    parser.add_argument("--fail-fast", action="store_true", help="stop after the first property that fails")
    parser.add_argument("--json", metavar="FILE", help="write the result there; - for standard output")
    parser.add_argument("--reproduce", metavar="CASE", help="try one case, as code, with the one property of --only")
    tried = parser.add_argument_group("how much is tried")
    tried.add_argument("--profile", choices=PROFILES, default="ci", help="default: %(default)s")
    tried.add_argument("--examples", type=whole(1), help="random cases a property, default: the profile's")
    tried.add_argument("--run-length", type=whole(1), metavar="STEPS", help="of long runs, default: the profile's")
    tried.add_argument("--seed", type=whole(0), help="of the random cases, default: the profile's")
    tried.add_argument("--database", type=Path, metavar="FOLDER", help="keeps failing cases, to be tried first")
    return run(parser, _main, argv)


def _main(options: argparse.Namespace) -> int:
    properties = [property_named(name) for name in options.only] if options.only else REGISTRY
    if options.reproduce and len(properties) != 1:
        raise ArgumentError("--reproduce", "one property, named by --only", f"{len(properties)}")
    if options.json and options.json != "-" and not Path(options.json).parent.is_dir():
        raise ArgumentError("--json", "a file in a folder that exists", repr(options.json))
    case = from_code(options.reproduce) if options.reproduce else None
    if options.threads:
        torch.set_num_threads(options.threads)
    profile = PROFILES[options.profile].with_choices(
        examples=options.examples, seed=options.seed, database=options.database
    )
    # What an implementation prints belongs to the text, not into the JSON.
    with contextlib.redirect_stdout(sys.stderr) if options.json == "-" else contextlib.nullcontext():
        subject = subject_named(
            options.impl, options.device, options.run_length or profile.run_length, dtype=options.dtype
        )
        about = header(subject, profile)
        print("\n".join(header_lines(about)), flush=True)
        outcomes: list[Outcome] = []

        def progress(outcome: Outcome) -> None:
            outcomes.append(outcome)
            print("\n".join(outcome_lines(outcome)), flush=True)

        begin, interrupted = time.perf_counter(), False
        try:
            if case is not None:
                progress(run_case(properties[0], subject, case))
            else:
                run_suite(
                    subject, properties=properties, progress=progress, profile=profile, fail_fast=options.fail_fast
                )
        except KeyboardInterrupt:
            interrupted = True
            print(f"interrupted: {len(outcomes)} of {len(properties)} properties were run", flush=True)
        counted = counts(subject, outcomes)
        print("\n".join(count_lines(counted)), flush=True)
    if options.json:
        seconds = time.perf_counter() - begin
        write_json(options.json, as_data(about, subject, outcomes, seconds=seconds, interrupted=interrupted))
    if counted["failed"]:
        return 1
    if interrupted:
        return 130
    if counted["disputed"]:
        return 3
    return 0 if counted["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
