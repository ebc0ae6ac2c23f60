"""`python -m benchmarks report`: writes the page and the pictures of a sweep again, from scaling.json and .csv."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.files import check_folder, write_atomically
from benchmarks.report.files import report_files
from benchmarks.report.source import read_source


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument(
        "folder", nargs="?", default="results", metavar="FOLDER", help="that of a sweep, default: %(default)s"
    )
    parser.add_argument("--out", default=None, metavar="FOLDER", help="default: the same")


def main(options: argparse.Namespace) -> int:
    """Runs it.

    Returns:
        0.

    Raises:
        ArgumentError: for files that are missing, damaged or of another schema, and a folder that cannot be written.
    """
    source = read_source(Path(options.folder))
    folder = check_folder(options.folder if options.out is None else options.out)
    paths = []
    for name, content in report_files(source.document, source.json, source.csv).items():
        paths.append(folder / name)
        write_atomically(paths[-1], content)
    print("written: " + ", ".join(map(str, paths)))
    return 0
