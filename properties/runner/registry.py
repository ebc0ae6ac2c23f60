"""What a property is, and the list of them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from properties.cases.case import Case
from properties.runner.subject import Subject
from reference.contract import Capabilities

Check = Callable[[Subject, Case], None]


@dataclass(frozen=True)
class Property:
    """One claim about every implementation.

    Attributes:
        name: Says what is wrong when it fails.
        needs: The operations of the contract that it calls.
        strategy: Makes cases within capabilities.
        examples: Named cases that are always tried, first.
        check: Raises where the claim does not hold.
        weight: Its share of random examples, relative to the others.
        unless: Why it is not for this subject, "" where it is.
        seeded: Of a statistical property: puts the run's seed into a named case. Such a property is tried on its named
            cases only, once each: a test that is repeated until it fails has no error rate.
    """

    name: str
    needs: frozenset[str]
    strategy: Callable[[Capabilities], st.SearchStrategy[Case]]
    examples: dict[str, Case]
    check: Check
    weight: float = 1.0
    unless: Callable[[Subject], str] = lambda subject: ""
    seeded: Callable[[Case, int], Case] | None = None

    def skipped(self, subject: Subject) -> str:
        """Why it is not run on this subject, "" where it is."""
        missing = sorted(self.needs - set(subject.capabilities.operations))
        return f"the implementation declares no {', '.join(missing)}" if missing else self.unless(subject)


REGISTRY: list[Property] = []


def register(
    *needs: str,
    strategy: Callable[[Capabilities], st.SearchStrategy[Case]],
    examples: dict[str, Case],
    weight: float = 1.0,
    unless: Callable[[Subject], str] = lambda subject: "",
    seeded: Callable[[Case, int], Case] | None = None,
) -> Callable[[Check], Check]:
    """Adds a check to the suite under its function's name; the arguments are Property's."""

    def add(check: Check) -> Check:
        name = getattr(check, "__name__", repr(check))
        REGISTRY.append(Property(name, frozenset(needs), strategy, examples, check, weight, unless, seeded))
        return check

    return add


def needs_methods(*methods: str) -> Callable[[Subject], str]:
    """For `unless`: the property takes steps of these methods."""

    def reason(subject: Subject) -> str:
        missing = [method for method in methods if method not in subject.capabilities.methods]
        return f"the implementation declares no {', '.join(missing)}" if missing else ""

    return reason
