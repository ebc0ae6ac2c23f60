"""Processes that each run one mutant, forked from one that has imported all but impl."""

from __future__ import annotations

import os
import selectors
import signal
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutation.killing import kill, silence

# Seconds in which the unmutated code says many times that it begins something else, on a busy machine too.
PATIENCE = 150.0


@dataclass
class _Child:
    task: tuple[str, str]
    process: int
    pipe: int
    begun: float
    heard: float
    said: list[bytes] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        return b"".join(self.said).decode(errors="replace").splitlines()


def run(tasks: Iterable[tuple[str, str]], jobs: int) -> Iterator[tuple[tuple[str, str], str, float]]:
    """Runs tasks, each a module's path and the source in its place.

    Yields:
        Each task when it ends, what killed it ("" if nothing did), and the seconds it took.
    """
    waiting, running = list(tasks)[::-1], {}
    with selectors.DefaultSelector() as selector, tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        caches = Path(folder)
        while waiting or running:
            while waiting and len(running) < jobs:
                child = _fork(waiting.pop(), caches)
                running[child.pipe] = child
                selector.register(child.pipe, selectors.EVENT_READ)
            for key, _ in selector.select(timeout=1.0):
                child = running[key.fd]
                said = os.read(child.pipe, 1 << 16)
                child.said.append(said)
                child.heard = time.monotonic()
                if not said:
                    yield _ended(child, running, selector)
            for child in list(running.values()):
                if time.monotonic() - child.heard > PATIENCE:
                    os.kill(child.process, signal.SIGKILL)
                    child.said.append(f"\n= timeout: {child.lines[-1]}\n".encode())
                    yield _ended(child, running, selector)


def _ended(child: _Child, running: dict[int, _Child], selector: selectors.BaseSelector):
    selector.unregister(child.pipe)
    os.close(child.pipe)
    del running[child.pipe]
    _, status = os.waitpid(child.process, 0)
    if child.lines and child.lines[-1].startswith("! "):
        raise RuntimeError(child.lines[-1])
    verdicts = [line for line in child.lines if line.startswith("= ")]
    if verdicts:
        killer = verdicts[-1][2:]
    else:
        killer = f"crash: status {status} in {child.lines[-1] if child.lines else 'nothing'}"
    return child.task, killer.strip(), time.monotonic() - child.begun


def _fork(task: tuple[str, str], caches: Path) -> _Child:
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        now = time.monotonic()
        return _Child(task, process, reading, now, now)
    status = 1
    try:
        os.close(reading)
        os.setpgid(0, 0)

        def tell(text: str) -> None:
            os.write(writing, text.replace("\n", " ").encode() + b"\n")

        try:
            with silence():
                tell("= " + kill(*task, caches, tell))
        except BaseException:  # a fault of these tests, not a mutant killed
            tell("! " + traceback.format_exc(limit=-8).replace("\n", " | "))
        status = 0
    finally:
        os._exit(status)
