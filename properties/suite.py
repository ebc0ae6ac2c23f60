"""The suite: what a property is, what it is run against, and how a run is counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st

from properties.case import Case
from properties.compare import assert_masks
from properties.replay import Replay, replay
from properties.rounding import Arithmetic
from properties.strategies import within
from reference.contract import Capabilities, Factory, Implementation, Network, Summands, capabilities_of


@dataclass
class Subject:
    """The implementation under test.

    Attributes:
        name: How the caller names it.
        factory: Builds it.
        device: Where.
        capabilities: What it declares.
        units: Units whose masks were compared.
        ambiguous_units: Those of them inside the rounding band, where either mask is legal.
        steps: Gauss–Newton steps compared.
        unresolved_steps: Those of them so ill-conditioned that rounding leaves the step open.
    """

    name: str
    factory: Factory
    device: str = "cpu"
    units: int = 0
    ambiguous_units: int = 0
    steps: int = 0
    unresolved_steps: int = 0
    capabilities: Capabilities = field(init=False)

    def __post_init__(self) -> None:
        self.capabilities = capabilities_of(self.factory)

    def build(self, case: Case, network: Network | None = None) -> Implementation:
        """The implementation of the case's network, or of another network in the case's dtype."""
        options = {} if case.trained is None else {"trained_layers": case.trained}
        return self.factory(network or case.network, device=self.device, dtype=case.dtype, **options)

    def summands(self, implementation: Implementation) -> Sequence[Summands] | None:
        """How the implementation holds its weights, where it says that it holds them as sums."""
        method = getattr(implementation, "summands", None)
        return None if method is None else method()

    def replay(self, case: Case, implementation: Implementation, network: Network | None = None) -> Replay:
        """The oracle replayed with the implementation's masks, after these were found legal."""
        masks = [np.asarray(mask) for mask in implementation.active_sets(case.X)]
        network = network or case.network
        shapes = [(case.samples, width) for width in network.widths[1:]]
        usable = masks if [mask.shape for mask in masks] == shapes else None
        summands = self.summands(implementation)
        oracle = replay(network, case.X.astype(np.float64), Arithmetic(case.dtype), usable, summands)
        self.units += sum(mask.size for mask in oracle.masks)
        self.ambiguous_units += sum(int(unclear.sum()) for unclear in oracle.ambiguous)
        assert_masks(masks, oracle)
        return oracle


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
    """

    name: str
    needs: frozenset[str]
    strategy: Callable[[Capabilities], st.SearchStrategy[Case]]
    examples: dict[str, Case]
    check: Check
    weight: float = 1.0
    unless: Callable[[Subject], str] = lambda subject: ""


@dataclass
class Outcome:
    """What became of one property.

    Attributes:
        name: The property's.
        examples: How many cases were tried.
        seconds: How long that took.
        failure: The message of the smallest failing case, "" if none failed.
        case: That case, as code.
        skipped: Why it was not run, "" if it was.
    """

    name: str
    examples: int = 0
    seconds: float = 0.0
    failure: str = ""
    case: str = ""
    skipped: str = ""


REGISTRY: list[Property] = []


def register(
    *needs: str,
    strategy: Callable[[Capabilities], st.SearchStrategy[Case]],
    examples: dict[str, Case],
    weight: float = 1.0,
    unless: Callable[[Subject], str] = lambda subject: "",
) -> Callable[[Check], Check]:
    """Adds a check to the suite under its function's name; the arguments are Property's."""

    def add(check: Check) -> Check:
        name = getattr(check, "__name__", repr(check))
        REGISTRY.append(Property(name, frozenset(needs), strategy, examples, check, weight, unless))
        return check

    return add


def run_property(item: Property, subject: Subject, examples: int, random_seed: int) -> Outcome:
    """Runs one property: the named cases, then random ones, shrunk where one fails.

    Args:
        item: The property.
        subject: The implementation; its counts are added to.
        examples: How many random cases.
        random_seed: Determines them.
    """
    missing = sorted(item.needs - set(subject.capabilities.operations))
    if missing:
        return Outcome(item.name, skipped=f"the implementation declares no {', '.join(missing)}")
    if reason := item.unless(subject):
        return Outcome(item.name, skipped=reason)
    outcome = Outcome(item.name)
    begin = time.perf_counter()
    last: list[Case] = []

    def attempt(case: Case) -> None:
        outcome.examples += 1
        last[:] = [case]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            item.check(subject, case)

    try:
        for named in item.examples.values():
            case = within(named, subject.capabilities)
            if case is not None:
                attempt(case)
        _search(attempt, item.strategy(subject.capabilities), max(1, round(examples * item.weight)), random_seed)
    except Exception as error:  # whatever an implementation raises is its failure, not the suite's
        outcome.failure = f"{type(error).__name__}: {error}"
        outcome.case = repr(last[0]) if last else ""
    outcome.seconds = time.perf_counter() - begin
    return outcome


def _search(attempt: Callable[[Case], Any], strategy: st.SearchStrategy[Case], examples: int, random_seed: int) -> None:
    """Hypothesis's search; what it raises in the end is the smallest failing case's own exception."""
    test = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        verbosity=Verbosity.quiet,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )(seed(random_seed)(given(strategy)(attempt)))
    test()


def run_suite(
    subject: Subject,
    *,
    examples: int,
    random_seed: int = 0,
    properties: Iterable[Property] | None = None,
    progress: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Runs properties in their order and reports each as it ends."""
    outcomes = []
    for item in REGISTRY if properties is None else properties:
        outcomes.append(run_property(item, subject, examples, random_seed))
        progress(outcomes[-1])
    return outcomes
