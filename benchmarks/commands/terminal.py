"""What the subcommands show on a terminal: a console for tables, a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from benchmarks.load import BUSY, probe

PIPE_COLUMNS = 140


def output_console() -> Console:
    """Standard output, wide enough for tables where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_COLUMNS)


def warn_if_busy() -> float | None:
    """Says so on standard error where others take part of the machine; returns their share, None if unknown."""
    others = probe()
    if others is not None and others > BUSY:
        print(
            f"warning: other processes take {others:.0%} of the processors; times will suffer",
            file=sys.stderr,
        )
    return others


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on standard error if that is a terminal, and nothing in a pipe."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description:<16}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with bar:
        task = bar.add_task("")
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
