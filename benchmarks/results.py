"""The files of a measurement: scaling.json, scaling.csv with the samples of every round, the report."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.analysis import ALL_PHASES, phase_counts, phase_windows
from benchmarks.report.files import report_files
from benchmarks.sweep import Measurement
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


def write(document: dict[str, Any], measurement: Measurement, folder: Path) -> list[Path]:
    """Writes the files, each as a whole or not at all.

    Args:
        document: From benchmarks.analysis.
        measurement: Its raw samples.
        folder: Where; it exists.

    Returns:
        The files' paths.
    """
    text = (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()
    samples = _raw_samples(measurement).encode()
    contents = {"scaling.json": text, "scaling.csv": samples, **report_files(document, text, samples)}
    paths = [folder / name for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        write_atomically(path, content)
    return paths


def _raw_samples(measurement: Measurement) -> str:
    """A line for every phase of every visit: the mean, median and maximum over its window."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for (name, m), visits in measurement.visits.items():
        for phase in ALL_PHASES:
            for visit in visits:
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
