"""`python -m properties --impl package.module:factory`: puts an implementation through the suite.

Exit status 0 only if nothing failed and something ran; 1 if a property failed or nothing ran; 2 for bad arguments.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence

import hypothesis
import numpy as np
import torch

from properties.suite import REGISTRY, Outcome, Subject, run_suite
from reference.contract import load_factory
from reference.contract.arguments import ArgumentError
from reference.contract.command_line import run, whole


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m properties", description=__doc__.splitlines()[0])
    parser.add_argument("--impl", default="impl:factory", metavar="MODULE:FACTORY", help="default: %(default)s")
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    parser.add_argument("--threads", type=whole(1, 1024), default=None, help="default: torch's own choice")
    parser.add_argument("--examples", type=whole(1), default=60, help="random cases a property, default: %(default)s")
    parser.add_argument("--seed", type=whole(0), default=0, help="default: %(default)s")
    parser.add_argument("--only", action="append", metavar="PROPERTY", help="run this property (repeatable)")
    return run(parser, _main, argv)


def _main(options: argparse.Namespace) -> int:
    names = [item.name for item in REGISTRY]
    for name in options.only or []:
        if name not in names:
            raise ArgumentError("--only", "one of " + ", ".join(names), repr(name))
    if options.threads:
        torch.set_num_threads(options.threads)
    subject = Subject(options.impl, load_factory(options.impl), options.device)
    print(
        f"implementation {subject.name}, device {subject.device}, threads {torch.get_num_threads()}, "
        f"dtypes {', '.join(subject.capabilities.dtypes)}\n"
        f"python {platform.python_version()}, numpy {np.__version__}, torch {torch.__version__}, "
        f"hypothesis {hypothesis.__version__}, seed {options.seed}, {options.examples} random cases a property",
        flush=True,
    )
    outcomes = run_suite(
        subject,
        examples=options.examples,
        random_seed=options.seed,
        properties=[item for item in REGISTRY if not options.only or item.name in options.only],
        progress=_print,
    )
    failed = sum(bool(outcome.failure) for outcome in outcomes)
    skipped = sum(bool(outcome.skipped) for outcome in outcomes)
    passed = len(outcomes) - failed - skipped
    print(
        f"ambiguous units {subject.ambiguous_units} of {subject.units}; "
        f"Gauss–Newton steps that rounding leaves open {subject.unresolved_steps} of {subject.steps}"
    )
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed and not failed else 1


def _print(outcome: Outcome) -> None:
    state = "FAILED" if outcome.failure else "skipped" if outcome.skipped else "passed"
    print(f"  {state:7} {outcome.name} ({outcome.examples} cases, {outcome.seconds:.1f} s)", flush=True)
    if outcome.skipped:
        print(f"          {outcome.skipped}", flush=True)
    if outcome.failure:
        print(f"          {outcome.failure}\n          {outcome.case}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
