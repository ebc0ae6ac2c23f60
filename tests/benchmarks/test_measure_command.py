"""`python -m benchmarks measure`, from its options to its files."""

import csv
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

import reference
from benchmarks import environment
from benchmarks.__main__ import main
from benchmarks.analysis import ALL_PHASES
from benchmarks.commands import measure, terminal
from benchmarks.environment import refuse_changes
from benchmarks.journal import NAME
from benchmarks.learning_rate import SHARE, stable_rate
from benchmarks.scaling import time_exponent
from reference.contract import ArgumentError, Network, load_problem
from reference.initialization import random_network
from tests.benchmarks import contestants as fakes
from tests.benchmarks.journals import read_journal

ROUNDS, ITERATIONS, WARM_UP = 3, 4, 2
SMALL = [
    *("measure", "--data", "synthetic", "--dimension", "5", "--samples", "4", "--depth", "2", "--allow-dirty"),
    *("--rounds", str(ROUNDS), "--iterations", str(ITERATIONS), "--precision", "0"),
]
WIDTHS = ["--widths", "8,12,16,24"]
FAKE = ["--impl", "fake=tests.benchmarks.contestants:counting"]
BLAS = ["--impl", "blas=benchmarks.rivals.dense:blas_factory"]


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch):
    monkeypatch.setattr(terminal, "probe", lambda: None)
    with fakes.undisturbed():
        yield


@pytest.fixture
def undrawn(monkeypatch):
    """Drawing takes longer than the sweep."""
    monkeypatch.setattr("benchmarks.results.report_files", lambda *_: {})


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A sweep of the two dense rivals, as a folder with its files."""
    folder = tmp_path_factory.mktemp("results") / "new"
    with pytest.MonkeyPatch.context() as patched, fakes.undisturbed():
        patched.setattr(terminal, "probe", lambda: 0.01)
        assert main([*SMALL, *WIDTHS, *BLAS, "--threads", "1", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def document(results):
    return json.loads((results / "scaling.json").read_text(), parse_constant=pytest.fail)


def test_it_writes_what_it_prints(tmp_path, capsys):
    assert main([*SMALL, *WIDTHS, *BLAS, "--out", str(tmp_path / "new")]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""  # no progress in a pipe
    for word in ("Exponents", "iteration", "dense / blas", "crossover", "agree", "conditions", "ended by rounds"):
        assert word in printed.out
    (written,) = (line for line in printed.out.splitlines() if line.startswith("written: "))
    paths = sorted(written.removeprefix("written: ").split(", "))
    assert paths == sorted(str(path) for path in (tmp_path / "new").iterdir())
    assert {NAME, "scaling.csv", "scaling.json"} <= {path.name for path in (tmp_path / "new").iterdir()}
    assert (tmp_path / "new" / "scaling.png").read_bytes().startswith(b"\x89PNG")


def test_the_json_keeps_its_schema(document):
    assert document["schema"] == 2
    assert {
        *("threads", "torch", "blas", "cpu", "device", "commit", "dirty", "changes", "python", "os"),
        *("others_before", "others_meanwhile"),
    } <= set(document["environment"])
    assert document["environment"]["threads"] == 1
    assert document["environment"]["others_before"] == 0.01
    problem = document["problem"]
    assert problem["widths"] == [8, 12, 16, 24] and problem["iterations"] == ITERATIONS
    assert problem["rounds"] == problem["rounds_asked_for"] == ROUNDS
    assert (problem["ended_by"], problem["interrupted"]) == ("rounds", False)
    assert set(document["implementations"]) == {"dense", "blas"}
    for entry in document["implementations"].values():
        assert [point["m"] for point in entry["points"]] == [8, 12, 16, 24]
        for point in entry["points"]:
            for phase in ALL_PHASES:
                samples = point["phases"][phase]
                assert len(samples["seconds"]) == ROUNDS and all(seconds > 0 for seconds in samples["seconds"])
                assert samples["window_median"] <= samples["window_maximum"]
                assert samples["minimum"] <= samples["median"]
                assert isinstance(samples["multiply_adds"], int) and isinstance(samples["bytes"], int)
                assert set(samples["square_layers"]) == {"multiply_adds", "bytes"}
            assert point["extra_memory_bytes"] > 0
            assert len(point["losses"]) == ITERATIONS
            assert set(point["agreement"]) == {"agrees", "deviation", "step"}
        for phase in ALL_PHASES:
            time = entry["exponents"][phase]["time"]
            assert set(time) == {
                *("value", "low", "high", "of_minimum", "floored", "local", "local_low", "local_high"),
                *("regime", "held_out"),
            }
            assert time["low"] < time["value"] < time["high"]
            assert all(
                low < slope < high
                for low, slope, high in zip(time["local_low"], time["local"], time["local_high"], strict=True)
            )
            assert set(time["held_out"]) == {
                *("m", "measured", "plain", "plain_error", "floored", "floored_error"),
            }
            assert time["held_out"]["m"] == 24 and time["held_out"]["floored"] is None  # three others are too few
            assert "value" in entry["exponents"][phase]["work"]
        assert set(entry["memory_exponent"]) == {"value", "local"}
    assert set(document["speedup"]) == {"8", "12", "16", "24"}
    assert all(ratio["low"] <= ratio["value"] <= ratio["high"] for ratio in document["speedup"].values())
    assert document["speedups"]["blas"] == document["speedup"]
    assert set(document["speedups_between_spikes"]["blas"]) == set(document["speedup"])
    assert set(document["crossover"]["blas"]) == {"m", "where", "low", "high"}
    assert all(len(theory["local"]) == 3 for theory in document["theory"].values())


def test_the_exponents_are_those_of_the_samples(document):
    m = np.array(document["problem"]["widths"], dtype=np.float64)
    for entry in document["implementations"].values():
        for phase in ALL_PHASES:
            samples = np.array([point["phases"][phase]["seconds"] for point in entry["points"]]).T
            fit, time = time_exponent(m, samples), entry["exponents"][phase]["time"]
            assert (time["value"], time["low"], time["high"]) == (fit.value, *fit.interval)
            assert time["floored"]["value"] == fit.floored and time["local"] == list(fit.local)


def test_the_csv_holds_the_samples_of_the_json_and_of_the_journal(results, document):
    with (results / "scaling.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name, entry in document["implementations"].items():
        for point in entry["points"]:
            for phase, samples in point["phases"].items():
                mine = [
                    row
                    for row in rows
                    if (row["implementation"], int(row["m"]), row["phase"]) == (name, point["m"], phase)
                ]
                assert [float(row["seconds"]) for row in mine] == samples["seconds"]
                assert [int(row["round"]) for row in mine] == list(range(ROUNDS))
    assert len(rows) == 2 * 4 * len(ALL_PHASES) * ROUNDS
    _, entries = read_journal(results / NAME)
    windows = {
        (*(entry["visit"][key] for key in ("implementation", "m", "round")), phase): window
        for entry in entries
        if entry["kind"] == "visit"
        for phase, window in entry["visit"]["seconds"].items()
    }
    for row in rows:
        if row["phase"] != "initialization":
            window = windows[row["implementation"], int(row["m"]), int(row["round"]), row["phase"]]
            figures = [float(row[key]) for key in ("seconds", "median_seconds", "maximum_seconds")]
            assert figures == [np.mean(window), np.median(window), max(window)]


def test_the_journal_says_under_what_conditions(results, document):
    header, _ = read_journal(results / NAME)
    assert header["environment"].items() <= document["environment"].items()
    assert header["implementations"] == {
        "dense": "benchmarks.rivals.dense:factory",
        "blas": "benchmarks.rivals.dense:blas_factory",
    }
    assert header["problem"].items() <= document["problem"].items()


@pytest.mark.usefixtures("undrawn")
def test_a_second_run_replaces_the_files(tmp_path):
    for rounds in ("2", "3"):
        main([*SMALL, "--rounds", rounds, *WIDTHS, *BLAS, "--out", str(tmp_path)])
        names = {path.name for path in tmp_path.iterdir()}
    assert json.loads((tmp_path / "scaling.json").read_text())["problem"]["rounds"] == 3
    assert names == {NAME, "scaling.json", "scaling.csv"}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("options", "rounds", "ended_by"),
    [
        (["--budget", "0", "--rounds", "9"], 2, "budget"),
        (["--precision", "1e9", "--rounds", "2"], 2, "rounds"),
    ],
)
def test_it_says_what_ended_it(options, rounds, ended_by, tmp_path, capsys):
    main([*SMALL, *WIDTHS, *BLAS, *options, "--out", str(tmp_path)])
    problem = json.loads((tmp_path / "scaling.json").read_text())["problem"]
    assert (problem["rounds"], problem["ended_by"]) == (rounds, ended_by)
    assert f"{rounds} rounds of {ITERATIONS} iterations (ended by {ended_by})" in " ".join(
        capsys.readouterr().out.split()
    )


def changed(monkeypatch, **answers):
    """git says this of the tree: by its subcommand; None stands for no work tree, or no git."""
    answers = {"diff": "", "rev-parse": "0123456789abcdef"} | {key.replace("_", "-"): answers[key] for key in answers}
    asked = []
    monkeypatch.setattr(environment, "_git", lambda *words: asked.append(words) or answers[words[0]])
    return asked


def without(option):
    return [word for word in SMALL if word != option]


def test_a_dirty_tree_is_refused_before_anything_is_measured(tmp_path, capsys, monkeypatch):
    changed(monkeypatch, diff="-1\n+2\n")
    with pytest.raises(SystemExit) as stopped:
        main([*without("--allow-dirty"), *WIDTHS, *FAKE, "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "--allow-dirty" in message and "0123456789ab" in message
    assert fakes.STEPS["count"] == 0 and not (tmp_path / "out").exists()


@pytest.mark.usefixtures("undrawn")
def test_a_dirty_tree_is_measured_if_allowed_and_known_by_its_changes(tmp_path, capsys, monkeypatch):
    changes = []
    for diff in ("-1\n+2\n", "-1\n+2\n", "-1\n+3\n"):
        changed(monkeypatch, diff=diff)
        main([*SMALL, *WIDTHS, *FAKE, "--out", str(tmp_path)])
        conditions = json.loads((tmp_path / "scaling.json").read_text())["environment"]
        assert conditions["dirty"] is True
        assert ", dirty" in capsys.readouterr().out
        changes.append(conditions["changes"])
    assert changes[0] == changes[1] != changes[2]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("diff", "commit", "dirty"), [("", "0123456789abcdef", False), (None, None, None)])
def test_a_clean_tree_or_none_is_measured(diff, commit, dirty, tmp_path, monkeypatch):
    changed(monkeypatch, diff=diff, rev_parse=commit)
    main([*without("--allow-dirty"), *WIDTHS, *FAKE, "--out", str(tmp_path)])
    conditions = json.loads((tmp_path / "scaling.json").read_text())["environment"]
    assert (conditions["commit"], conditions["dirty"], conditions["changes"]) == (commit, dirty, None)


def test_untracked_files_are_no_changes(tmp_path, monkeypatch):
    """Asked of git itself, in a repository of its own."""

    def git(*words):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "module.py"))
    git("init")
    (tmp_path / "tracked").write_text("1\n")
    git("add", "tracked")
    git("commit", "-m", "1")
    (tmp_path / "untracked").write_text("1\n")
    refuse_changes(environment.environment("cpu"))
    (tmp_path / "tracked").write_text("2\n")
    for _ in range(2):  # in the work tree, then in the index
        with pytest.raises(ArgumentError, match="allow-dirty"):
            refuse_changes(environment.environment("cpu"))
        git("add", "tracked")


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("share", "warned"), [(None, False), (0.02, False), (0.6, True)])
def test_a_busy_machine_is_warned_of_and_recorded(share, warned, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(terminal, "probe", lambda: share)
    main([*SMALL, *WIDTHS, *BLAS, "--out", str(tmp_path)])
    assert ("warning: other processes take 60% of the processors" in capsys.readouterr().err) == warned
    assert json.loads((tmp_path / "scaling.json").read_text())["environment"]["others_before"] == share


@pytest.mark.usefixtures("undrawn")
def test_work_is_the_same_on_every_run(tmp_path):
    works = []
    for run in ("first", "second"):
        main([*SMALL, *WIDTHS, *BLAS, "--out", str(tmp_path / run)])
        document = json.loads((tmp_path / run / "scaling.json").read_text())
        works.append(
            [
                entry["exponents"][phase]["work"]
                for entry in document["implementations"].values()
                for phase in ALL_PHASES
            ]
        )
    assert works[0] == works[1]


@pytest.mark.usefixtures("undrawn")
def test_ctrl_c_writes_the_complete_rounds(tmp_path, capsys):
    fakes.STEPS["stop_at"] = WARM_UP + 2 * 4 * ITERATIONS + 1  # two rounds, and one step of the third
    assert main([*SMALL, *WIDTHS, *FAKE, "--out", str(tmp_path)]) == measure.INTERRUPTED
    problem = json.loads((tmp_path / "scaling.json").read_text())["problem"]
    assert (problem["rounds"], problem["ended_by"], problem["interrupted"]) == (2, "interruption", True)
    printed = capsys.readouterr()
    assert "ended by interruption" in " ".join(printed.out.split())
    assert "the same command goes on" in printed.err


def test_ctrl_c_before_the_first_round_writes_the_journal_only(tmp_path, capsys):
    fakes.STEPS["stop_at"] = WARM_UP + 1
    assert main([*SMALL, *WIDTHS, *FAKE, "--out", str(tmp_path)]) == measure.INTERRUPTED
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    printed = capsys.readouterr()
    assert "interrupted" in printed.err and printed.out == ""


@pytest.mark.usefixtures("undrawn")
def test_a_wrong_implementation_is_a_failure(tmp_path, capsys):
    assert main([*SMALL, *WIDTHS, "--impl", "tests.benchmarks.contestants:silent", "--out", str(tmp_path)]) == 1
    assert "DISAGREES" in capsys.readouterr().out


@pytest.mark.usefixtures("undrawn")
def test_right_losses_with_wrong_outputs_are_a_failure(tmp_path, capsys):
    wrong = ["--impl", "wrong=tests.benchmarks.contestants:wrong_outputs"]
    assert main([*SMALL, *WIDTHS, *wrong, "--out", str(tmp_path)]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    points = json.loads((tmp_path / "scaling.json").read_text())["implementations"]["wrong"]["points"]
    for point in points:
        assert f"DISAGREES: wrong at m = {point['m']}" in printed
        assert not point["agreement"]["agrees"] and point["agreement"]["step"] == ITERATIONS
    dense = json.loads((tmp_path / "scaling.json").read_text())["implementations"]["dense"]["points"]
    for one, other in zip(points, dense, strict=True):
        assert one["losses"] == pytest.approx(other["losses"], rel=1e-4)


def test_a_step_that_fails_is_a_failure(tmp_path, capsys, monkeypatch):
    def fail(*_):
        raise measure.SolveError("solve: no")

    monkeypatch.setattr(measure, "sweep", fail)
    assert main([*SMALL, *WIDTHS, *FAKE, "--out", str(tmp_path)]) == 1
    assert "solve: no" in capsys.readouterr().err


BAD_OPTIONS = [
    (["--data", "letters"], "--data"),
    (["--samples", "0"], "--samples"),
    (["--samples", "1798", "--data", "digits"], "samples"),
    (["--dimension", "0"], "--dimension"),
    (["--depth", "0"], "--depth"),
    (["--depth", "1.5"], "--depth"),
    (["--seed", "-1"], "--seed"),
    (["--device", "abacus"], "device"),
    (["--device", "meta"], "device"),
    (["--dtype", "float16"], "--dtype"),
    (["--threads", "0"], "--threads"),
    (["--threads", "many"], "--threads"),
    (["--rounds", "1"], "--rounds"),
    (["--iterations", "0"], "--iterations"),
    (["--budget", "-1"], "--budget"),
    (["--budget", "inf"], "--budget"),
    (["--precision", "nan"], "--precision"),
    (["--precision", "-0.1"], "--precision"),
    (["--learning-rate", "-1"], "--learning-rate"),
    (["--learning-rate", "nan"], "--learning-rate"),
    (["--widths", "8,16"], "--widths"),
    (["--widths", "8,8,16"], "--widths"),
    (["--widths", "8,16,0"], "--widths"),
    (["--widths", "8;16;32"], "--widths"),
    (["--widths", "8,16,100000000"], "widths"),
    (["--impl", "impl"], "impl"),
    (["--impl", "no.such.module:factory"], "impl"),
    (["--impl", "tests.benchmarks.contestants:nothing"], "impl"),
    (["--impl", "tests.benchmarks.contestants:not_callable"], "impl"),
    (["--impl", "tests.benchmarks.contestants:stepless"], "impl"),
    (["--impl", "tests.benchmarks.contestants:fastidious"], "network"),
    (["--impl", "dense=tests.benchmarks.contestants:counting"], "impl"),
    (["--impl", "=tests.benchmarks.contestants:counting"], "impl"),
    ([*FAKE, *FAKE], "impl"),
    (["--out", "/dev/null/results"], "out"),
    (["--no-such-option"], "--no-such-option"),
]


@pytest.mark.parametrize(
    ("options", "named"), BAD_OPTIONS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_bad_options_are_named_in_one_line(options, named, tmp_path, capsys):
    impl = [] if "--impl" in options else FAKE
    with pytest.raises(SystemExit) as stopped:
        main([*SMALL, *WIDTHS, *impl, "--out", str(tmp_path / "out"), *options])
    assert stopped.value.code == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "error:" in message and named in message
    assert fakes.STEPS["count"] == 0


def test_a_command_is_needed(capsys):
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2


def test_it_is_quiet_in_a_pipe(tmp_path):
    command = [sys.executable, "-m", "benchmarks", *SMALL, *WIDTHS, *BLAS, "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert all(line.startswith("warning: other processes take") for line in done.stderr.splitlines())
    assert "\x1b" not in done.stdout


def test_the_rivals_ways_to_multiply_are_timed(capsys):
    from benchmarks.rivals.__main__ import main as rivals

    assert rivals(["--width", "64", "--samples", "8"]) == 0
    assert "forward" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        rivals(["--width", "0"])


@pytest.mark.cuda
def test_it_measures_on_cuda(tmp_path):
    assert main([*SMALL, *WIDTHS, *BLAS, "--device", "cuda", "--out", str(tmp_path)]) == 0
    document = json.loads((tmp_path / "scaling.json").read_text())
    assert document["environment"]["device"] == torch.cuda.get_device_name()
    assert all(math.isfinite(point["extra_memory_bytes"]) for point in document["implementations"]["dense"]["points"])


def test_the_method_and_its_rate_are_recorded(undrawn, tmp_path, capsys):
    options = ["--method", "gradient_descent", "--learning-rate", "0.01"]
    assert main([*SMALL, *WIDTHS, *BLAS, *options, "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "scaling.json").read_text())
    assert (found["problem"]["method"], found["problem"]["learning_rate"]) == ("gradient_descent", 0.01)
    for entry in found["implementations"].values():
        assert all(point["learning_rate"] == 0.01 for point in entry["points"])
        assert all(point["phases"]["gram"]["median"] is not None for point in entry["points"])
        assert all(point["phases"]["gram"]["multiply_adds"] == 0 for point in entry["points"])  # there is no such phase
    assert "gradient descent at the learning rate 0.01" in " ".join(capsys.readouterr().out.split())
    assert read_journal(tmp_path / NAME)[0]["problem"]["method"] == "gradient_descent"


def test_the_largest_stable_rate_is_that_of_every_width_s_gram_matrix(undrawn, tmp_path, capsys):
    options = ["--method", "gradient_descent", "--learning-rate", "stable"]
    assert main([*SMALL, "--widths", "128,256,512", *BLAS, *options, "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "scaling.json").read_text())
    assert found["problem"]["learning_rate"] == "stable"
    problem = load_problem("synthetic", 4, dimension=5)
    for entry in found["implementations"].values():
        for point in entry["points"]:
            gram = reference.factory(random_network(5, [point["m"]] * 2, dtype="float32")).gram(problem.X)
            assert point["learning_rate"] == pytest.approx(1.9 / np.linalg.eigvalsh(gram)[-1], rel=1e-4)
    assert "gradient descent at the largest stable learning rate" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("share", [0.5, 0.95, 1.3])
def test_the_largest_mode_is_multiplied_as_its_rate_says(share):
    """Beyond 2/λ_max, a share of 1, it grows."""
    problem, network = load_problem("synthetic", 4, dimension=5), random_network(5, [400, 400])
    implementation = reference.factory(network)
    mode = np.linalg.eigh(implementation.gram(problem.X))[1][:, -1:]
    y = implementation.forward(problem.X) - 1e-6 * mode  # the residual is along it, and too small to move the Jacobian
    rate = stable_rate(implementation, problem.X) / SHARE * share
    before = implementation.step(problem.X, y, method="gradient_descent", learning_rate=rate).loss
    after = implementation.step(problem.X, y, method="gradient_descent", learning_rate=0.0).loss
    assert after / before == pytest.approx((1.0 - 2.0 * share) ** 2, abs=1e-3)


def test_a_network_that_nothing_moves_has_no_stable_rate():
    network = Network(weights=[np.zeros((3, 5))], readout=np.ones((1, 3)))
    with pytest.raises(ArgumentError, match="learning-rate: expected a network with a live sample"):
        stable_rate(reference.factory(network), np.ones((2, 5)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--learning-rate", "stable"], "--learning-rate: expected a number with gauss_newton, got 'stable'"),
        (["--learning-rate", "unstable"], "--learning-rate: expected a finite number of at least 0"),
        (["--method", "newton"], "invalid choice: 'newton'"),
        (["--method", "gradient_descent", "--impl", "g=tests.benchmarks.contestants:newtonian"], "gradient descent"),
    ],
)
def test_methods_and_rates_that_do_not_go_together_are_refused(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as ended:
        main([*SMALL, *WIDTHS, *options, "--out", str(tmp_path)])
    assert ended.value.code == 2 and message in capsys.readouterr().err
