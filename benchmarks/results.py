"""The files of a measurement: scaling.json, scaling.csv, the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.files import raw_samples, write_atomically
from benchmarks.report.files import report_files
from benchmarks.sweep import Measurement


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
    samples = raw_samples(measurement.visits).encode()
    contents = {"scaling.json": text, "scaling.csv": samples, **report_files(document, text, samples)}
    paths = [folder / name for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        write_atomically(path, content)
    return paths
