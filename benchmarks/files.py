"""Files of results: the folder, scaling.csv with the samples of every round, writing as a whole or not at all."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.analysis import ALL_PHASES, phase_counts, phase_windows
from benchmarks.visit import Visit
from reference.contract import ArgumentError

CSV_COLUMNS = (
    *("implementation", "m", "phase", "round", "seconds", "median_seconds", "maximum_seconds"),
    *("multiply_adds", "bytes"),
)


def check_folder(folder: str) -> Path:
    """Creates the folder for results where it is missing, before anything is measured.

    Raises:
        ArgumentError: for a path where files cannot be written.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ArgumentError("out", "a folder that can be written", f"{folder!r} ({error})") from None
    return path


def raw_samples(visits: Mapping[tuple[str, int], Sequence[Visit]]) -> str:
    """A line for every phase of every visit: the mean, median and maximum over its window."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for (name, m), of_point in visits.items():
        for phase in ALL_PHASES:
            for visit in of_point:
                window, counts = phase_windows(visit, phase), phase_counts([visit], phase)
                if any(window):  # a phase that is not reported takes no time
                    seconds = map(repr, (float(np.mean(window)), float(np.median(window)), max(window)))
                    counted = ("", "") if counts is None else counts[:2]
                    writer.writerow((name, m, phase, visit.round, *seconds, *counted))
    return text.getvalue()


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file as a whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)  # mkstemp's files are private
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
