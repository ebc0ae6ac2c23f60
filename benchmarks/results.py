"""The files of a measurement: scaling.json, scaling.csv with the raw samples, scaling.png."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.plot import draw
from benchmarks.sweep import Measurement
from reference.contract import ArgumentError, PhaseWork

CSV_COLUMNS = ("implementation", "m", "phase", "sample", "seconds", "multiply_adds", "bytes")


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
    """Writes the three files, each as a whole or not at all.

    Args:
        document: From benchmarks.analysis.
        measurement: Its raw samples.
        folder: Where; it exists.

    Returns:
        The files' paths.
    """
    image = io.BytesIO()
    draw(document).savefig(image, format="png", dpi=150)
    contents = {
        "scaling.json": (json.dumps(document, indent=1, allow_nan=False) + "\n").encode(),
        "scaling.csv": _raw_samples(measurement).encode(),
        "scaling.png": image.getvalue(),
    }
    paths = [folder / name for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        write_atomically(path, content)
    return paths


def _raw_samples(measurement: Measurement) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for (name, m), record in measurement.records.items():
        for phase, samples in record.seconds.items():
            works = record.work.get(phase, [])
            for number, seconds in enumerate(samples):
                work = works[min(number, len(works) - 1)] if works else PhaseWork()
                counts = (work.multiply_adds, work.bytes) if works else ("", "")
                writer.writerow((name, m, phase, number, repr(seconds), *counts))
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
