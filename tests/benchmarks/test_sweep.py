"""The sweep: whole rounds in random order, windows from the same weights, how long it goes on, what Ctrl-C leaves."""

import gc
import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.agreement import agreement, outputs_agree
from benchmarks.analysis import ALL_PHASES, analyse, phase_counts
from benchmarks.contestant import Contestant, load_contestants
from benchmarks.journal import NAME, open_journal
from benchmarks.memory import extra_memory
from benchmarks.rivals.dense import blas_factory
from benchmarks.scaling import plain_exponent, ratios, settle_rounds
from benchmarks.sweep import FEWEST_ROUNDS, Plan, iteration_seconds, sweep
from benchmarks.visit import Counts, Training, Visit, visit
from reference.contract import PHASES, ArgumentError, Capabilities, StepReport, load_problem
from reference.initialization import random_network
from tests.benchmarks import contestants as fakes
from tests.benchmarks.journals import read_journal

WIDTHS = (8, 12, 16, 24)
ROUNDS, ITERATIONS = 3, 4
WARM_UP = 2  # steps of every implementation
FAKE = "fake=tests.benchmarks.contestants:counting"


def plan(**changes):
    training = {
        "problem": load_problem("synthetic", 4, dimension=5),
        "iterations": ITERATIONS,
        "learning_rate": 0.3,
        "device": "cpu",
        "dtype": "float32",
    }
    options = {"widths": WIDTHS, "depth": 2, "seed": 0, "rounds": ROUNDS, "budget": 1e9, "precision": 0.0}
    training |= {name: changes.pop(name) for name in list(changes) if name in training}
    return Plan(Training(**training), **(options | changes))


@pytest.fixture
def swept(tmp_path):
    """Sweeps with a journal of its own and returns the measurement."""

    def run(entrants, **changes):
        journal = open_journal(tmp_path, {}, fresh=True)
        try:
            return sweep(plan(**changes), entrants, journal)
        finally:
            journal.close()

    return run


@pytest.fixture
def run(swept):
    """Sweeps the dense rival and others, and analyses."""

    def both(*impls, **changes):
        entrants = load_contestants(impls, dtype="float32")
        measurement = swept(entrants, **changes)
        return measurement, analyse(measurement, entrants, {})

    return both


@pytest.fixture(autouse=True)
def undisturbed():
    with fakes.undisturbed():
        yield


def test_every_sample_of_every_round_is_kept(run, tmp_path):
    measurement, _ = run(FAKE)
    assert (measurement.rounds, measurement.ended_by, measurement.interrupted) == (ROUNDS, "rounds", False)
    for name in ("dense", "fake"):
        for m in WIDTHS:
            visits = measurement.visits[name, m]
            assert [(taken.round, taken.implementation, taken.m) for taken in visits] == [
                (number, name, m) for number in range(ROUNDS)
            ]
            for taken in visits:
                assert set(taken.seconds) == {*PHASES, "iteration"}
                assert all(len(window) == ITERATIONS for window in taken.seconds.values())
                assert len(taken.losses) == len(taken.anchors) == len(taken.folds) == ITERATIONS
                assert taken.construction > 0.0
            assert measurement.extra_memory[name, m] > 0
    for m in WIDTHS:
        for taken in measurement.visits["dense", m]:
            parts = zip(*(taken.seconds[phase] for phase in PHASES), strict=True)
            assert all(whole >= sum(part) for whole, part in zip(taken.seconds["iteration"], parts, strict=True))
            assert len(taken.outputs) == 4
    _, entries = read_journal(tmp_path / NAME)
    journalled = [Visit.of_plain(entry["visit"]) for entry in entries if entry["kind"] == "visit"]
    assert sorted(journalled, key=str) == sorted(
        (taken for visits in measurement.visits.values() for taken in visits), key=str
    )
    memory = {(entry["implementation"], entry["m"]): entry["bytes"] for entry in entries if entry["kind"] == "memory"}
    assert memory == measurement.extra_memory


def test_a_visit_is_the_same_after_it_was_written():
    taken = Visit(3, "fake", 8, 0.1 + 0.2, Counts(1, 2, 3, 4), {"iteration": [1e-9, 1 / 3]})
    taken.work["solve"] = [Counts(5, 6, 7, 8), Counts(0, 0, 0, 0)]
    for kept, values in ((taken.losses, [0.5, 0.1]), (taken.outputs, [1.0, -2.0]), (taken.folds, [0, 1])):
        kept.extend(values)
    assert Visit.of_plain(json.loads(json.dumps(taken.plain(), allow_nan=False))) == taken
    assert Visit.of_plain(Visit(0, "fake", 8, 0.1).plain()) == Visit(0, "fake", 8, 0.1)
    broken = Visit(0, "fake", 8, 0.1, losses=[float("nan"), float("inf")], outputs=[1.0, float("-inf")])
    read = Visit.of_plain(json.loads(json.dumps(broken.plain(), allow_nan=False)))
    assert np.isnan(read.losses).all() and read.outputs[0] == 1.0 and np.isnan(read.outputs[1])


def test_rounds_interleave_widths_and_implementations_in_an_order_of_their_own(swept, tmp_path):
    orders = []
    for seed in (0, 0, 1):
        swept(load_contestants([FAKE], dtype="float32"), rounds=4, seed=seed)
        _, entries = read_journal(tmp_path / NAME)
        orders.append(
            [
                tuple(entry["visit"][key] for key in ("round", "implementation", "m"))
                for entry in entries
                if entry["kind"] == "visit"
            ]
        )
    assert orders[0] == orders[1] != orders[2]
    points = {(name, m) for name in ("dense", "fake") for m in WIDTHS}
    rounds = [orders[0][begin : begin + len(points)] for begin in range(0, len(orders[0]), len(points))]
    assert len(rounds) == 4
    for number, order in enumerate(rounds):
        assert {(name, m) for _, name, m in order} == points
        assert all(place == number for place, _, _ in order)
    assert len({tuple((name, m) for _, name, m in order) for order in rounds}) == 4


def test_every_window_starts_from_the_same_weights(swept):
    built = []

    class Spy(fakes.Counting):
        def __init__(self, network):
            super().__init__(network)
            built.append(network)

        def step(self, X, y, **options):
            assert self.t < ITERATIONS or len(built) > 2 * ROUNDS  # memory is followed at the end
            return super().step(X, y, **options)

    def factory(network, *, device, dtype):
        return Spy(network)

    factory.capabilities = fakes.counting.capabilities
    measurement = swept([*load_contestants([], dtype="float32"), Contestant("spy", "", factory)])
    assert len(built) == 1 + ROUNDS * len(WIDTHS) + len(WIDTHS)
    for m in WIDTHS:
        assert len({id(network) for network in built if network.widths[-1] == m}) == 1
        windows = [taken.losses for taken in measurement.visits["dense", m]]
        assert windows[1:] == windows[:-1]
        assert windows[0][-1] < windows[0][0]


def test_a_window_collects_no_garbage_and_leaves_the_collector_as_it_was():
    states = []

    class Spy(fakes.Counting):
        def step(self, X, y, **options):
            states.append(gc.isenabled())
            return super().step(X, y, **options)

    def factory(network, *, device, dtype):
        return Spy(network)

    factory.capabilities = fakes.counting.capabilities
    network = random_network(5, [8, 8], dtype="float32")
    try:
        for enabled in (True, False):
            (gc.enable if enabled else gc.disable)()
            visit(plan().training, Contestant("spy", "", factory), network, 0)
            assert gc.isenabled() == enabled
    finally:
        gc.enable()
    assert states == [False] * 2 * ITERATIONS


def test_the_same_weights_give_the_same_losses_and_outputs(run):
    measurement, document = run("blas=benchmarks.rivals.dense:blas_factory")
    for m in WIDTHS:
        assert agreement(measurement, "blas", m).agrees
        one = measurement.visits["blas", m][0]
        assert one.losses[-1] < one.losses[0]
        np.testing.assert_allclose(one.outputs, measurement.visits["dense", m][0].outputs, rtol=1e-3)
    assert all(point["agreement"]["agrees"] for point in document["implementations"]["blas"]["points"])


def test_where_one_stores_its_weights_narrowly_all_start_from_what_it_holds(run):
    lazy = "impl:factory?weights=lazy&maintenance=keep"
    measurement, _ = run(f"wide={lazy}", f"narrow={lazy}&storage=bfloat16", widths=(48, 64, 96), rounds=2)
    for m in (48, 64, 96):
        assert agreement(measurement, "narrow", m).agrees
        assert measurement.visits["narrow", m][0].losses == measurement.visits["wide", m][0].losses
    alone, _ = run(f"wide={lazy}", widths=(48, 64, 96), rounds=2)
    assert alone.visits["wide", 48][0].losses != measurement.visits["wide", 48][0].losses


class Wrong:
    """Off by a factor of the learning rate, by the sign of the targets, or in what it reports."""

    def __init__(self, network, dtype, fault):
        self.inner, self.fault, self.t = blas_factory(network, dtype=dtype), fault, 0

    def step(self, X, y, *, learning_rate, **options):
        self.t += 1
        if self.fault == "half the step" or (self.fault == "the last step" and self.t == ITERATIONS):
            learning_rate /= 2
        report = self.inner.step(X, -y if self.fault == "sign" else y, learning_rate=learning_rate, **options)
        if self.fault == "nan":
            object.__setattr__(report, "loss", float("nan"))
        return report

    def forward(self, X):
        outputs = self.inner.forward(X)
        if self.fault == "nan in an output":
            outputs[-1] = float("nan")
        return outputs[:-1] if self.fault == "a sample too few" else outputs


@pytest.mark.parametrize(
    "fault", ["half the step", "sign", "nan", "the last step", "nan in an output", "a sample too few"]
)
def test_a_wrong_implementation_is_found_out(fault, swept):
    entrants = [
        *load_contestants([], dtype="float32"),
        Contestant("wrong", "", lambda network, *, device, dtype: Wrong(network, dtype, fault)),
    ]
    measurement = swept(entrants, problem=load_problem("digits", 8), widths=(64, 96, 128), depth=3, rounds=2)
    for m in (64, 96, 128):
        compared = agreement(measurement, "wrong", m)
        assert not compared.agrees
        if fault in ("the last step", "nan in an output", "a sample too few"):
            assert compared.step == ITERATIONS  # the losses are right, what they lead to is not
    json.dumps(analyse(measurement, entrants, {}), allow_nan=False)


def test_outputs_within_rounding_agree_and_others_do_not():
    generator = np.random.default_rng(0)
    expected, y = generator.standard_normal(32), np.zeros((32, 1))
    options = {"step": 32, "m": 1024, "depth": 3, "dtype": "float32"}
    assert outputs_agree(expected * (1.0 + 1e-6), expected, y, **options).agrees
    off = outputs_agree(expected * 1.01, expected, y, **options)
    assert not off.agrees and off.step == 32
    assert off.deviation == pytest.approx(2 * outputs_agree(expected * 1.005, expected, y, **options).deviation)


@pytest.mark.parametrize("extra", [1, 2, ITERATIONS * len(WIDTHS)])
def test_ctrl_c_keeps_the_complete_rounds(run, extra):
    fakes.STEPS["stop_at"] = WARM_UP + 2 * len(WIDTHS) * ITERATIONS + extra  # in the third round
    measurement, document = run(FAKE)
    assert (measurement.rounds, measurement.ended_by, measurement.interrupted) == (2, "interruption", True)
    assert all(len(visits) == 2 for visits in measurement.visits.values())
    assert measurement.extra_memory == {}
    assert document["problem"]["interrupted"] and document["problem"]["rounds"] == 2
    assert document["problem"]["ended_by"] == "interruption"
    assert document["speedup"]["8"]["low"] is not None


def test_ctrl_c_while_memory_is_followed_keeps_all_rounds(run):
    fakes.STEPS["stop_at"] = WARM_UP + ROUNDS * len(WIDTHS) * ITERATIONS + 1
    measurement, document = run(FAKE)
    assert (measurement.rounds, measurement.ended_by) == (ROUNDS, "interruption")
    assert document["implementations"]["fake"]["memory_exponent"] == {"value": None, "local": None}


@pytest.mark.parametrize("step", [1, WARM_UP, WARM_UP + 1, WARM_UP + len(WIDTHS) * ITERATIONS])
def test_ctrl_c_in_the_first_round_leaves_nothing_to_report(run, step):
    fakes.STEPS["stop_at"] = step
    with pytest.raises(KeyboardInterrupt):
        run(FAKE)


class Clock:
    """Stands still unless something takes time."""

    def __init__(self):
        self.time = 0.0

    def __call__(self, device=None):
        return self.time


@pytest.fixture
def clocked(monkeypatch, swept):
    """Sweeps two implementations whose iterations cost what a function of (name, m, visit) says; the rest is free."""
    clock = Clock()
    monkeypatch.setattr("benchmarks.visit.now", clock)
    monkeypatch.setattr("benchmarks.sweep.time", SimpleNamespace(perf_counter=clock))

    def entrant(name, cost):
        visits = {}

        def factory(network, *, device, dtype):
            m = network.widths[-1]
            visits[m] = visits.get(m, -2 if m == WIDTHS[0] else -1) + 1  # there it warms up first

            def step(X, y, **options):
                clock.time += cost(name, m, visits[m])
                return StepReport(1.0)

            return SimpleNamespace(step=step)

        factory.capabilities = Capabilities(operations=("step",))
        return Contestant(name, "", factory)

    def run(cost, **changes):
        return swept([entrant("dense", cost), entrant("fake", cost)], **changes)

    return run


def noise(m, number):
    return np.exp(0.05 * np.random.default_rng([m, 1 + number]).standard_normal())


def test_exact_rounds_end_as_soon_as_precision_is_believed(clocked):
    measurement = clocked(lambda name, m, number: 1e-6 * m**1.5, rounds=20, precision=0.01)
    assert (measurement.rounds, measurement.ended_by) == (FEWEST_ROUNDS, "precision")


@pytest.mark.parametrize("precision", [0.05, 0.1])
def test_noisy_rounds_go_on_until_exponents_and_ratios_are_precise(clocked, precision):
    measurement = clocked(lambda name, m, number: 1e-6 * m**1.5 * noise(m, number), rounds=60, precision=precision)
    assert measurement.ended_by == "precision"
    seconds = iteration_seconds(measurement, "fake")
    assert seconds.shape == (measurement.rounds, len(WIDTHS))

    def precise(rounds):
        exponent = plain_exponent(np.array(WIDTHS, dtype=float), settle_rounds(seconds[:rounds]))
        return (exponent.high - exponent.low) / 2.0 <= precision

    enough = [precise(rounds) for rounds in range(FEWEST_ROUNDS, measurement.rounds + 1)]
    assert enough[-1] and not any(enough[:-1])


def test_rounds_go_on_until_the_last_ratio_is_known_to_five_percent(clocked):
    def cost(name, m, number):  # the same at all widths of a round: exponents are exact, ratios are not
        return 1e-6 * m**1.5 * (1.0 if name == "dense" else np.exp(0.1 * np.cos(2.0 * number)))

    measurement = clocked(cost, rounds=60, precision=0.01)
    assert measurement.ended_by == "precision" and measurement.rounds > FEWEST_ROUNDS
    dense, fake = (iteration_seconds(measurement, name) for name in ("dense", "fake"))
    known = [
        ratio.interval.high <= 1.05 * ratio.value
        for rounds in range(FEWEST_ROUNDS, measurement.rounds + 1)
        for ratio in ratios(dense[:rounds], fake[:rounds])[-1:]
    ]
    assert known[-1] and not any(known[:-1])


@pytest.mark.parametrize(("rounds_worth", "rounds"), [(0.0, 2), (1.0, 2), (2.9, 2), (3.0, 3), (4.5, 4)])
def test_no_round_is_begun_that_would_exceed_the_budget_but_two(clocked, rounds_worth, rounds):
    round_of = 2 * len(WIDTHS) * ITERATIONS * 1.0
    measurement = clocked(lambda name, m, number: 1.0, rounds=9, budget=rounds_worth * round_of, precision=-1.0)
    assert (measurement.rounds, measurement.ended_by) == (rounds, "budget")


@pytest.mark.parametrize("rounds", [2, 7])
def test_rounds_end_where_they_are_asked_to(clocked, rounds):
    measurement = clocked(lambda name, m, number: noise(m, number), rounds=rounds)
    assert (measurement.rounds, measurement.ended_by) == (rounds, "rounds")


def test_a_sample_of_a_round_is_the_mean_over_its_window_with_the_spikes(clocked):
    steps = iter(range(10**6))
    measurement = clocked(lambda name, m, number: 10.0 if next(steps) % ITERATIONS == 1 else 1.0, rounds=2)
    np.testing.assert_allclose(iteration_seconds(measurement, "fake"), (10.0 + ITERATIONS - 1) / ITERATIONS)
    entrants = [Contestant(name, "", None) for name in ("dense", "fake")]
    phase = analyse(measurement, entrants, {})["implementations"]["fake"]["points"][0]["phases"]["iteration"]
    assert phase["median"] == pytest.approx((10.0 + ITERATIONS - 1) / ITERATIONS)
    assert (phase["window_median"], phase["window_maximum"]) == pytest.approx((1.0, 10.0))


def test_exponents_are_those_that_were_counted(run):
    _, document = run(FAKE)
    work = document["implementations"]["fake"]["exponents"]
    for phase in ("forward", "backward", "gram", "update"):
        assert work[phase]["work"]["value"] == pytest.approx(1.5, abs=0.02)
        assert work[phase]["work"]["bytes"] == pytest.approx(1.0)
        assert 1.0 < work[phase]["work"]["whole"] < 1.5
    assert work["initialization"]["work"]["value"] is None
    point = document["implementations"]["fake"]["points"][0]["phases"]["iteration"]
    assert point["multiply_adds"] == 5 * (1 + 8 + round(8**1.5))
    assert point["square_layers"]["multiply_adds"] == 4 * round(8**1.5) + (1 + 8 + round(8**1.5))  # and the solve


def test_counts_are_means_over_the_windows():
    visits = [
        Visit(number, "fake", 8, 0.1, work={phase: [Counts(*(4 * [n])) for n in window] for phase in PHASES})
        for number, window in enumerate([[1, 3], [5, 7]])
    ]
    assert phase_counts(visits, "forward") == Counts(4, 4, 4, 4)
    assert phase_counts(visits, "iteration") == Counts(*(4 * [4 * len(PHASES)]))
    assert phase_counts([Visit(0, "fake", 8, 0.1)], "forward") is None
    assert phase_counts([Visit(0, "fake", 8, 0.1)], "iteration") is None


def test_without_square_layers_there_is_no_exponent_of_theirs(run):
    _, document = run(depth=1)
    exponents = document["implementations"]["dense"]["exponents"]
    for phase in ("forward", "backward", "gram", "update", "iteration"):
        assert exponents[phase]["work"]["value"] is None
    assert exponents["forward"]["work"]["whole"] == pytest.approx(1.0, abs=0.05)


def test_who_counts_nothing_has_no_work_exponents(run):
    _, document = run("tests.benchmarks.contestants:silent")
    entry = document["implementations"]["tests.benchmarks.contestants:silent"]
    assert all(exponents["work"]["value"] is None for exponents in entry["exponents"].values())
    phase = entry["points"][0]["phases"]["forward"]
    assert phase["seconds"] == []
    assert set(phase.pop("square_layers").values()) == {None}
    assert {value for key, value in phase.items() if key != "seconds"} == {None}
    time = entry["exponents"]["forward"]["time"]
    assert time["value"] is time["floored"]["value"] is time["regime"] is time["held_out"] is None
    assert set(time) == set(entry["exponents"]["iteration"]["time"])
    assert entry["exponents"]["iteration"]["time"]["value"] is not None
    assert entry["points"][0]["losses"][0] is None
    assert not entry["points"][0]["agreement"]["agrees"]


def test_networks_that_exceed_the_memory_are_refused_before_anything_is_built(run):
    with pytest.raises(ArgumentError, match=r"^widths:"):
        run(widths=(8, 16, 10_000_000))


def test_a_phase_is_never_missing(run):
    _, document = run(FAKE)
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
