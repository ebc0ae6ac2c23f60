"""The sweep: whole rounds, raw samples, the same steps for all, and what Ctrl-C leaves."""

import json

import numpy as np
import pytest

from benchmarks.agreement import agreement
from benchmarks.analysis import analyse
from benchmarks.contestant import Contestant, load_contestants
from benchmarks.memory import extra_memory
from benchmarks.rivals.dense import blas_factory
from benchmarks.sweep import ALL_PHASES, INITIALIZATIONS, WARM_UP_STEPS, Plan, sweep
from reference.contract import PHASES, ArgumentError, load_problem
from tests.benchmarks import contestants as fakes

WIDTHS = (8, 12, 16, 24)
ROUNDS = 3


def plan(**changes):
    options = {
        "problem": load_problem("synthetic", 4, dimension=5),
        "widths": WIDTHS,
        "depth": 2,
        "rounds": ROUNDS,
        "learning_rate": 0.3,
        "seed": 0,
        "device": "cpu",
        "dtype": "float32",
    }
    return Plan(**(options | changes))


def run(*impls, **changes):
    entrants = load_contestants(impls, dtype="float32")
    measurement = sweep(plan(**changes), entrants)
    return measurement, analyse(measurement, entrants, {})


@pytest.fixture(autouse=True)
def no_interruption():
    fakes.STEPS.update(count=0, stop_at=None)
    yield
    fakes.STEPS.update(count=0, stop_at=None)


def test_every_sample_of_every_round_is_kept():
    measurement, _ = run("fake=tests.benchmarks.contestants:counting")
    assert measurement.rounds == ROUNDS and not measurement.interrupted
    for name in ("dense", "fake"):
        for m in WIDTHS:
            record = measurement.records[name, m]
            assert len(record.seconds["initialization"]) == INITIALIZATIONS
            assert all(len(record.seconds[phase]) == ROUNDS for phase in (*PHASES, "iteration"))
            assert len(record.losses) == WARM_UP_STEPS + 2 * ROUNDS
            assert record.extra_memory > 0
    for m in WIDTHS:
        seconds = measurement.records["dense", m].seconds
        assert all(
            whole >= sum(parts)
            for whole, *parts in zip(seconds["iteration"], *(seconds[phase] for phase in PHASES), strict=True)
        )


def test_rounds_interleave_widths_and_implementations():
    visits = []

    class Spy(fakes.Counting):
        def __init__(self, network, name):
            super().__init__(network)
            self.name = name

        def step(self, X, y, **options):
            visits.append((self.name, self.m))
            return super().step(X, y, **options)

    entrants = [
        Contestant(name, "", lambda network, *, device, dtype, name=name: Spy(network, name))
        for name in ("dense", "spy")
    ]
    sweep(plan(rounds=4), entrants)
    points = 2 * len(WIDTHS)
    measured = visits[WARM_UP_STEPS * points :][::2][: 4 * points]
    rounds = [measured[begin : begin + points] for begin in range(0, len(measured), points)]
    assert all(sorted(order) == sorted(rounds[0]) for order in rounds)
    assert len({tuple(order) for order in rounds}) > 1


def test_the_same_weights_give_the_same_losses():
    measurement, document = run("blas=benchmarks.rivals.dense:blas_factory")
    for m in WIDTHS:
        assert agreement(measurement, "blas", m).agrees
        assert measurement.records["blas", m].losses[-1] < measurement.records["blas", m].losses[0]
    assert all(point["agreement"]["agrees"] for point in document["implementations"]["blas"]["points"])


@pytest.mark.parametrize("fault", ["half the step", "sign", "nan"])
def test_a_wrong_implementation_is_found_out(fault):
    class Wrong:
        def __init__(self, network, dtype):
            self.inner = blas_factory(network, dtype=dtype)

        def step(self, X, y, *, learning_rate, **options):
            report = self.inner.step(X, y if fault != "sign" else -y, learning_rate=learning_rate / 2, **options)
            if fault == "nan":
                object.__setattr__(report, "loss", float("nan"))
            return report

    entrants = [
        *load_contestants([], dtype="float32"),
        Contestant("wrong", "", lambda network, *, device, dtype: Wrong(network, dtype)),
    ]
    measurement = sweep(plan(problem=load_problem("digits", 8), widths=(64, 96, 128), depth=3), entrants)
    assert not any(agreement(measurement, "wrong", m).agrees for m in (64, 96, 128))
    json.dumps(analyse(measurement, entrants, {}), allow_nan=False)


def test_ctrl_c_keeps_the_complete_rounds():
    before_rounds = WARM_UP_STEPS * len(WIDTHS)
    fakes.STEPS["stop_at"] = before_rounds + 2 * len(WIDTHS) * 2 + 3  # in the third round
    measurement, document = run("fake=tests.benchmarks.contestants:counting")
    assert measurement.interrupted and measurement.rounds == 2
    for record in measurement.records.values():
        assert all(len(record.seconds[phase]) == 2 for phase in (*PHASES, "iteration"))
        assert record.extra_memory is None
    assert document["problem"]["interrupted"] and document["problem"]["rounds"] == 2
    assert document["speedup"]["8"]["low"] is not None


def test_ctrl_c_in_the_first_round_leaves_nothing():
    fakes.STEPS["stop_at"] = WARM_UP_STEPS * len(WIDTHS) + 1
    with pytest.raises(KeyboardInterrupt):
        run("fake=tests.benchmarks.contestants:counting")


def test_exponents_are_those_that_were_counted():
    _, document = run("fake=tests.benchmarks.contestants:counting")
    work = document["implementations"]["fake"]["exponents"]
    for phase in ("forward", "backward", "gram", "update"):
        assert work[phase]["work"]["value"] == pytest.approx(1.5, abs=0.02)
        assert work[phase]["work"]["bytes"] == pytest.approx(1.0)
        assert 1.0 < work[phase]["work"]["whole"] < 1.5
    assert work["initialization"]["work"]["value"] is None
    point = document["implementations"]["fake"]["points"][0]["phases"]["iteration"]
    assert point["multiply_adds"] == 5 * (1 + 8 + round(8**1.5))
    assert point["square_layers"]["multiply_adds"] == 4 * round(8**1.5) + (1 + 8 + round(8**1.5))  # and the solve


def test_without_square_layers_there_is_no_exponent_of_theirs():
    _, document = run(depth=1)
    exponents = document["implementations"]["dense"]["exponents"]
    for phase in ("forward", "backward", "gram", "update", "iteration"):
        assert exponents[phase]["work"]["value"] is None
    assert exponents["forward"]["work"]["whole"] == pytest.approx(1.0, abs=0.05)


def test_who_counts_nothing_has_no_work_exponents():
    _, document = run("tests.benchmarks.contestants:silent")
    entry = document["implementations"]["tests.benchmarks.contestants:silent"]
    assert all(exponents["work"]["value"] is None for exponents in entry["exponents"].values())
    assert entry["points"][0]["phases"]["forward"] == {
        "seconds": [],
        "median": None,
        "minimum": None,
        "multiply_adds": None,
        "bytes": None,
        "square_layers": {"multiply_adds": None, "bytes": None},
    }
    assert entry["exponents"]["iteration"]["time"]["value"] is not None
    assert entry["points"][0]["losses"][0] is None
    assert not entry["points"][0]["agreement"]["agrees"]


def test_networks_that_exceed_the_memory_are_refused_before_anything_is_built():
    with pytest.raises(ArgumentError, match=r"^widths:"):
        run(widths=(8, 16, 10_000_000))


def test_a_phase_is_never_missing():
    _, document = run("fake=tests.benchmarks.contestants:counting")
    for entry in document["implementations"].values():
        assert tuple(entry["exponents"]) == ALL_PHASES
        assert all(tuple(point["phases"]) == ALL_PHASES for point in entry["points"])


@pytest.mark.parametrize("megabytes", [1, 8])
def test_extra_memory_is_the_peak_of_what_is_alive_together(megabytes):
    import torch

    size = megabytes << 20

    def call():
        first = torch.ones(size // 4)
        del first
        second = torch.ones(size // 4)  # the first is gone
        third = np.ones(size // 8)
        return second, third

    call()
    assert extra_memory(call, "cpu") == pytest.approx(2 * size, rel=0.05, abs=200_000)
    assert extra_memory(lambda: torch.ones(size // 4).sort(), "cpu") >= 2.9 * size  # values and 8-byte indices too
