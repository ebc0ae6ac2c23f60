"""Profiles: how much is tried, with which seed, and what is remembered."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from pathlib import Path

#: Where a remembering profile keeps failing examples, unless it is told otherwise.
DATABASE = Path(".hypothesis") / "properties"


@dataclass(frozen=True)
class Profile:
    """How much a run of the suite tries.

    Attributes:
        name: dev, ci or nightly.
        examples: Random cases of a property of weight 1.
        run_length: Steps of a property about long runs.
        seed: Determines the random cases; None draws one from the system's entropy.
        every: Of the named cases every one (1), or one in so many.
        database: Where failing examples are kept and from where they are tried first the next time; None keeps none.
        shrink_seconds: After a failure, how long smaller cases are searched for. Only how small the reported case
            is depends on it, never whether a property fails.
    """

    name: str
    examples: int
    run_length: int
    seed: int | None
    every: int = 1
    database: Path | None = None
    shrink_seconds: float = 10.0

    def with_choices(
        self, *, examples: int | None = None, seed: int | None = None, database: Path | None = None
    ) -> Profile:
        """The profile with what a caller chose instead, and with a seed drawn where there is none."""
        if seed is None:
            seed = secrets.randbits(32) if self.seed is None else self.seed
        return replace(self, examples=examples or self.examples, seed=seed, database=database or self.database)


PROFILES = {
    profile.name: profile
    for profile in (
        # While writing an implementation: an answer in a few seconds. It tries a part of the named cases, always
        # the same; what it passes may fail in ci.
        Profile("dev", examples=4, run_length=4, seed=0, every=4, shrink_seconds=2.0),
        # For every change: derandomized, so that the same code gives the same answer on every machine; nothing is
        # remembered, so that an answer does not depend on the run before.
        Profile("ci", examples=40, run_length=8, seed=0),
        # For what ci's fixed cases miss: many cases, long runs, another seed every time, which the header prints and
        # --seed repeats. What failed once is remembered, and tried first from then on.
        Profile("nightly", examples=1000, run_length=50, seed=None, database=DATABASE),
    )
}
