"""samples.jsonl: every sample of a sweep, on disk as soon as it is taken.

The first line says what is measured and under what conditions, every later one is an entry: a visit, the memory of an
iteration, the end. A line is written as a whole and synchronized. A process that is killed leaves whole lines, and at
most a part of one, which is cut off when the sweep is resumed: no sample is lost, none counts twice.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from reference.contract import ArgumentError

NAME = "samples.jsonl"
SCHEMA = 2


class Journal:
    """An open journal.

    Attributes:
        entries: What it held when it was opened, without the header.
    """

    def __init__(self, path: Path, entries: list[dict[str, Any]], lock: int):
        self.entries = entries
        self._file, self._lock = path.open("ab", buffering=0), lock

    def append(self, entry: dict[str, Any]) -> None:
        """Writes an entry; it is on disk when this returns."""
        _write(self._file.fileno(), entry)

    def close(self) -> None:
        """Closes the file and frees the folder."""
        self._file.close()
        os.close(self._lock)


def open_journal(folder: Path, header: dict[str, Any], *, fresh: bool) -> Journal:
    """Opens the folder's journal, to go on with an unfinished sweep of the same header or to begin one.

    A finished sweep makes way for the new one.

    Args:
        folder: Of the results.
        header: What is measured and under what conditions, in plain JSON types.
        fresh: Whether an unfinished sweep is discarded.

    Raises:
        ArgumentError: where the folder holds an unfinished sweep of something else, which is then left alone, or
            where another process measures into it.
    """
    lock = _locked(folder)
    try:
        return _opened(folder / NAME, folder, header, fresh, lock)
    except BaseException:
        os.close(lock)
        raise


def _opened(path: Path, folder: Path, header: dict[str, Any], fresh: bool, lock: int) -> Journal:
    header = {"kind": "header", "schema": SCHEMA, **json.loads(json.dumps(header))}
    found = None if fresh else _unfinished(path)
    if found is None:
        temporary = path.with_name(f".{NAME}.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            _write(descriptor, header)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        return Journal(path, [], lock)
    lines, length = found
    differing = _differences(lines[0], header)
    if differing:
        raise ArgumentError(
            "out",
            "a folder without an unfinished sweep of something else (--fresh discards it)",
            f"{str(folder)!r}, where {'; '.join(differing)}",
        )
    os.truncate(path, length)
    return Journal(path, lines[1:], lock)


def _locked(folder: Path) -> int:
    """A descriptor of the folder; the system frees the lock when it is closed, or the process ends somehow."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ArgumentError("out", "a folder that no other process measures into", repr(str(folder))) from None
    return lock


def _unfinished(path: Path) -> tuple[list[dict[str, Any]], int] | None:
    """The whole lines of an unfinished sweep, and their length in bytes."""
    if not path.exists():
        return None
    lines, length = _lines(path)
    if lines and lines[0]["kind"] != "header":
        raise ArgumentError("samples", "a journal that begins with its header", repr(str(path)))
    if len(lines) < 2 or any(line["kind"] == "end" for line in lines):  # nothing to go on with
        return None
    return lines, length


def _lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArgumentError("samples", "a file that can be read", f"{str(path)!r} ({error})") from None
    length = content.rfind(b"\n") + 1
    try:
        lines = [json.loads(line) for line in content[:length].splitlines()]
    except ValueError as error:
        raise ArgumentError("samples", "lines of JSON", f"{str(path)!r} ({error})") from None
    if not all(isinstance(line, dict) and "kind" in line for line in lines):
        raise ArgumentError("samples", "lines that say of what kind they are", repr(str(path)))
    return lines, length


def _differences(before: dict[str, Any], header: dict[str, Any]) -> list[str]:
    differing = []
    for key in sorted(before.keys() | header.keys()):
        old, new = before.get(key), header.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            differing += _differences(old, new)
        elif old != new:
            differing.append(f"{key} is {old!r}, not {new!r}")
    return differing


def _write(descriptor: int, entry: dict[str, Any]) -> None:
    line = memoryview((json.dumps(entry) + "\n").encode())
    while line:
        line = line[os.write(descriptor, line) :]
    os.fsync(descriptor)
