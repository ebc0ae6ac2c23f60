"""Lazy weights under random sequences of all that can be done to them, against dense float64 weights kept apart.

`python -m tests.impl.lazy_machine` runs the machines, with and without planted bugs, and prints what each found as
JSON. In a process of its own, where no array annotation is checked: that takes five times as long as the runs.

The bounds are those of the suite: a step may be off from the oracle's by rounding, a fold by the rounding of its sums,
a recompression by its tolerance; everything else returns weights to the last bit.
"""

import hashlib
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import impl
from impl.certified import CertificateError
from impl.certified.layer import CertifiedLayer
from impl.files import delta_file
from impl.history import History
from impl.weights import LazyWeights, LowRank
from impl.weights.low_rank import OuterProducts
from properties.cases.case import Case
from properties.claims.steps import coefficients as expected_coefficients
from properties.runner.compare import Mismatch, assert_close, assert_identical
from properties.suite import Subject
from properties.tolerances import bounds
from properties.tolerances.loss_bounds import loss_bounds
from properties.tolerances.rounding import Arithmetic, Bounded
from reference.contract import LOSSES, METHODS, ArgumentError, configured

TOLERANCES = (0.5, 1e-2, 1e-6)

#: Batches by number of samples, of repetitions of the first one, and seed. Two have as many samples as each other.
BATCHES = ((4, 0, 1), (3, 2, 2), (1, 0, 3), (4, 0, 4))

# What an empty update would make no difference to waits until there is one: else most runs would never train.
WITH_UPDATES = precondition(lambda self: any(self.network.ranks))


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class LazyMachine(RuleBasedStateMachine):
    """Over a base in memory, or in a file.

    Attributes:
        network: The network under test.
        model: What it should be: a Network, as compared after the latest change.
        records: For every iteration since the network was made the weights and a forward pass, to the last bit.
    """

    dtype = "float64"
    in_file = False
    forward = MappingProxyType({})  # options of the factory beside

    @initialize(
        outputs=st.sampled_from([1, 3]),
        kind=st.sampled_from(["shifted_relu", "thresholded_identity"]),
        maintenance=st.sampled_from(["keep", "fold"]),
        kernels=st.sampled_from(["compiled", "torch"]),
        index=st.integers(0, len(BATCHES) - 1),
    )
    def build(self, outputs, kind, maintenance, kernels, index):
        self.case = Case(
            input_dimension=5, widths=(9, 12, 7), outputs=outputs, kind=kind, b=0.1, biases=True, dtype=self.dtype
        )
        self.subject = Subject("lazy", configured(impl.factory, weights="lazy"))
        self.options = {"maintenance": maintenance, "kernels": kernels}
        self.folder = Path(tempfile.mkdtemp())
        self.base = None
        if self.in_file:
            self.base = self.folder / "base"
            impl.write_base(self.case.network, self.base, dtype=self.dtype)
            self.sha256 = digest(self.base)
            self.network = impl.open_base(self.base, **self.options)
        else:
            options = {**self.options, **self.forward, "weights": "lazy"}
            self.network = impl.factory(self.case.network, dtype=self.dtype, **options)
        self.model = self.network.to_network()
        for layer, (weight, given) in enumerate(zip(self.model.weights, self.case.network.weights, strict=True)):
            assert_identical(f"weights[{layer}] at the beginning", ("unit", "input"), weight, given)
        self.aside, self.folded = None, False
        self.restart()
        self.step(index, "gauss_newton", "squared")

    @rule(
        index=st.integers(0, len(BATCHES) - 1),
        method=st.sampled_from(METHODS),
        loss=st.sampled_from(LOSSES),
    )
    def step(self, index, method, loss):
        case = self.batch(index, "squared" if loss == "softmax_cross_entropy" and self.case.outputs == 1 else loss)
        oracle = self.subject.replay(case, self.network, self.model)
        coefficients, summands = expected_coefficients(self.subject, case, oracle, method), self.network.summands()
        report = self.network.step(
            case.X, case.y, method=method, loss=case.loss, learning_rate=case.rate(method), damping=case.damping
        )
        assert report.ranks == self.network.ranks
        after = self.network.to_network()
        self.folded |= report.folds > 0
        if coefficients is None:
            if not all(np.isfinite(weight).all() for weight in after.weights):
                raise Mismatch(f"{method}: the new weights are not finite")
        else:
            expected = bounds.moved_weights(self.model, oracle, coefficients, Arithmetic(self.dtype), summands=summands)
            self.compare(f"{method}", after, expected)
        self.latest = index, case.loss
        self.accept(after)

    @WITH_UPDATES
    @rule(method=st.sampled_from(METHODS))
    def step_on_the_same_batch(self, method):
        index, loss = self.latest
        self.step(index, method, loss)

    @WITH_UPDATES
    @rule()
    def fold(self):
        summands = self.network.summands()
        self.folded |= any(self.network.ranks)
        self.network.fold()
        assert self.network.ranks == (0, 0, 0)
        arithmetic = Arithmetic(self.dtype)
        self.compare(
            "fold",
            self.network.to_network(),
            [
                Bounded(weight, arithmetic.gamma(held.terms + 1) * held.magnitude)
                for weight, held in zip(self.model.weights, summands, strict=True)
            ],
        )
        self.accept(self.network.to_network())

    @WITH_UPDATES
    @rule(tolerance=st.sampled_from(TOLERANCES))
    def recompress(self, tolerance):
        tables = [weight.table.double().numpy().T for weight in self.network.weights]
        before = [weight.state.low_rank for weight in self.network.weights]
        self.network.recompress(tolerance)
        after = self.network.to_network()
        for layer, (table, held, was, now) in enumerate(
            zip(tables, before, self.model.weights, after.weights, strict=True), start=1
        ):
            allowed = tolerance * np.linalg.norm(table - was) + self.rounding(held, tolerance, table)
            if not np.linalg.norm(now - was) <= allowed:
                raise Mismatch(f"recompress, layer {layer}: off by {np.linalg.norm(now - was)}, bound {allowed}")
        self.accept(after)

    @precondition(lambda self: len(self.kept) > 1)
    @rule(data=st.data())
    def undo(self, data):
        iteration = data.draw(st.sampled_from(self.kept))
        self.network.undo(iteration)
        assert self.network.iteration == iteration
        self.records = {kept: seen for kept, seen in self.records.items() if kept <= iteration}
        self.identical("undo", *self.records[iteration])
        self.model = self.network.to_network()

    @WITH_UPDATES
    @rule()
    def fork_and_swap(self):
        fork = self.network.fork()
        self.aside, self.network = (self.network, *self.seen()), fork
        self.identical("fork", *self.aside[1:])
        self.restart()

    @precondition(lambda self: self.in_file and any(self.network.ranks))
    @rule()
    def save_and_load(self):
        weights, outputs = self.seen()
        try:
            impl.save_delta(self.network, self.folder / "delta")
        except ArgumentError:
            assert self.folded
            return
        self.network = impl.load_delta(self.folder / "delta", **self.options)
        self.identical("save and load", weights, outputs)
        self.restart()

    @invariant()
    def evaluations_match_the_oracle(self):
        case, arithmetic = self.batch(*self.latest), Arithmetic(self.dtype)
        oracle = self.subject.replay(case, self.network, self.model)
        assert_close("forward", ("sample", "output"), self.network.forward(case.X), oracle.outputs)
        r = loss_bounds(case.loss, oracle.outputs, case.y, arithmetic).gradient
        expected = bounds.weighted_sums(r, oracle, arithmetic)
        for layer, (got, bound) in enumerate(
            zip(self.network.gradient(case.X, case.y, case.loss), expected, strict=True), start=1
        ):
            assert_close(f"gradient, layer {layer}", ("unit", "input"), got, bound)

    @invariant()
    def nobody_else_is_touched(self):
        if self.base is not None and digest(self.base) != self.sha256:
            raise Mismatch("the base file was written")
        if self.aside is not None:
            other, weights, outputs = self.aside
            self.same("the network that was forked", (weights, outputs), self.seen(other))

    def teardown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def kept(self):
        return sorted(self.network._history._states)

    def batch(self, index, loss):
        """A batch, as a case of the network as it is now: rates and damping are then those of its Gram matrix."""
        samples, duplicates, seed = BATCHES[index]
        case = replace(self.case, samples=samples, duplicates=duplicates, seed=seed, loss=loss)
        vars(case)["network"] = self.model  # where a cached property keeps what it has found
        return case

    def rounding(self, held, tolerance, table):
        """Of a recompression, in the Frobenius norm: see tests/impl/test_lazy_weights.py.

        The new factors have a product of norms of at most Σσ ≤ √R ‖D‖_F ≤ √R ‖left‖_F ‖right‖_F.
        """
        if held.rank == 0:
            return 0.0
        right, left = held.factors()
        size = float(np.linalg.norm(right) * np.linalg.norm(left))
        stable = Arithmetic("float64").gamma(30 * max(table.shape) * held.rank) * (size + np.linalg.norm(table))
        return stable + np.sqrt(held.rank) * Arithmetic(self.dtype).gamma(2) * size

    def seen(self, network=None):
        network = network or self.network
        return network.to_network().weights, network.forward(self.batch(0, "squared").X)

    def same(self, what, expected, got):
        for layer, (was, now) in enumerate(zip(expected[0], got[0], strict=True), start=1):
            assert_identical(f"weights after {what}, layer {layer}", ("unit", "input"), now, was)
        assert_identical(f"forward after {what}", ("sample", "output"), got[1], expected[1])

    def identical(self, what, weights, outputs):
        self.same(what, (weights, outputs), self.seen())

    def compare(self, what, after, expected):
        for layer, (weight, bound) in enumerate(zip(after.weights, expected, strict=True), start=1):
            assert_close(f"weights after {what}, layer {layer}", ("unit", "input"), weight, bound)

    def accept(self, after):
        self.model = after
        self.record()

    def record(self):
        self.records[self.network.iteration] = self.seen()
        assert self.network.iteration in self.kept
        assert set(self.kept) <= set(self.records)
        if not self.folded:
            assert set(self.kept) == set(self.records)
        for iteration in {self.network.iteration + 1, min(self.records)} - set(self.kept):
            with pytest.raises(ArgumentError, match=r"^iteration: expected one whose state is kept"):
                self.network.undo(iteration)

    def restart(self):
        """A network that was just made counts from 0."""
        self.records = {}
        self.record()


class InMemory32(LazyMachine):
    dtype = "float32"


class InMemory64(LazyMachine):
    dtype = "float64"


class InFile32(LazyMachine):
    dtype, in_file = "float32", True


class InFile64(LazyMachine):
    dtype, in_file = "float64", True


class Certified32(LazyMachine):
    dtype, forward = "float32", MappingProxyType({"forward": "certified", "self_check": True})


class Certified64(LazyMachine):
    dtype, forward = "float64", MappingProxyType({"forward": "certified", "self_check": True})


MACHINES = (InMemory32, InMemory64, InFile32, InFile64, Certified32, Certified64)


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


def undo_that_forgets_a_layer(patch):
    def undo(self, iteration):
        last = self._weights[-1].state
        whole(self, iteration)
        self._weights[-1].state = last

    whole = History.undo
    patch.setattr(History, "undo", undo)


def merge_that_drops_the_earlier_left_factors(patch):
    patch.setattr(OuterProducts, "plus", lambda self, other, kernels: other)


def merge_by_right_units_alone(patch):
    def has_right_factors_of(self, other):
        return self.rank == other.rank and self.right.entries == other.right.entries

    patch.setattr(OuterProducts, "right_sum", 0.0)  # by which factors would be told apart first
    patch.setattr(OuterProducts, "has_right_factors_of", has_right_factors_of)


def transposed_product_that_ignores_the_update(patch):
    def apply_transpose(self, rows, columns, values, *rest):
        return values.new_zeros(values.shape[0], rows.entries)

    patch.setattr(LazyWeights, "low_rank_transpose", apply_transpose)


def load_that_loses_a_term(patch):
    def low_rank_of(*arguments):
        found = whole(*arguments)
        return replace(found, terms=found.terms[:-1])

    whole = delta_file.low_rank_of
    patch.setattr(delta_file, "low_rank_of", low_rank_of)


def fork_that_shares_a_base_and_does_not_say_so(patch):
    def fork(self):
        twin = whole(self)
        self.state.base.shared = False
        return twin

    whole = LazyWeights.fork
    patch.setattr(LazyWeights, "fork", fork)


def fold_that_loses_the_oldest_term(patch):
    def plan_fold(self, state, work):
        return whole(self, replace(state, low_rank=replace(state.low_rank, terms=state.low_rank.terms[1:])), work)

    whole = LazyWeights.plan_fold
    patch.setattr(LazyWeights, "plan_fold", plan_fold)


def recompression_to_a_tolerance_too_large(patch):
    whole = LowRank.recompressed
    patch.setattr(LowRank, "recompressed", lambda self, tolerance, *rest: whole(self, min(0.9, 30 * tolerance), *rest))


def anchors_that_survive_a_fold(patch):
    patch.setattr(CertifiedLayer, "_follow_base", lambda self: None)


PLANTED = {
    anchors_that_survive_a_fold: Certified64,
    undo_that_forgets_a_layer: InMemory64,
    merge_that_drops_the_earlier_left_factors: InMemory64,
    merge_by_right_units_alone: InFile64,
    transposed_product_that_ignores_the_update: InMemory32,
    load_that_loses_a_term: InFile64,
    fork_that_shares_a_base_and_does_not_say_so: InMemory64,
    fold_that_loses_the_oldest_term: InMemory32,
    recompression_to_a_tolerance_too_large: InMemory64,
}


def outcome(machine, examples, steps, plant=None):
    """The mismatch that a run finds, "" where it finds none."""
    with pytest.MonkeyPatch.context() as patch:
        if plant:
            plant(patch)
        try:
            run(machine, examples, steps)
        except (Mismatch, CertificateError) as mismatch:
            return str(mismatch)
    return ""


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = {machine.__name__: outcome(machine, 12, 10) for machine in MACHINES}
    found |= {plant.__name__: outcome(machine, 200, 10, plant) for plant, machine in PLANTED.items()}
    print(json.dumps(found))
