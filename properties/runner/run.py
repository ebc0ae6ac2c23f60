"""Running properties: the search for a failing case, and what became of it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase
from hypothesis.errors import InvalidArgument, Unsatisfiable

from properties.cases.case import Case
from properties.cases.strategies import within
from properties.oracles import arbitrate
from properties.runner.compare import Mismatch, OraclesDisagree
from properties.runner.failure import Failure, describe, examine, message
from properties.runner.profiles import PROFILES, Profile
from properties.runner.registry import REGISTRY, Property
from properties.runner.subject import Subject

#: What an implementation may raise; it is its failure, not the suite's.
RAISED = (Exception, SystemExit, GeneratorExit)


@dataclass
class Outcome:
    """What became of one property.

    Attributes:
        name: The property's.
        examples: How many cases were tried.
        seconds: How long that took.
        examples_to_failure: How many cases were tried up to the first failure, None where there was none.
        seconds_to_failure: How long that took.
        record: The failure on the smallest case, None where none failed.
        disputed: What the oracles disagree on in that case, "" where they agree: then the implementation failed.
        skipped: Why it was not run, "" if it was.
    """

    name: str
    examples: int = 0
    seconds: float = 0.0
    examples_to_failure: int | None = None
    seconds_to_failure: float | None = None
    record: Failure | None = None
    disputed: str = ""
    skipped: str = ""

    @property
    def state(self) -> str:
        """One of "passed", "failed", "skipped" and "disputed"."""
        if self.skipped:
            return "skipped"
        if self.disputed:
            return "disputed"
        return "failed" if self.record else "passed"

    @property
    def failure(self) -> str:
        """The message of the smallest failing case, "" where the implementation did not fail."""
        return self.record.message if self.record and not self.disputed else ""

    @property
    def case(self) -> str:
        """That case, as code; "" where there is none."""
        return self.record.case if self.record else ""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what had become of the property until then."""

    def __init__(self, outcome: Outcome):
        super().__init__()
        self.outcome = outcome


class _Enough(BaseException):
    """The time for shrinking is up. No Exception, so that Hypothesis lets it through."""


def run_suite(
    subject: Subject,
    *,
    examples: int | None = None,
    random_seed: int | None = None,
    properties: Iterable[Property] | None = None,
    progress: Callable[[Outcome], None] = lambda outcome: None,
    profile: Profile = PROFILES["ci"],
    fail_fast: bool = False,
) -> list[Outcome]:
    """Runs properties in their order and reports each as it ends.

    Args:
        subject: The implementation.
        examples: Random cases of a property of weight 1; None for the profile's.
        random_seed: Determines them; None for the profile's.
        properties: Which; None for all.
        progress: Called with every outcome; when interrupted, also with a failure that was found before.
        profile: How much is tried.
        fail_fast: Whether to stop after the first failure.
    """
    profile = profile.with_choices(examples=examples, seed=random_seed)
    outcomes: list[Outcome] = []
    for item in REGISTRY if properties is None else properties:
        try:
            outcomes.append(run_property(item, subject, profile=profile))
        except Interrupted as interruption:
            if interruption.outcome.record:
                progress(interruption.outcome)
            raise
        progress(outcomes[-1])
        if fail_fast and outcomes[-1].state == "failed":
            break
    return outcomes


def run_property(
    item: Property,
    subject: Subject,
    examples: int | None = None,
    random_seed: int | None = None,
    *,
    profile: Profile = PROFILES["ci"],
) -> Outcome:
    """Runs one property: the named cases, then random ones, shrunk where one fails.

    Args:
        item: The property.
        subject: The implementation; its counts are added to.
        examples: How many random cases, before the property's weight; None for the profile's.
        random_seed: Determines them; None for the profile's.
        profile: How much is tried.

    Raises:
        Interrupted: at Ctrl-C, with the outcome so far.
    """
    profile = profile.with_choices(examples=examples, seed=random_seed)
    if reason := item.skipped(subject):
        return Outcome(item.name, skipped=reason)
    return _outcome(_Search(item, subject, profile), _Search.run)


def run_case(item: Property, subject: Subject, case: Case) -> Outcome:
    """Runs one property on one case; what a capability does not allow is tried all the same."""
    return _outcome(_Search(item, subject, PROFILES["ci"]), lambda search: search.attempt(case))


def _outcome(search: _Search, course: Callable[[_Search], None]) -> Outcome:
    try:
        course(search)
    except RAISED:  # what Hypothesis makes of a failing case says less than the case itself
        if not search.failed:
            raise  # a fault of the suite
    except KeyboardInterrupt:
        if search.failed:
            search.outcome.record = describe(search.item, search.subject, *search.failed)
        raise Interrupted(search.outcome) from None
    except _Enough:
        pass
    if search.failed:
        _judge(search.outcome, search, *search.failed)
    search.outcome.seconds = time.perf_counter() - search.begin
    return search.outcome


def _judge(outcome: Outcome, search: _Search, case: Case, error: BaseException) -> None:
    failure = describe(search.item, search.subject, case, error)
    outcome.record = examine(failure, search.item, search.subject, case)
    if isinstance(error, OraclesDisagree):
        outcome.disputed = str(error)
    elif isinstance(error, Mismatch):
        outcome.disputed = _arbitrated(case)


def _arbitrated(case: Case) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a library's, which a caller may have made errors
            return arbitrate(case)
    except Exception as error:  # an oracle that cannot judge a case is no witness against an implementation
        return f"an oracle raised {message(error)}"


class _Search:
    """Tries cases and keeps the smallest that failed, with what was raised."""

    def __init__(self, item: Property, subject: Subject, profile: Profile):
        self.item, self.subject, self.profile = item, subject, profile
        self.outcome = Outcome(item.name)
        self.failed: tuple[Case, BaseException] | None = None
        self.begin = self.first_failure = time.perf_counter()

    def run(self) -> None:
        """Named cases, then random ones; raises what the smallest failing case raised."""
        for named in list(self.item.examples.values())[:: self.profile.every]:
            case = within(named, self.subject.capabilities)
            if case is not None and self.item.seeded:
                case = self.item.seeded(case, self.profile.seed or 0)
            if case is not None:
                self.attempt(case)
        if self.item.seeded:
            if not self.outcome.examples:
                self.outcome.skipped = "no case is within what the implementation declares"
            return
        try:
            self._random()
        except (InvalidArgument, Unsatisfiable) as error:
            if self.failed or self.outcome.examples:
                raise
            self.outcome.skipped = f"no case is within what the implementation declares ({error})"

    def attempt(self, case: Case) -> None:
        """Tries one case; a failing one is a smaller one than before, as Hypothesis goes on with such only."""
        if self.failed and time.perf_counter() - self.first_failure > self.profile.shrink_seconds:
            raise _Enough
        self.outcome.examples += 1
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                # A case with arrays of its own: what an implementation writes into them ends here.
                self.item.check(self.subject, replace(case))
        except RAISED as error:
            if not self.failed:
                self.first_failure = time.perf_counter()
                self.outcome.examples_to_failure = self.outcome.examples
                self.outcome.seconds_to_failure = self.first_failure - self.begin
            self.failed = replace(case), error
            raise

    def _random(self) -> None:
        profile, item = self.profile, self.item
        database = None
        if profile.database is not None:
            database = _Shelf(DirectoryBasedExampleDatabase(profile.database), f"{self.subject.name} {item.name} ")

        def attempt(case: Case) -> None:  # Hypothesis wants a plain function
            self.attempt(case)

        test = settings(
            max_examples=max(1, round(profile.examples * item.weight)),
            deadline=None,
            database=database,
            verbosity=Verbosity.quiet,
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.reuse, Phase.generate, Phase.shrink),
        )(seed(profile.seed)(given(item.strategy(self.subject.capabilities))(attempt)))
        test()


class _Shelf(ExampleDatabase):
    """The part of a database that belongs to one implementation and property: all checks share one function here."""

    def __init__(self, database: ExampleDatabase, name: str):
        super().__init__()
        self._database, self._name = database, name.encode()

    def save(self, key: bytes, value: bytes) -> None:
        """See ExampleDatabase."""
        self._database.save(self._name + key, value)

    def fetch(self, key: bytes) -> Iterator[bytes]:
        """See ExampleDatabase."""
        yield from self._database.fetch(self._name + key)

    def delete(self, key: bytes, value: bytes) -> None:
        """See ExampleDatabase."""
        self._database.delete(self._name + key, value)
