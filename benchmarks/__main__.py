"""`python -m benchmarks COMMAND`: how the cost of an iteration scales, and whether it got worse."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from reference.contract.command_line import run

ROOMS = ("benchmarks", "reference")
COMMANDS = ("measure", "cuda", "report", "fit", "calibrate", "choices", "gate")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    argv = sys.argv[1:] if argv is None else argv
    for name in COMMANDS:
        try:
            command = importlib.import_module(f"benchmarks.commands.{name}")
        except ModuleNotFoundError as error:  # of the extra bench, without which some commands do
            missing = (error.name or "").partition(".")[0]
            if missing in ROOMS:
                raise
            if argv[:1] == [name]:
                parser.error(f"{name} needs {missing}: pip install '.[bench]'")
            continue
        summary = (command.__doc__ or "").strip()
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        command.add_options(subparser)
        subparser.set_defaults(main=command.main)
    return run(parser, lambda options: int(options.main(options)), argv)


if __name__ == "__main__":
    sys.exit(main())
