"""The asv suites: trackers return what asv can take, of a real document; parameters are what such a document holds."""

import copy
import itertools
import math
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.analysis import ALL_PHASES
from benchmarks.contestant import DENSE
from benchmarks.suites import conditions, costs, exponents, iteration, settings
from benchmarks.suites.shared_sweep import LEAST_EXPONENT, SharedSweep, tracked
from reference.contract import ArgumentError

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"WIDTHS": {"cpu": (16, 24, 32, 48)}, "SAMPLES": 4, "DEPTH": 2, "ITERATIONS": 2, "ROUNDS": 2}
WIDTHS, DEVICES = settings.WIDTHS, settings.DEVICES  # before they are made small
SUITES = [
    suite
    for module in (exponents, costs)
    for suite in vars(module).values()
    if isinstance(suite, type) and suite.__module__ == module.__name__
]
TRACKERS = [(suite, name) for suite in SUITES for name in dir(suite) if name.startswith("track_")]


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """As setup_cache makes them and asv hands them on, of a sweep of seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("sweep"))
        patch.setenv(conditions.ALLOW_DIRTY, "1")
        patch.setattr(settings, "DEVICES", ("cpu",))
        for name, value in SMALL.items():
            patch.setattr(settings, name, value)
        yield pickle.loads(pickle.dumps(SharedSweep().setup_cache()))


def arguments(suite):
    """All that asv would call a tracker with, with the small sweep's widths and device in place of the suite's."""
    own = {"m": SMALL["WIDTHS"]["cpu"], "device": ("cpu",)}
    parameters = zip(suite.param_names, suite.params, strict=True)
    return itertools.product(*(own.get(name, values) for name, values in parameters))


@pytest.mark.parametrize(("suite", "name"), TRACKERS, ids=lambda value: getattr(value, "__name__", value))
def test_a_tracker_returns_a_positive_float_or_nan(documents, suite, name):
    values = []
    for parameters in arguments(suite):
        suite().setup(documents, *parameters)
        values.append(getattr(suite(), name)(documents, *parameters))
    assert {type(value) for value in values} == {float}
    assert all(math.isnan(value) or 0.0 < value < math.inf for value in values)
    assert not all(math.isnan(value) for value in values)


def test_parameters_are_what_the_document_holds(documents):
    assert settings.DENSE == DENSE and settings.PHASES == ALL_PHASES
    document = documents["cpu"]
    assert tuple(document["implementations"]) == settings.NAMES
    assert tuple(document["crossover"]) == tuple(document["speedups"]) == tuple(settings.IMPLEMENTATIONS)
    for entry in document["implementations"].values():
        assert tuple(entry["exponents"]) == settings.PHASES
        assert tuple(entry["points"][0]["phases"]) == settings.PHASES
    for suite in SUITES:
        assert suite.param_names[:2] == ("device", "implementation")
        assert len(suite.params) == len(suite.param_names)
        assert suite.version == settings.VERSION
    assert set(iteration.Iteration.params[1]) <= set(settings.NAMES)


def test_tracked_widths_are_measured():
    for m in settings.TRACKED_WIDTHS:
        assert any(m in WIDTHS[device] for device in DEVICES)
    for device in DEVICES:
        assert set(settings.TRACKED_WIDTHS) & set(WIDTHS[device])


def test_values_are_those_of_the_document(documents):
    held = documents["cpu"]["implementations"]["eager"]
    point = next(entry for entry in held["points"] if entry["m"] == 32)
    of = (documents, "cpu", "eager")
    assert exponents.Work().track_work_exponent(*of, "forward") == held["exponents"]["forward"]["work"]["value"]
    assert exponents.Work().track_bytes_exponent(*of, "update") == held["exponents"]["update"]["work"]["bytes"]
    assert costs.Phases().track_amortized(*of, "gram", 32) == point["phases"]["gram"]["median"]
    assert costs.Iteration().track_maximum(*of, 32) == point["phases"]["iteration"]["window_maximum"]
    assert costs.Iteration().track_extra_memory(*of, 32) == point["extra_memory_bytes"]
    speedup = documents["cpu"]["speedups"]["eager"]["32"]["value"]
    assert costs.RelativeToDense().track_amortized(*of, 32) == pytest.approx(1.0 / speedup)


def test_a_cost_that_does_not_grow_is_tracked_and_a_missing_one_is_nan(documents):
    assert exponents.Work().track_work_exponent(documents, "cpu", "eager", "solve") == LEAST_EXPONENT
    assert tracked(-0.3, LEAST_EXPONENT) == LEAST_EXPONENT
    assert math.isnan(tracked(None, LEAST_EXPONENT)) and math.isnan(tracked(math.nan, LEAST_EXPONENT))
    assert math.isnan(costs.Iteration().track_median(documents, "cpu", "eager", 1000))
    assert math.isnan(costs.RelativeToDense().track_between_spikes(documents, "cpu", "eager", 1000))


@pytest.mark.parametrize(
    ("found", "value", "low", "high"),
    [
        ({"m": 20.0, "where": "in range", "low": 0.0, "high": 30.0}, 20.0, 16.0, 30.0),
        ({"m": None, "where": "none in range", "low": 40.0, "high": None}, 96.0, 40.0, 96.0),
        ({"m": None, "where": "below the widths measured", "low": 0.0, "high": 0.0}, 16.0, 16.0, 16.0),
    ],
)
def test_a_crossover_out_of_range_is_tracked_at_its_side(documents, found, value, low, high):
    changed = copy.deepcopy(documents)
    changed["cpu"]["crossover"]["cg"] = found
    of = exponents.Crossover(), (changed, "cpu", "cg")
    assert of[0].track_crossover(*of[1]) == value
    assert of[0].track_crossover_low(*of[1]) == low
    assert of[0].track_crossover_high(*of[1]) == high


def test_wrong_answers_have_no_numbers_and_a_device_that_is_not_there_is_skipped(documents):
    changed = copy.deepcopy(documents)
    changed["cpu"]["implementations"]["cg"]["points"][1]["agreement"]["agrees"] = False
    with pytest.raises(RuntimeError, match="cg disagrees with the dense rival at m = 24"):
        SharedSweep().setup(changed, "cpu", "cg", "forward")
    SharedSweep().setup(changed, "cpu", "eager", "forward")
    with pytest.raises(NotImplementedError, match="cuda"):
        SharedSweep().setup(documents, "cuda", "eager", "forward")


@pytest.mark.parametrize(("dirty", "allowed", "refused"), [(True, "", True), (True, "1", False), (False, "", False)])
def test_changes_are_refused_unless_allowed(monkeypatch, dirty, allowed, refused):
    monkeypatch.setattr("benchmarks.environment.environment", lambda device: {"dirty": dirty, "commit": "0" * 40})
    monkeypatch.setenv(conditions.ALLOW_DIRTY, allowed)
    if refused:
        with pytest.raises(ArgumentError, match="uncommitted"):
            conditions.refuse_changes()
    else:
        conditions.refuse_changes()


def test_a_tracker_imports_nothing_heavy(documents, tmp_path):
    """asv starts a process for each of them, which imports the suites and reads the pickle."""
    (tmp_path / "cache.pickle").write_bytes(pickle.dumps(documents))
    program = (
        "import pickle, sys; from benchmarks.suites import costs, exponents, iteration; "
        "pickle.load(open(sys.argv[1], 'rb')); print([m for m in ('numpy', 'torch', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "cache.pickle")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_every_suite_is_in_the_readme_and_less_is_better_there():
    text = (ROOT / "benchmarks" / "suites" / "README.md").read_text(encoding="utf-8")
    assert "Less is better in all of them" in text
    for suite in (*SUITES, iteration.Iteration):
        module = suite.__module__.rpartition(".")[2]
        assert f"`{module}.{suite.__name__}`" in text
