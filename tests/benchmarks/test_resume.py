"""A sweep that was cut off goes on where it was: no visit is lost, none is taken twice, and the order is the same."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.commands import measure, terminal
from benchmarks.contestant import Contestant, load_contestants
from benchmarks.journal import NAME, open_journal
from benchmarks.sweep import Plan, sweep
from benchmarks.visit import Training
from reference.contract import Capabilities, StepReport, load_problem
from tests.benchmarks import contestants as fakes
from tests.benchmarks.journals import read_journal

WIDTHS, ROUNDS, ITERATIONS = (8, 12, 16), 3, 2
WARM_UP = 2
STEPS = ROUNDS * len(WIDTHS) * ITERATIONS  # of one implementation, in the rounds
FAKE = "fake=tests.benchmarks.contestants:counting"
SLOW = "slow=tests.benchmarks.contestants:slow"
OPTIONS = [
    *("measure", "--data", "synthetic", "--dimension", "5", "--samples", "4", "--depth", "2", "--allow-dirty"),
    *("--widths", ",".join(map(str, WIDTHS)), "--iterations", str(ITERATIONS), "--precision", "0"),
]


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch):
    monkeypatch.setattr(terminal, "probe", lambda: None)
    monkeypatch.setattr("benchmarks.results.report_files", lambda *_: {})  # drawing takes longer than the sweep
    monkeypatch.setenv("GIT_DIR", "/nonexistent")  # the tree may be worked on while it is tested
    with fakes.undisturbed():
        yield


def plan(**changes):
    training = Training(load_problem("synthetic", 4, dimension=5), ITERATIONS, 0.3, "cpu", "float32")
    options = {"widths": WIDTHS, "depth": 2, "seed": 0, "rounds": ROUNDS, "budget": 1e9, "precision": 0.0}
    return Plan(training, **(options | changes))


def swept(folder, entrants, **changes):
    """One attempt; None if it ended before the first round was complete."""
    journal = open_journal(folder, {}, fresh=False)
    try:
        return sweep(plan(**changes), entrants, journal)
    except KeyboardInterrupt:
        return None
    finally:
        journal.close()


def visits(path):
    """The keys of a journal's visits, in order."""
    _, entries = read_journal(path)
    return [tuple(entry["visit"][key] for key in ("round", "implementation", "m")) for entry in of("visit", entries)]


def of(kind, entries):
    return [entry for entry in entries if entry["kind"] == kind]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    with fakes.undisturbed():
        measurement = swept(folder, load_contestants([FAKE], dtype="float32"))
    return measurement, visits(folder / NAME)


@pytest.mark.parametrize(
    "step", [1, WARM_UP, WARM_UP + 1, WARM_UP + 2, WARM_UP + 5, WARM_UP + 6, WARM_UP + 7, WARM_UP + STEPS, 25]
)
def test_a_sweep_that_was_interrupted_ends_as_one_that_was_not(step, tmp_path, uninterrupted):
    whole, order = uninterrupted
    entrants, path = load_contestants([FAKE], dtype="float32"), tmp_path / NAME
    fakes.STEPS.update(count=0, stop_at=step)
    first = swept(tmp_path, entrants)
    before = path.read_bytes()
    assert visits(path) == order[: len(visits(path))]
    assert len(visits(path)) < len(order) or step > WARM_UP + STEPS
    if first is not None:
        assert first.ended_by == "interruption"
        assert first.rounds == len(visits(path)) // (2 * len(WIDTHS))
    fakes.STEPS.update(count=0, stop_at=None)
    second = swept(tmp_path, entrants)
    assert (second.rounds, second.ended_by, second.interrupted) == (ROUNDS, "rounds", False)
    assert path.read_bytes().startswith(before)
    assert visits(path) == order and len(set(order)) == len(order) == 2 * len(WIDTHS) * ROUNDS
    assert set(second.extra_memory) == set(whole.extra_memory)
    for key, expected in whole.visits.items():
        assert [taken.round for taken in second.visits[key]] == list(range(ROUNDS))
        for one, other in zip(second.visits[key], expected, strict=True):
            assert (one.losses, one.work, one.outputs) == (other.losses, other.work, other.outputs)


def test_interrupted_at_every_visit_it_still_ends(tmp_path, uninterrupted):
    _, order = uninterrupted
    entrants, attempts = load_contestants([FAKE], dtype="float32"), 0
    while True:
        attempts += 1
        fakes.STEPS.update(count=0, stop_at=WARM_UP + ITERATIONS + 2)  # a visit, and half of the next
        measurement = swept(tmp_path, entrants)
        if measurement is not None and not measurement.interrupted:
            break
        assert attempts < 50
    assert attempts > ROUNDS * len(WIDTHS) / 2
    assert visits(tmp_path / NAME) == order
    assert measurement.rounds == ROUNDS
    _, entries = read_journal(tmp_path / NAME)
    memory = [(entry["implementation"], entry["m"]) for entry in of("memory", entries)]
    assert sorted(memory) == sorted((name, m) for name in ("dense", "fake") for m in WIDTHS)
    assert measurement.ended_by == "rounds"


def test_what_is_in_the_journal_is_taken_from_there_to_the_last_bit(tmp_path):
    entrants = load_contestants([FAKE], dtype="float32")
    fakes.STEPS.update(count=0, stop_at=WARM_UP + STEPS - 1)
    first = swept(tmp_path, entrants)
    fakes.STEPS.update(count=0, stop_at=None)
    second = swept(tmp_path, entrants)
    assert first.rounds == ROUNDS - 1
    for key, taken in first.visits.items():
        assert second.visits[key][: ROUNDS - 1] == taken
    assert fakes.STEPS["count"] < WARM_UP + STEPS


@pytest.fixture
def clocked(monkeypatch):
    """Two implementations whose every iteration takes a second by a clock that stands still otherwise."""
    clock = SimpleNamespace(time=0.0, steps=0, stop_at=None)
    monkeypatch.setattr("benchmarks.visit.now", lambda device: clock.time)
    monkeypatch.setattr("benchmarks.sweep.time", SimpleNamespace(perf_counter=lambda: clock.time))

    def step(X, y, **options):
        clock.steps += 1
        if clock.steps == clock.stop_at:
            raise KeyboardInterrupt
        clock.time += 1.0
        return StepReport(1.0)

    def factory(network, *, device, dtype):
        return SimpleNamespace(step=step)

    factory.capabilities = Capabilities(operations=("step",))
    clock.entrants = [Contestant(name, "", factory) for name in ("dense", "fake")]
    return clock


ROUND = 2 * len(WIDTHS) * ITERATIONS  # seconds and steps by that clock


@pytest.mark.parametrize("budget", [0.0, 3.0 * ROUND, 4.5 * ROUND, 5.0 * ROUND - 1.0])
def test_time_spent_before_an_interruption_counts_once(budget, clocked, tmp_path):
    lasting = {"rounds": 9, "budget": budget, "precision": -1.0}
    (tmp_path / "whole").mkdir()
    whole = swept(tmp_path / "whole", clocked.entrants, **lasting)
    assert whole.ended_by == "budget"
    order = visits(tmp_path / "whole" / NAME)
    total = 2 * WARM_UP + whole.rounds * ROUND
    for stop_at in (5, 2 * WARM_UP + ROUND + 1, total // 2, total, total + 1, total + 8):  # and while following memory
        folder = tmp_path / str(stop_at)
        folder.mkdir(exist_ok=True)
        clocked.steps, clocked.stop_at = 0, stop_at
        swept(folder, clocked.entrants, **lasting)
        clocked.stop_at = None
        clocked.time += 1e6  # the pause counts for nothing
        resumed = swept(folder, clocked.entrants, **lasting)
        assert (resumed.rounds, resumed.ended_by) == (whole.rounds, "budget")
        assert visits(folder / NAME) == order


def command(folder, *more):
    return [*OPTIONS, "--rounds", str(ROUNDS), "--impl", FAKE, "--out", str(folder), *more]


def test_the_command_goes_on_and_says_so(tmp_path, capsys):
    fakes.STEPS["stop_at"] = WARM_UP + 1
    assert main(command(tmp_path)) == measure.INTERRUPTED
    assert "the same command goes on" in capsys.readouterr().err
    before = (tmp_path / NAME).read_bytes()
    there = len(visits(tmp_path / NAME))
    assert 0 < there < 2 * len(WIDTHS)
    fakes.STEPS.update(count=0, stop_at=None)
    assert main(command(tmp_path)) == 1  # the fake's losses are not the dense rival's
    assert f"resuming an unfinished sweep: {there} visits are there already" in capsys.readouterr().err
    assert (tmp_path / NAME).read_bytes().startswith(before)
    document = json.loads((tmp_path / "scaling.json").read_text())
    assert document["problem"]["rounds"] == ROUNDS and not document["problem"]["interrupted"]
    agrees_with_journal(tmp_path)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (("--seed", "1"), "seed is 0, not 1"),
        (("--iterations", "3"), "iterations is 2, not 3"),
        (("--threads", "2"), "threads is 1, not 2"),
        (("--widths", "8,12,20"), "widths is [8, 12, 16], not [8, 12, 20]"),
        (("--impl", "silent=tests.benchmarks.contestants:silent"), "silent is None"),
    ],
)
def test_another_plan_does_not_go_on(more, named, tmp_path, capsys):
    fakes.STEPS["stop_at"] = WARM_UP + ITERATIONS + 1
    main(command(tmp_path))
    capsys.readouterr()
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(SystemExit) as stopped:
        main(command(tmp_path, *more))
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "--fresh" in message and named in message
    assert (tmp_path / NAME).read_bytes() == before


def test_how_long_it_goes_on_may_differ(tmp_path):
    fakes.STEPS["stop_at"] = WARM_UP + STEPS
    assert main(command(tmp_path)) == measure.INTERRUPTED
    before = (tmp_path / NAME).read_bytes()
    fakes.STEPS.update(count=0, stop_at=None)
    main(command(tmp_path, "--rounds", "5", "--budget", "1000"))
    assert (tmp_path / NAME).read_bytes().startswith(before)
    assert json.loads((tmp_path / "scaling.json").read_text())["problem"]["rounds"] == 5


def test_fresh_begins_anew(tmp_path):
    fakes.STEPS["stop_at"] = WARM_UP + STEPS
    main(command(tmp_path))
    before = (tmp_path / NAME).read_bytes()
    fakes.STEPS.update(count=0, stop_at=None)
    main(command(tmp_path, "--fresh", "--seed", "1"))
    assert not (tmp_path / NAME).read_bytes().startswith(before)
    agrees_with_journal(tmp_path)


def test_a_finished_sweep_makes_way(tmp_path, capsys):
    for _ in range(2):
        main(command(tmp_path))
        assert "resuming" not in capsys.readouterr().err
        assert len(visits(tmp_path / NAME)) == 2 * len(WIDTHS) * ROUNDS


@pytest.mark.parametrize("broken", ["analyse", "write", "print_tables"])
def test_a_death_between_the_last_sample_and_the_files_loses_nothing(broken, tmp_path, monkeypatch):
    def die(*_):
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(measure, broken, die)
        with pytest.raises(RuntimeError):
            main(command(tmp_path))
    before = visits(tmp_path / NAME)
    lines = of("visit", read_journal(tmp_path / NAME)[1])
    assert len(before) == 2 * len(WIDTHS) * ROUNDS
    main(command(tmp_path))
    if broken != "print_tables":  # by then the files are there, and it may make way
        assert of("visit", read_journal(tmp_path / NAME)[1]) == lines
    agrees_with_journal(tmp_path)


def agrees_with_journal(folder):
    """scaling.csv holds every visit of the journal, and nothing else."""
    _, entries = read_journal(folder / NAME)
    expected = {}
    for entry in of("visit", entries):
        taken = entry["visit"]
        for phase, window in taken["seconds"].items():
            expected[taken["implementation"], taken["m"], phase, taken["round"]] = float(np.mean(window))
        expected[taken["implementation"], taken["m"], "initialization", taken["round"]] = taken["construction"]
    with (folder / "scaling.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {
        (row["implementation"], int(row["m"]), row["phase"], int(row["round"])): float(row["seconds"]) for row in rows
    }
    assert len(found) == len(rows) and found == expected


KILLS, KILLED_ROUNDS, OF_THEIR_OWN = 20, 40, 3
ROOT = Path(__file__).parents[2]

# A line on standard input is the arguments of a command, which is run by a process of its own: one that has imported
# torch already, as that takes longer than all the rest. Its number is printed, and after another line how it ended;
# until then its number is not given away.
NURSERY = """
import json, os, sys
from benchmarks.__main__ import main
for line in iter(sys.stdin.readline, ""):
    child = os.fork()
    if not child:
        log = os.open(os.environ["LOG"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1), os.dup2(log, 2)
        sys.exit(main(json.loads(line)))
    print(child, flush=True)
    sys.stdin.readline()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forked:
    """A command run by the nursery."""

    def __init__(self, nursery, arguments):
        self._nursery = nursery
        print(json.dumps(arguments), file=nursery.stdin, flush=True)
        self._child = int(nursery.stdout.readline())

    def kill(self):
        os.kill(self._child, signal.SIGKILL)
        return self.wait()

    def wait(self):
        print(file=self._nursery.stdin, flush=True)
        return int(self._nursery.stdout.readline())


class Started(subprocess.Popen):
    """`python -m benchmarks …`, from its very beginning."""

    def __init__(self, arguments, environment):
        nothing = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        super().__init__([sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, env=environment, **nothing)

    def kill(self):
        super().kill()
        return self.wait()


def test_a_sweep_killed_twenty_times_is_whole(tmp_path):
    """SIGKILL at moments drawn anew: at the start, between visits, within them, as they are written."""
    draw, path = random.Random(0), tmp_path / NAME
    log = tmp_path.with_name(tmp_path.name + ".log")
    environment = {**os.environ, "GIT_DIR": "/nonexistent", "OMP_NUM_THREADS": "1", "LOG": str(log)}
    arguments = [*OPTIONS, "--impl", SLOW, "--rounds", str(KILLED_ROUNDS), "--budget", "1e6", "--out", str(tmp_path)]
    arguments += ["--threads", "1"]
    total, before, kept = 2 * len(WIDTHS) * KILLED_ROUNDS, b"", []
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY], cwd=ROOT, env=environment, stdin=-1, stdout=-1, text=True
    ) as nursery:
        for number in range(KILLS):
            own = number % (KILLS // OF_THEIR_OWN) == 0
            running = Started(arguments, environment) if own else Forked(nursery, arguments)
            enough = before.count(b"\n") + draw.randrange(5)  # none: it is killed at its start
            limit = time.monotonic() + 60.0
            while (path.read_bytes() if path.exists() else b"").count(b"\n") < enough and time.monotonic() < limit:
                time.sleep(0.0005)
            time.sleep(draw.uniform(0.0, 0.02 if enough > before.count(b"\n") else 0.6))
            assert running.kill() == -signal.SIGKILL, log.read_text()
            content = path.read_bytes() if path.exists() else b""
            assert content.startswith(before)
            before = content[: content.rfind(b"\n") + 1]
            kept.append(before.count(b"\n"))
        assert len(set(kept)) > KILLS // 2 and kept[-1] < total  # it has got on, and has not ended
        assert Forked(nursery, arguments).wait() == 1, log.read_text()  # the fake's losses are not the dense rival's
        nursery.stdin.close()
    assert f"resuming an unfinished sweep: {kept[-1] - 1} visits are there already" in log.read_text()
    assert path.read_bytes().startswith(before)
    assert Counter(visits(path)) == Counter(
        (number, name, m) for number in range(KILLED_ROUNDS) for name in ("dense", "slow") for m in WIDTHS
    )
    assert [number for number, _, _ in visits(path)] == sorted(number for number, _, _ in visits(path))
    assert len(of("end", read_journal(path)[1])) == 1
    agrees_with_journal(tmp_path)
