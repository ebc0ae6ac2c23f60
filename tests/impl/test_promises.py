"""Small promises: names are compared by value, defaults are the contract's, bounds hold, clocks are read in order."""

import dataclasses
import importlib
import inspect
import pkgutil
from typing import ClassVar

import numpy as np
import pytest
import torch

import impl
from impl import work as work_module
from impl.kernels import select_kernels
from impl.sketch.draws import seeded_generator
from impl.solvers import ConjugateGradientSolver
from impl.support import Support
from impl.weights.low_rank import LowRank, OuterProducts
from impl.weights.magnitude import magnitude_after
from impl.work import WorkMeter
from reference import ACTIVATIONS, Activation, ArgumentError, Implementation, random_network
from reference.contract import SolveError


def made(name):
    """The same name as another object, as one that is read from a file is."""
    return "".join(list(name))


def batch(seed=0):
    generator = np.random.default_rng(seed)
    return generator.standard_normal((3, 5)), generator.standard_normal((3, 1))


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_names_are_compared_by_value(kind):
    X, y = batch()
    weights = []
    for name in (str, made):
        network = random_network(5, [12, 9], activation=Activation(kind, 0.3))
        network = dataclasses.replace(network, activation=Activation(name(kind), 0.3))
        options = {"weights": "lazy", "maintenance": "keep", "solver": "cg", "kernels": "torch", "dtype": "float64"}
        implementation = impl.factory(network, **{option: name(value) for option, value in options.items()})
        report = implementation.step(X, y, method=name("gauss_newton"), loss=name("huber"), damping=1.0)
        assert report.solver == "cg"
        weights.append(implementation.to_network().weights)
    assert all(np.array_equal(one, other) for one, other in zip(*weights, strict=True))


@pytest.mark.parametrize("name", [str, made])
def test_a_miss_is_an_error_whoever_made_the_word(name):
    hasty = ConjugateGradientSolver(tolerance=1e-14, max_iterations=1, on_miss=name("error"))
    with pytest.raises(SolveError, match="expected cg to reach tolerance"):
        impl.factory(random_network(5, [12, 9]), solver=hasty).step(*batch())


@pytest.mark.parametrize("method", ["step", "gradient"])
def test_defaults_are_the_contract_s(method):
    ours, contract = (
        inspect.signature(getattr(kind, method)).parameters for kind in (impl.SparseNetwork, Implementation)
    )
    assert {name: parameter.default for name, parameter in ours.items()} == {
        name: parameter.default for name, parameter in contract.items()
    }


def test_what_is_shared_between_states_cannot_be_assigned_to():
    modules = [
        importlib.import_module(info.name)
        for info in pkgutil.walk_packages(impl.__path__, "impl.")
        if "__main__" not in info.name
    ]
    kinds = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__.startswith("impl.")
    }
    assert len(kinds) > 15
    assert [kind.__name__ for kind in kinds if not kind.__dataclass_params__.frozen] == []


def test_64_iterations_can_be_undone():
    implementation = impl.factory(random_network(5, [12, 9]), weights="lazy", maintenance="keep")
    for _ in range(65):
        implementation.step(*batch(), learning_rate=1e-3)
    with pytest.raises(ArgumentError, match=f"kept \\({', '.join(map(str, range(2, 66)))}\\), got 1"):
        implementation.undo(1)
    implementation.undo(2)
    with pytest.raises(ArgumentError, match=r"kept \(2\), got 3"):
        implementation.undo(3)


@pytest.mark.parametrize("weights", ["eager", "lazy"])
def test_weights_know_a_bound_on_their_entries(weights):
    implementation = impl.factory(random_network(5, [12, 9], dtype="float64"), weights=weights, dtype="float64")
    held = implementation.weights[1]

    def bound():
        return held.magnitude if weights == "eager" else held.state.magnitude

    assert bound() == np.abs(held.materialize()).max()
    for step in range(3):
        before = bound()
        implementation.step(*batch(step), damping=1.0)
        assert bound() >= max(before, np.abs(held.materialize()).max())


def test_the_bound_after_an_update_is_that_of_its_largest_factors():
    right = Support.full(3, 2, torch.device("cpu"))
    right_values, left_values = torch.tensor([1.0, -5.0, 2.0, 0.0, 0.0, 1.0]), torch.tensor([0.5, 0.25, -2.0])
    assert magnitude_after(1, 7.0, right, right_values, left_values) == 7.0 + 3 * 5.0 * 2.0
    none = torch.empty(0)
    assert (
        magnitude_after(1, 7.0, right, none, left_values) == magnitude_after(1, 7.0, right, right_values, none) == 7.0
    )
    left = Support.of_positions(torch.arange(3), 3, 1)
    assert LowRank(2, 1, (OuterProducts(right, right_values, left, left_values),) * 2).magnitude == 2 * 3 * 5.0 * 2.0


def test_lazy_weights_are_a_base_and_as_many_outer_products_as_their_rank():
    implementation = impl.factory(random_network(5, [12, 9]), weights="lazy", maintenance="keep")
    implementation.step(*batch(0))
    implementation.step(*batch(1))
    assert [part.terms for part in implementation.summands()] == [1 + 6, 1 + 6]


def test_a_phase_lasts_from_its_beginning_to_its_end_each_time_it_is_open(monkeypatch):
    ticks = iter([3.0, 5.5, 10.0, 14.0])
    monkeypatch.setattr(work_module.time, "perf_counter", lambda: next(ticks))
    meter = WorkMeter(torch.device("cpu"))
    for _ in range(2):
        with meter.phase("solve"):
            pass
    assert meter.phases["solve"].seconds == 2.5 + 4.0


class Event:
    """As a CUDA device's, on a clock of its own; `log` has what was asked of all of them."""

    log: ClassVar[list[str]] = []

    def __init__(self, *, enable_timing):
        assert enable_timing

    def record(self, stream):
        self.log.append(f"record on {stream}")
        self.milliseconds = 500.0 * len(self.log)

    def synchronize(self):
        self.log.append("synchronize")

    def elapsed_time(self, other):
        return other.milliseconds - self.milliseconds


def test_phases_on_a_cuda_device_are_timed_by_its_events_and_waited_for_when_they_are_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"the stream of {device}")
    monkeypatch.setattr(Event, "log", [])
    meter = WorkMeter(torch.device(made("cuda"), 1))
    for name in ("forward", "backward", "forward"):
        with meter.phase(name):
            pass
    assert Event.log == ["record on the stream of cuda:1"] * 6
    assert [meter.phases[name].seconds for name in ("forward", "backward")] == [1.0, 0.5]
    assert Event.log[6:] == ["synchronize"] * 3
    assert meter.phases["forward"].seconds == 1.0 and len(Event.log) == 9  # each is added once


def test_seeds_of_32_bits_are_taken_and_no_others():
    assert not torch.equal(
        torch.randint(2**62, (4,), generator=seeded_generator(2**32 - 1)),
        torch.randint(2**62, (4,), generator=seeded_generator(0)),
    )
    with pytest.raises(ArgumentError, match="seed"):
        seeded_generator(2**32)


def test_a_full_support_has_every_unit_of_every_sample():
    full = Support.full(3, 2, torch.device("cpu"))
    assert full.offsets.tolist() == [0, 2, 4, 6]
    assert full.sample_of_entry.tolist() == [0, 0, 1, 1, 2, 2] and full.units.tolist() == [0, 1] * 3


@pytest.mark.parametrize(("name", "kernels"), [("auto", "compiled"), ("compiled", "compiled"), ("torch", "torch")])
def test_kernels_are_those_that_were_named(name, kernels):
    assert select_kernels(name, torch.device("cpu")).name == kernels
    assert select_kernels("auto", torch.device("meta")).name == "torch"
    with pytest.raises(ArgumentError, match="compiled kernels need a CPU device"):
        select_kernels("compiled", torch.device("meta"))
