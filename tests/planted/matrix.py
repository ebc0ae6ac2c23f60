"""Bugs × properties: which property finds which bug, and after how many examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from statistics import median

import torch

from properties import REGISTRY, Subject, run_property
from properties.runner.profiles import PROFILES, Profile
from reference.contract import load_factory
from tests.planted import BUGS, factory
from tests.planted.registry import planted

#: No smaller case is searched for: what counts is whether, and when, a bug is found.
PROFILE = replace(PROFILES["ci"], shrink_seconds=0.0)


@dataclass(frozen=True)
class Cell:
    """One property on one implementation.

    Attributes:
        state: "passed", "failed", "skipped" or "disputed".
        examples: How many cases were tried, up to the first failure where there was one.
        seconds: How long that took.
        message: Of the failure, "" without one.
    """

    state: str
    examples: int
    seconds: float
    message: str = ""


@dataclass
class Row:
    """One implementation, and what its properties said, in the order in which they ran.

    Attributes:
        name: A bug's, or a correct implementation's as `load_factory` takes it.
        kind: The bug's kind, "correct" for a correct implementation.
        description: The bug's, "" for a correct implementation.
        expected: The properties that name the bug, at least one of which is to fail; empty where none is to.
        cells: By the name of the property.
    """

    name: str
    kind: str
    description: str = ""
    expected: tuple[str, ...] = ()
    cells: dict[str, Cell] = field(default_factory=dict)

    @property
    def failed(self) -> list[str]:
        """The properties that failed."""
        return [name for name, cell in self.cells.items() if cell.state in ("failed", "disputed")]

    @property
    def killers(self) -> list[str]:
        """Those of them that name the bug."""
        return [name for name in self.failed if name in self.expected]

    @property
    def good(self) -> bool:
        """Whether a bug is killed by name, or a correct implementation is clean, and something ran."""
        if self.kind != "correct":
            return bool(self.killers)
        return not self.failed and any(cell.state == "passed" for cell in self.cells.values())

    @property
    def examples_to_the_kill(self) -> int:
        """Of the property that names the bug and takes the fewest."""
        return min(self.cells[name].examples for name in self.killers)

    @property
    def seconds_to_the_first_failure(self) -> float:
        """How long the properties ran, in their order, up to the first that failed."""
        cells = list(self.cells.values())
        first = next(i for i, cell in enumerate(cells) if cell.state in ("failed", "disputed"))
        return sum(cell.seconds for cell in cells[: first + 1])


@dataclass(frozen=True)
class Summary:
    """Figures over all bugs.

    Attributes:
        bugs: How many there are.
        killed: How many of them were found by a property that names them.
        examples: The median number of examples to the kill.
        seconds: The median time to the first failure.
        slowest: The longest.
    """

    bugs: int
    killed: int
    examples: float
    seconds: float
    slowest: float

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Summary:
        """Of the bugs among some rows."""
        bugs = [row for row in rows if row.kind != "correct"]
        killed = [row for row in bugs if row.good]
        seconds = [row.seconds_to_the_first_failure for row in killed] or [float("nan")]
        examples = [float(row.examples_to_the_kill) for row in killed] or [float("nan")]
        return cls(len(bugs), len(killed), median(examples), median(seconds), max(seconds))


def bug_row(name: str, *, quick: bool) -> Row:
    """Puts a bug through every property; quickly, through those that name it up to the first that fails."""
    bug = planted(name)
    row = Row(name, bug.kind, bug.description, bug.killers)
    wrong = load_factory(f"{factory.__module__}:factory?bug={name}")
    names = bug.killers if quick else tuple(item.name for item in REGISTRY)
    for item in sorted(
        (item for item in REGISTRY if item.name in names), key=lambda item: names.index(item.name) if quick else 0
    ):
        row.cells[item.name] = _cell(item.name, Subject(name, wrong))
        if quick and row.good:
            break
    return row


def correct_row(base: str, *, properties: frozenset[str] | None = None) -> Row:
    """Puts a correct implementation through every property; or quickly, in the dev profile, through some."""
    row = Row(base, "correct")
    subject = Subject(base, load_factory(base))
    for item in REGISTRY:
        if properties is None or item.name in properties:
            row.cells[item.name] = _cell(item.name, subject, PROFILE if properties is None else PROFILES["dev"])
    return row


def all_rows(bugs: Sequence[str], *, quick: bool, jobs: int) -> Iterator[Row]:
    """All rows as they are ready: the bugs', then those of the implementations that they were planted in.

    Args:
        bugs: Names.
        quick: Whether to stop at the first property that names a bug; correct implementations then go through
            those properties only that found a bug, in the dev profile.
        jobs: Processes.
    """
    found: set[str] = set()
    for row in _each(partial(bug_row, quick=quick), bugs, jobs):
        found.update(row.killers)
        yield row
    bases = list(dict.fromkeys(BUGS[name].base for name in bugs))
    yield from _each(partial(correct_row, properties=frozenset(found) if quick else None), bases, jobs)


def _each(work: partial[Row], names: Sequence[str], jobs: int) -> Iterator[Row]:
    if jobs == 1:
        yield from map(work, names)
        return
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        for done in as_completed([pool.submit(work, name) for name in names]):
            yield done.result()


def _cell(name: str, subject: Subject, profile: Profile = PROFILE) -> Cell:
    item = next(item for item in REGISTRY if item.name == name)
    outcome = run_property(item, subject, profile=profile)
    if outcome.examples_to_failure is None:
        return Cell(outcome.state, outcome.examples, outcome.seconds)
    message = outcome.disputed or outcome.failure
    return Cell(outcome.state, outcome.examples_to_failure, outcome.seconds_to_failure or 0.0, message)
