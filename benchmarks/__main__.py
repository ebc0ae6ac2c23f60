"""`python -m benchmarks COMMAND`: how the cost of an iteration scales, and whether it got worse."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.commands import calibrate, choices, fit, gate, measure, report
from reference.contract.command_line import run

COMMANDS = {"measure": measure, "report": report, "fit": fit, "calibrate": calibrate, "choices": choices, "gate": gate}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        summary = (command.__doc__ or "").strip()
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        command.add_options(subparser)
        subparser.set_defaults(main=command.main)
    return run(parser, lambda options: int(options.main(options)), argv)


if __name__ == "__main__":
    sys.exit(main())
