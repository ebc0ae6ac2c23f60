"""The parent's end of the process that has the device: it is asked, waited for, and replaced when it is lost."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from benchmarks.device.plan import Plan

START_SECONDS = 120.0
ROOT = Path(__file__).resolve().parents[2]


class PartError(Exception):
    """A part of the measurement failed; the text says why, in one line."""


class TooLateError(PartError):
    """The process gave no answer in time, and was ended."""


class DeviceProcess:
    """Starts `benchmarks.device.worker` when it is first asked, and again after it was lost.

    Args:
        plan: Whose setting it gets.

    Attributes:
        environment: The conditions that it reported; empty before it has started.
        starts: How often it was started.
    """

    def __init__(self, plan: Plan):
        self.environment: dict[str, Any] = {}
        self.starts = 0
        self._setting = asdict(plan)
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._unread = b""

    @property
    def alive(self) -> bool:
        """Whether there is a process, that has not been lost."""
        return self._process is not None

    def ask(self, seconds: float, do: str, **arguments: Any) -> Any:
        """What a method of the worker returns.

        Args:
            seconds: To wait for it; a process that takes longer is ended.
            do: The method.
            arguments: Its arguments.

        Raises:
            PartError: where it failed, was lost or took too long.
        """
        if self._process is None:
            self._start()
        return self._exchange({"do": do, **arguments}, seconds)

    def close(self) -> None:
        """Ends the process, if there is one."""
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None
        assert self._log is not None
        self._log.close()

    def _start(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 # closed with the process
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.device.worker"],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for the parent, which ends it
        )
        self.starts, self._unread = self.starts + 1, b""
        try:
            self.environment = self._exchange(self._setting, START_SECONDS)
        except BaseException:
            self.close()
            raise

    def _exchange(self, request: dict[str, Any], seconds: float) -> Any:
        assert self._process is not None and self._process.stdin is not None
        with suppress(BrokenPipeError):  # what became of it shows when the reply is missing
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        line = self._line(time.monotonic() + seconds)
        if line is None:
            self.close()
            raise TooLateError(f"no answer within {seconds:.0f} s")
        if not line:
            reason = self._last_words()
            self.close()
            raise PartError(f"the process that has the device ended: {reason}")
        reply = json.loads(line)
        if reply.get("spoiled"):
            self.close()
        if "error" in reply:
            raise PartError(reply["error"])
        return reply["value"]

    def _line(self, deadline: float) -> bytes | None:
        """A line of the process; empty where it has ended, None at the deadline."""
        assert self._process is not None and self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                part = os.read(self._process.stdout.fileno(), 1 << 16)
                if not part:
                    return b""
                self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _last_words(self) -> str:
        assert self._process is not None and self._log is not None
        status = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f"{lines[-1][:300] if lines else 'without a word'} (exit status {status})"
