"""`python -m benchmarks choices`, from its options to its files."""

import csv
import json

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.choices import comparison, rounds
from benchmarks.choices.analysis import analyse
from benchmarks.choices.batches import LEAST_NOISE, MOST_NOISE, load_batch
from benchmarks.choices.tables import markdown
from benchmarks.commands import choices
from benchmarks.commands.options import INTERRUPTED
from benchmarks.contestant import load_contestant, load_contestants
from reference.contract import PHASES, ArgumentError
from tests.benchmarks import contestants as fakes

SMALL = [
    *["choices", "--widths", "12,16", "--samples", "4", "--gram-samples", "4", "--solver-samples", "3,4"],
    *["--solver-width", "16", "--depth", "2", "--window", "3", "--rounds", "2"],
]
FAKES = tuple(f"{name}=tests.benchmarks.contestants:counting" for name in ("dense", "one", "two"))
WINDOWS = 2 * 2 * 3 + 2 * 2 * 3 + 2 * 3  # of a round with FAKES: widths or n, b or batch, choices
STEPS = 2 * 2 * 3 * 3 + 2 * 2 * 3 * 2 + 2 * 3 * 2
STARTS = 3 * 3  # steps before the first round


@pytest.fixture(autouse=True)
def undisturbed():
    with fakes.undisturbed():
        yield


@pytest.fixture
def fake_choices(monkeypatch):
    for name in ("WEIGHTS", "SOLVERS", "GRAM"):
        monkeypatch.setattr(comparison, name, FAKES)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    status = main([*SMALL, "--out", str(folder)])
    return status, folder, json.loads((folder / "choices.json").read_text(), parse_constant=pytest.fail)


def all_settings(document):
    return [(name, setting) for name, entry in document["comparisons"].items() for setting in entry["settings"]]


def plan(*comparisons, turns=2, seed=0):
    return rounds.Plan(comparisons, turns, 0.3, seed, "cpu", "float32")


def test_all_choices_agree_and_three_files_are_written(results):
    status, folder, _ = results
    assert status == 0
    assert sorted(path.name for path in folder.iterdir()) == ["choices.csv", "choices.json", "choices.md"]


def test_the_json_keeps_its_schema(results):
    _, _, document = results
    assert document["schema"] == 1
    assert {"threads", "torch", "cpu", "device", "commit", "dirty"} <= set(document["environment"])
    assert document["problem"]["rounds"] == document["problem"]["rounds_asked_for"] == 2
    assert list(document["comparisons"]) == ["weights", "solver", "gram"]
    assert [len(entry["choices"]) for entry in document["comparisons"].values()] == [6, 4, 3]
    for name, setting in all_settings(document):
        assert {"batch", "n", "m", "depth", "b", "window", "fastest", "as_fast", "choices"} <= set(setting)
        for entry in setting["choices"].values():
            assert set(entry["measures"]) == set(document["comparisons"][name]["measures"])
            assert all(len(estimate["seconds"]) == 2 for estimate in entry["measures"].values())
            assert set(entry["seconds"]) == {"iteration", *PHASES}
            assert all(len(window) == setting["window"] for window in entry["seconds"]["iteration"])
            assert entry["measured_multiply_adds"] > 0 and len(entry["losses"]) == setting["window"]
            assert entry["agreement"]["agrees"]
    settings = dict(all_settings(document))
    assert settings["weights"]["choices"]["lazy, keeping"]["ranks"][1] == 3 * 4  # n at each step
    sketched = settings["solver"]["choices"]["cg + TensorSketch"]["solve"]
    assert sketched["backward_error"] <= sketched["tolerance"] and sketched["condition_before"] >= 1.0
    assert settings["solver"]["choices"]["cholesky"]["solve"]["iterations"] == 0


def test_the_verdict_is_the_least_typical_time(results):
    """Of two rounds what is typical is the geometric mean."""
    _, _, document = results
    for name, setting in all_settings(document):
        deciding = next(iter(document["comparisons"][name]["measures"]))
        logs = {choice: np.log(entry["measures"][deciding]["seconds"]) for choice, entry in setting["choices"].items()}
        assert all(len(rounds) == 2 for rounds in logs.values())
        assert setting["fastest"] == min(logs, key=lambda choice: logs[choice].mean())
        ratios = {choice: entry["measures"][deciding]["ratio"] for choice, entry in setting["choices"].items()}
        assert ratios[setting["fastest"]]["value"] == 1.0
        assert all(
            (ratio["low"] <= 1.0) == (choice in setting["as_fast"])
            for choice, ratio in ratios.items()
            if choice != setting["fastest"]
        )


def test_the_csv_holds_the_raw_samples_of_the_json(results):
    _, folder, document = results
    with (folder / "choices.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for _, setting in all_settings(document):
        key = {
            name: "" if setting[name] is None else str(setting[name]) for name in ("comparison", "batch", "n", "m", "b")
        }
        for choice, entry in setting["choices"].items():
            mine = [row for row in rows if row["choice"] == choice and key.items() <= row.items()]
            for phase, windows in entry["seconds"].items():
                seconds = [float(row["seconds"]) for row in mine if row["phase"] == phase]
                assert seconds == [number for window in windows for number in window]


def test_it_prints_what_it_writes_as_markdown(tmp_path, capsys, fake_choices):
    assert main([*SMALL, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert printed.err == "" and "\x1b" not in printed.out  # no progress in a pipe
    text = (tmp_path / "choices.md").read_text()
    assert text == markdown(json.loads((tmp_path / "choices.json").read_text()))
    for word in ("fastest", "Break-even", "counted work", "agree", "conditions:", "2 rounds"):
        assert word in printed.out and word in text
    tables = [block for block in text.split("### ") if block.strip()]
    assert len(tables) == 9
    for table in tables:
        assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1


def test_the_order_within_rounds_is_drawn_by_the_seed(monkeypatch, fake_choices):
    compared = comparison.weights_comparison((8, 12), (4,), (None, 0.5), 2, 2, "float32")
    orders = []
    window = rounds._window
    monkeypatch.setattr(
        rounds,
        "_window",
        lambda plan, choice, network, *rest, **options: (
            visits.append((choice.name, network.widths[-1], network.activation.b))
            or window(plan, choice, network, *rest, **options)
        ),
    )
    for seed in (0, 0, 1):
        visits = []
        rounds.compare(plan(compared, seed=seed))
        orders.append(visits[3:])  # after one start of each choice
    first, second = orders[0][:12], orders[0][12:]
    assert sorted(map(str, first)) == sorted(map(str, second)) and first != second
    assert len(set(first)) == 12
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize(
    ("seconds", "wins", "at"),
    [
        ({8: 0.5, 16: 0.5}, "throughout", None),
        ({8: 2.0, 16: 2.0}, "nowhere", None),
        ({8: 2.0, 16: 0.5}, "from", 128**0.5),
        ({8: 0.5, 16: 2.0}, "up to", 128**0.5),
    ],
)
def test_the_break_even_point_is_where_the_ratio_is_one(seconds, wins, at, fake_choices):
    compared = comparison.weights_comparison((8, 16), (4,), (None,), 2, 2, "float32")
    outcome = rounds.compare(plan(compared))
    for (setting, name), windows in outcome.windows.items():
        own = seconds[setting.m] if name == "one" else 1.0 if name == "dense" else 9.0
        windows[:] = [[step._replace(seconds=own) for step in steps] for steps in windows]
    document = analyse(outcome, {})["comparisons"]["weights"]
    line = next(line for line in document["break_even"] if line["choice"] == "one")
    assert (line["wins"], line["at"]) == (wins, None if at is None else pytest.approx(at))
    assert [setting["fastest"] for setting in document["settings"]] == [
        "one" if seconds[setting["m"]] < 1.0 else "dense" for setting in document["settings"]
    ]
    assert all(setting["as_fast"] == [] for setting in document["settings"])


def test_near_duplicates_are_copies_with_noise_of_many_sizes():
    batch = load_batch("near-duplicates", 201, seed=3)
    assert batch.X.shape == (201, 64) and batch.y.shape == (201, 1)
    originals, copies = batch.X[:100], batch.X[101:]
    apart = np.linalg.norm(originals - copies, axis=1)
    assert np.all(apart < 1.01 * MOST_NOISE) and np.all(apart > 0.9 * LEAST_NOISE)
    assert apart.min() < 10 * LEAST_NOISE and apart.max() > MOST_NOISE / 10
    assert np.array_equal(batch.y[:100], batch.y[101:])
    assert np.array_equal(batch.X, load_batch("near-duplicates", 201, seed=3).X)


def test_a_choice_that_disagrees_is_a_failure(tmp_path, capsys, monkeypatch, fake_choices):
    wrong = "wrong=tests.benchmarks.contestants:silent"
    monkeypatch.setattr(comparison, "WEIGHTS", (*FAKES, wrong))
    assert main([*SMALL, "--out", str(tmp_path)]) == 1
    assert "DISAGREES: wrong at digits, n = 4, b = √(0.4 ln m), m = 12" in capsys.readouterr().out


def test_a_step_that_fails_is_a_failure(tmp_path, capsys, monkeypatch, fake_choices):
    def fail(*_):
        raise choices.SolveError("solve: no")

    monkeypatch.setattr(choices, "compare", fail)
    assert main([*SMALL, "--out", str(tmp_path)]) == 1
    assert "solve: no" in capsys.readouterr().err


def test_ctrl_c_writes_the_complete_rounds(tmp_path, capsys, fake_choices):
    fakes.STEPS["stop_at"] = STARTS + 2 * STEPS + 1
    assert main([*SMALL, "--rounds", "3", "--out", str(tmp_path)]) == INTERRUPTED
    document = json.loads((tmp_path / "choices.json").read_text())
    assert document["problem"]["rounds"] == 2 and document["problem"]["interrupted"]
    assert len((tmp_path / "choices.csv").read_text().splitlines()) == 1 + 2 * STEPS * (1 + len(PHASES))
    assert "2 rounds of 3 (interrupted)" in capsys.readouterr().out


def test_ctrl_c_before_the_first_round_writes_nothing(tmp_path, capsys, fake_choices):
    fakes.STEPS["stop_at"] = STARTS + STEPS
    assert main([*SMALL, "--out", str(tmp_path)]) == INTERRUPTED
    assert list(tmp_path.iterdir()) == []
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--widths", "0"], "--widths"),
        (["--widths", "8;16"], "--widths"),
        (["--widths", "100000000"], "widths"),
        (["--samples", "many"], "--samples"),
        (["--samples", "1798"], "samples"),
        (["--gram-samples", "0"], "--gram-samples"),
        (["--solver-samples", "-1"], "--solver-samples"),
        (["--solver-width", "0"], "--solver-width"),
        (["--b", "31"], "--b"),
        (["--b", "dense"], "--b"),
        (["--depth", "0"], "--depth"),
        (["--seed", "-1"], "--seed"),
        (["--device", "abacus"], "device"),
        (["--dtype", "float16"], "--dtype"),
        (["--threads", "0"], "--threads"),
        (["--window", "0"], "--window"),
        (["--rounds", "1"], "--rounds"),
        (["--learning-rate", "nan"], "--learning-rate"),
        (["--out", "/dev/null/results"], "out"),
        (["--no-such-option"], "--no-such-option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_options_are_named_in_one_line(options, named, tmp_path, capsys, fake_choices):
    with pytest.raises(SystemExit) as stopped:
        main([*SMALL, "--out", str(tmp_path / "out"), *options])
    assert stopped.value.code == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "error:" in message and named in message
    assert fakes.STEPS["count"] == 0


@pytest.mark.parametrize(
    ("impl", "name", "source"),
    [
        ("impl:factory?weights=lazy", "impl:factory?weights=lazy", "impl:factory?weights=lazy"),
        ("lazy=impl:factory?weights=lazy&maintenance=keep", "lazy", "impl:factory?weights=lazy&maintenance=keep"),
        ("impl:factory", "impl", "impl:factory"),
        ("gather=impl:factory", "gather", "impl:factory"),
    ],
)
def test_options_may_follow_a_factory_with_and_without_a_name(impl, name, source):
    contestant = load_contestant(impl, dtype="float32")
    assert (contestant.name, contestant.source) == (name, source)


def test_a_choice_is_swept_beside_the_dense_rival(tmp_path):
    lazy = ["impl:factory?weights=lazy", "kept=impl:factory?weights=lazy&maintenance=keep"]
    options = ["--data", "synthetic", "--samples", "4", "--depth", "2", "--rounds", "2", "--widths", "8,12,16"]
    options += ["--iterations", "8"]
    impls = [word for impl in lazy for word in ("--impl", impl)]
    assert main(["measure", "--allow-dirty", *options, *impls, "--out", str(tmp_path)]) == 0
    implementations = json.loads((tmp_path / "scaling.json").read_text())["implementations"]
    assert list(implementations) == ["dense", "impl:factory?weights=lazy", "kept"]
    with pytest.raises(ArgumentError, match="name of its own"):
        load_contestants([lazy[0], lazy[0]], dtype="float32")
