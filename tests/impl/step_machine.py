"""Steps that succeed, are refused, or fail in the middle, in random sequences, over every kind of weights.

`python -m tests.impl.step_machine` runs the machines, with and without planted bugs, and prints what each found as
JSON, in a process of its own. What only lazy weights can do is in tests/impl/lazy_machine.py.
"""

import json
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

import impl
from impl.history import History
from impl.weights.eager import EagerUpdate
from impl.weights.lazy import LazyUpdate
from properties.cases.case import Case
from properties.claims.present import check_evaluation
from properties.claims.runs import batch
from properties.claims.steps import check_step, expected_weights, take
from properties.runner.compare import Mismatch, assert_close, assert_identical
from properties.suite import Subject
from reference.contract import LOSSES, METHODS, ArgumentError, configured
from tests.impl.test_all_or_nothing import AllocationFails

CASE = Case(input_dimension=5, widths=(9, 12, 7), outputs=3, b=0.1, biases=True, samples=3, duplicates=1)

#: Operations before the end of a step that may fail: weights are written by the last ones.
LAST = 400


class StepMachine(RuleBasedStateMachine):
    """Over one network; a second one beside it takes its own steps.

    Attributes:
        network: The network under test.
        known: Its weights, as after the latest step.
    """

    options = MappingProxyType({})

    @initialize(
        dtype=st.sampled_from(["float32", "float64"]),
        kernels=st.sampled_from(["compiled", "torch"]),
        trained=st.sampled_from([None, (2, 3)]),
        index=st.integers(0, 4),
    )
    def build(self, dtype, kernels, trained, index):
        self.case = replace(CASE, dtype=dtype, trained=trained)
        self.subject = Subject("ours", configured(impl.factory, kernels=kernels, **self.options))
        self.network, self.other = self.subject.build(self.case), self.subject.build(self.case)
        self.known = self.network.to_network()
        self.steps = 0
        self.step(index, "gauss_newton", "squared")

    @rule(index=st.integers(0, 4), method=st.sampled_from(METHODS), loss=st.sampled_from(LOSSES))
    def step(self, index, method, loss):
        check_step(self.subject, self.batch(index, loss), self.network, self.known, method)
        self.accept()

    @rule(index=st.integers(0, 4), method=st.sampled_from(METHODS), left=st.integers(0, LAST))
    def step_that_fails_in_the_middle(self, index, method, left):
        case = self.batch(index, "squared")
        with AllocationFails(10**9) as counting:
            take(self.subject.build(case, self.known), case, method)
        k = max(1, 10**9 - counting.left - left)
        expected = expected_weights(self.subject, case, self.network, self.known, method)
        try:
            with AllocationFails(k):
                take(self.network, case, method)
        except MemoryError:
            self.unchanged(f"operation {k} failed")
            return
        pairs = zip(self.network.to_network().weights, expected or (), strict=False)
        for layer, (weight, bound) in enumerate(pairs, start=1):
            assert_close(f"weights after {method}, layer {layer}", ("unit", "input"), weight, bound)
        self.accept()

    @rule(learning_rate=st.sampled_from([-1.0, float("nan")]))
    def step_that_is_refused(self, learning_rate):
        case = self.batch(0, "squared")
        with pytest.raises(ArgumentError, match=r"^learning_rate: "):
            take(self.network, case, "gauss_newton", learning_rate=learning_rate)
        self.unchanged("a refused step")

    @rule(index=st.integers(0, 4))
    def step_of_the_other_network(self, index):
        take(self.other, self.batch(index, "squared"), "gradient_descent")
        self.unchanged("a step of another network")

    @rule()
    def rebuild(self):
        self.network = self.subject.build(self.case, self.known)
        self.known = self.network.to_network()
        self.steps = 0

    @rule(index=st.integers(0, 4), operation=st.sampled_from(["forward", "gradient", "gram", "jacobian_factors"]))
    def evaluate(self, index, operation):
        case = self.batch(index, "squared")
        oracle = self.subject.replay(case, self.network, self.known)
        check_evaluation(case, self.network, oracle, operation)

    @invariant()
    def steps_are_counted(self):
        if self.network.iteration != self.steps:
            raise Mismatch(f"iteration: expected {self.steps}, got {self.network.iteration}")

    def batch(self, index, loss):
        return batch(self.case, index, self.known, loss)

    def accept(self):
        self.known = self.network.to_network()
        self.steps += 1

    def unchanged(self, what):
        for layer, (now, then) in enumerate(
            zip(self.network.to_network().weights, self.known.weights, strict=True), start=1
        ):
            assert_identical(f"weights after {what}, layer {layer}", ("unit", "input"), now, then)


class Eager(StepMachine):
    options = MappingProxyType({})


class LazyFolding(StepMachine):
    options = MappingProxyType({"weights": "lazy"})


class LazyKeepingCG(StepMachine):
    options = MappingProxyType({"weights": "lazy", "maintenance": "keep", "solver": "cg"})


MACHINES = (Eager, LazyFolding, LazyKeepingCG)


def revert_that_does_nothing(patch):
    patch.setattr(EagerUpdate, "revert", lambda self: None)


def lazy_state_that_survives_an_error(patch):
    patch.setattr(LazyUpdate, "revert", lambda self: None)


def history_that_counts_twice(patch):
    def advance(self):
        whole(self)
        whole(self)

    whole = History.advance
    patch.setattr(History, "advance", advance)


PLANTED = {
    revert_that_does_nothing: Eager,
    lazy_state_that_survives_an_error: LazyFolding,
    history_that_counts_twice: Eager,
}


def run(machine, examples, steps):
    """Runs a machine, always the same way; a failure is reported as found, which is fast."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            database=None,
            deadline=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,),
        ),
    )


def outcome(machine, examples, steps, plant=None):
    """The mismatch that a run finds, "" where it finds none."""
    with pytest.MonkeyPatch.context() as patch:
        if plant:
            plant(patch)
        try:
            run(machine, examples, steps)
        except Mismatch as mismatch:
            return str(mismatch)
    return ""


if __name__ == "__main__":
    torch.set_num_threads(1)
    np.seterr(all="ignore")
    found = {machine.__name__: outcome(machine, 25, 12) for machine in MACHINES}
    found |= {plant.__name__: outcome(machine, 60, 12, plant) for plant, machine in PLANTED.items()}
    print(json.dumps(found))
