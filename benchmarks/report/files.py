"""The files of a report: the page and its pictures."""

from __future__ import annotations

from typing import Any

from benchmarks.report.figures import images
from benchmarks.report.page import page


def report_files(document: dict[str, Any], json: bytes, csv: bytes) -> dict[str, bytes]:
    """By name what `python -m benchmarks report` writes.

    Args:
        document: The contents of scaling.json.
        json: That file.
        csv: scaling.csv.
    """
    return {"report.html": page(document, json, csv).encode(), **images(document)}
