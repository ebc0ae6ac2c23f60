"""What a report is made from: scaling.json and scaling.csv of a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from benchmarks.files import CSV_COLUMNS
from benchmarks.report.structure import NAME, check_structure
from reference.contract import ArgumentError


class Source(NamedTuple):
    """The contents of scaling.json, and both files byte for byte."""

    document: dict[str, Any]
    json: bytes
    csv: bytes


def read_source(folder: Path) -> Source:
    """Reads both files.

    Raises:
        ArgumentError: for files that are missing, damaged or of another schema.
    """
    text, samples = (_read(folder / name) for name in (NAME, "scaling.csv"))
    try:
        document = json.loads(text, parse_constant=_not_json)
    except (ValueError, RecursionError) as error:
        raise ArgumentError(str(folder / NAME), "a JSON document", f"something else ({error})") from None
    check_structure(document)
    header = samples.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    if header != ",".join(CSV_COLUMNS):
        raise ArgumentError(str(folder / "scaling.csv"), f"the columns {','.join(CSV_COLUMNS)}", repr(header[:80]))
    return Source(document, text, samples)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArgumentError("folder", "one with scaling.json and scaling.csv", f"{path}: {error.strerror}") from None


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
