"""Replacing a file as a whole: whoever opens it, at whatever moment, finds the old one or the new one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from reference.contract import ArgumentError


def write_atomically(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Writes a file under a temporary name in the same folder, and renames it once all of it is on the disk.

    An error removes the temporary file. Whoever is killed leaves it, under a name that nobody else takes.

    Args:
        path: The file, which may exist.
        parts: Its contents, one after the other.

    Raises:
        OSError: where something could not be written. The old file is whole; the new one is only where nothing but the
            last step failed, in which the folder is brought to the disk.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself
    finally:
        os.close(folder)


def absolute_path(argument: str, value: Any) -> Path:
    """Returns a path as an absolute one, with symbolic links followed, so that no link is replaced by a file."""
    try:
        return Path(os.path.realpath(os.fsdecode(value)))
    except (TypeError, ValueError, OSError) as error:
        raise ArgumentError(argument, "the path of a file", f"{value!r} ({error})") from None
