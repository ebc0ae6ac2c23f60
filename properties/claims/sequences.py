"""Random sequences of all that the contract offers, against a model: the weights as they were last seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from properties.cases.case import Case
from properties.cases.strategies import NAMED_CASES, cases
from properties.claims.bad_input import BAD_STEPS
from properties.claims.present import EVALUATIONS, check_evaluation
from properties.claims.runs import BATCHES, batch, losses_of, plain
from properties.claims.steps import check_step, tame
from properties.runner.compare import Mismatch, assert_close, assert_identical
from properties.runner.registry import register
from properties.runner.subject import Subject
from properties.tolerances.rounding import Bounded, storing_error
from reference.contract import Capabilities, Implementation, Network

Operation = tuple[Any, ...]


@dataclass(frozen=True)
class Sequence(Case):
    """A case, and what is done with its network.

    Attributes:
        operations: In their order, each a name with numbers: ("evaluate", operation, batch), ("step", batch, method,
            loss), where method and loss count from 0 among those declared; ("refuse", number of the bad input),
            ("overwrite",) what came back or was handed in, ("swap",) with a second implementation of the same
            network, and ("rebuild",) from to_network.
    """

    operations: tuple[Operation, ...] = ()


def _named(name: str, *operations: Operation, **changes: Any) -> Sequence:
    return Sequence(**plain(replace(NAMED_CASES[name], **changes)), operations=operations)


#: Short ones that reach every operation, and what goes wrong most often.
NAMED_SEQUENCES: dict[str, Case] = {
    "evaluate, step, evaluate": _named(
        "default threshold", ("evaluate", "forward", 0), ("step", 0, 0, 0), ("evaluate", "forward", 0)
    ),
    "two implementations in turns": _named(
        "three outputs",
        ("step", 0, 0, 0),
        ("swap",),
        ("step", 1, 1, 0),
        ("swap",),
        ("evaluate", "gram", 1),
        ("step", 3, 0, 0),
    ),
    "overwrite what was handed over": _named(
        "float32",
        ("evaluate", "jacobian_factors", 0),
        ("step", 0, 1, 0),
        ("overwrite",),
        ("step", 2, 0, 0),
        ("evaluate", "gradient", 0),
    ),
    "refused in the middle, then rebuilt": _named(
        "duplicate samples",
        ("step", 0, 0, 0),
        ("refuse", 0),
        ("refuse", 5),
        ("step", 3, 1, 1),
        ("rebuild",),
        ("step", 0, 0, 2),
    ),
}


@st.composite
def sequences(draw: st.DrawFn, capabilities: Capabilities) -> Sequence:
    """Up to ten operations, half of them steps."""
    case = draw(cases(capabilities))
    batches = st.integers(0, len(BATCHES) - 1)
    step = st.tuples(
        st.just("step"),
        batches,
        st.integers(0, len(capabilities.methods) - 1),
        st.integers(0, max(0, len(capabilities.losses) - 1)),
    )
    evaluations = [name for name in EVALUATIONS if name in capabilities.operations]
    others = st.one_of(
        st.tuples(st.just("evaluate"), st.sampled_from(evaluations), batches),
        st.tuples(st.just("refuse"), st.integers(0, len(BAD_STEPS) - 1)),
        st.sampled_from([("overwrite",), ("swap",), ("rebuild",)]),
    )
    operations = draw(st.lists(st.one_of(step, others), min_size=1, max_size=10))
    return Sequence(**plain(case), operations=tuple(operations))


@register("step", "to_network", "active_sets", strategy=sequences, examples=NAMED_SEQUENCES, weight=0.4)
def any_sequence_of_operations_matches_the_oracle(subject: Subject, case: Case) -> None:
    """Steps move the weights as the oracle says, evaluations are of these weights, and nothing else moves them."""
    assert isinstance(case, Sequence)
    machine = _Machine(subject, case)
    for name, *numbers in case.operations:
        if not getattr(machine, name)(*numbers):
            return
        machine.check_nothing_else_moved(name)


class _Machine:
    """The implementation, a second one beside it, and the model of both.

    Every operation returns whether the sequence can go on: not where rounding leaves a step open.

    Attributes:
        implementation: The one that operations are for.
        known: Its weights, as after its latest step.
        aside: The other one and its weights.
        handed: Copies of arrays that were handed in, and arrays that came back.
    """

    def __init__(self, subject: Subject, case: Sequence):
        self.subject, self.case = subject, case
        self.implementation, self.known = self._built(case.network)
        self.aside = self._built(case.network)
        self.handed: list[np.ndarray] = []

    def evaluate(self, operation: str, index: int) -> bool:
        if operation not in self.subject.capabilities.operations:
            return True
        now = self._batch(index)
        if tame(now):
            oracle = self.subject.replay(now, self.implementation, self.known)
            self.handed += check_evaluation(now, self.implementation, oracle, operation)
        return True

    def step(self, index: int, method: int, loss: int) -> bool:
        methods, losses = self.subject.capabilities.methods, losses_of(self.subject, self.case)
        now = self._batch(index, losses[loss % len(losses)])
        if not tame(now) or not check_step(
            self.subject, now, self.implementation, self.known, methods[method % len(methods)]
        ):
            return False
        self.handed += [now.X, now.y]
        self.known = self.implementation.to_network()
        return True

    def refuse(self, index: int) -> bool:
        name, _, change = BAD_STEPS[index]
        now = self._batch(0)
        arguments: dict[str, Any] = {"X": now.X, "y": now.y, "loss": now.loss} | change(now)
        arguments.setdefault("method", self.subject.capabilities.methods[0])
        try:
            self.implementation.step(arguments.pop("X"), arguments.pop("y"), **arguments)
        except ValueError:
            return True
        raise Mismatch(f"step, {name}: expected a ValueError, got none")

    def overwrite(self) -> bool:
        for array in self.handed:
            if array.flags.writeable:
                array[...] = 1
        self.handed.clear()
        return True

    def swap(self) -> bool:
        mine = (self.implementation, self.known)
        self.implementation, self.known = self.aside
        self.aside = mine
        return True

    def rebuild(self) -> bool:
        given = self.known
        self.implementation, self.known = self._built(given)
        for layer, (weight, now) in enumerate(zip(given.weights, self.known.weights, strict=True), start=1):
            off = storing_error(weight, self.case.dtype, self.case.storage)  # sums may have come in float64
            assert_close(f"weights rebuilt, layer {layer}", ("unit", "input"), now, Bounded(weight, off))
        return True

    def check_nothing_else_moved(self, name: str) -> None:
        """Both implementations have the weights that the model says."""
        for which, (implementation, known) in (
            ("", (self.implementation, self.known)),
            (" of another implementation", self.aside),
        ):
            for layer, (now, then) in enumerate(
                zip(implementation.to_network().weights, known.weights, strict=True), start=1
            ):
                assert_identical(f"weights{which} after {name}, layer {layer}", ("unit", "input"), now, then)

    def _built(self, network: Network) -> tuple[Implementation, Network]:
        implementation = self.subject.build(self.case, network)
        return implementation, implementation.to_network()

    def _batch(self, index: int, loss: str | None = None) -> Case:
        return batch(self.case, index, self.known, loss)
