"""Two versions side by side: a commit's files in a folder, and a process that measures them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks.gate.verdict import BrokenError
from reference.contract import ArgumentError

REPOSITORY = Path(__file__).resolve().parents[2]


def commit_of(argument: str, name: str) -> str:
    """The full hash of a commit.

    Args:
        argument: For the error message.
        name: Anything that git takes for a commit.

    Raises:
        ArgumentError: where it is none, or there is no git.
    """
    try:
        found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except (OSError, subprocess.CalledProcessError):
        raise ArgumentError(argument, "a commit of this repository, or a scaling.json", repr(name)) from None
    return found.decode().strip()


def extract(commit: str, folder: Path) -> None:
    """Lays a commit's files into a folder, with the measuring code of this checkout: both sides are measured alike.

    Args:
        commit: A hash.
        folder: To be created.
    """
    with tarfile.open(fileobj=BytesIO(_git("archive", "--format=tar", commit))) as archive:
        archive.extractall(folder, filter="data")
    shutil.rmtree(folder / "benchmarks", ignore_errors=True)
    shutil.copytree(REPOSITORY / "benchmarks", folder / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))


class Version:
    """A process that measures one version's code.

    Attributes:
        side: "base" or "head", for messages.
    """

    def __init__(self, side: str, folder: Path, setting: dict[str, Any]):
        self.side = side
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 # closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gate.worker"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for the gate, which ends them
        )
        self.send({"do": "set", "setting": setting})

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Sends a request and waits for its reply.

        Raises:
            BrokenError: where the version fails.
        """
        self.send(request)
        return self.receive()

    def send(self, request: dict[str, Any]) -> None:
        """Sends a request."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # what became of it shows when the reply is missing
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Waits for a reply.

        Raises:
            BrokenError: where the version fails.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise BrokenError(f"{self.side} ended: {self._last_words()}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise BrokenError(f"{self.side} failed: {reply['error']}")
        return reply

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self._process.returncode}"


def together(versions: Sequence[Version], request: dict[str, Any]) -> list[dict[str, Any]]:
    """Has all versions do the same at the same time: for what is not timed.

    Raises:
        BrokenError: where one fails.
    """
    for version in versions:
        version.send(request)
    return [version.receive() for version in versions]


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(REPOSITORY), *arguments], capture_output=True, check=True).stdout
