"""`python -m benchmarks measure`, from its options to its files."""

import csv
import json
import math
import subprocess
import sys

import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.commands import measure
from benchmarks.sweep import ALL_PHASES
from tests.benchmarks import contestants as fakes

SMALL = ["measure", "--data", "synthetic", "--dimension", "5", "--samples", "4", "--depth", "2", "--rounds", "3"]
WIDTHS = ["--widths", "8,12,16,24"]
FAKE = ["--impl", "fake=tests.benchmarks.contestants:counting"]
BLAS = ["--impl", "blas=benchmarks.rivals.dense:blas_factory"]


@pytest.fixture(autouse=True)
def no_interruption():
    fakes.STEPS.update(count=0, stop_at=None)
    yield
    fakes.STEPS.update(count=0, stop_at=None)


def test_it_writes_what_it_prints(tmp_path, capsys):
    assert main([*SMALL, *WIDTHS, *BLAS, "--out", str(tmp_path / "new")]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""  # no progress in a pipe
    for word in ("Exponents", "iteration", "dense / blas", "crossover", "agree", "conditions"):
        assert word in printed.out
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["scaling.csv", "scaling.json", "scaling.png"]
    assert (tmp_path / "new" / "scaling.png").read_bytes().startswith(b"\x89PNG")


def test_the_json_keeps_its_schema(tmp_path):
    main([*SMALL, *WIDTHS, *BLAS, "--threads", "1", "--out", str(tmp_path)])
    document = json.loads((tmp_path / "scaling.json").read_text(), parse_constant=pytest.fail)
    assert document["schema"] == 1
    assert {"threads", "torch", "blas", "cpu", "device", "commit", "dirty", "python", "os"} <= set(
        document["environment"]
    )
    assert document["environment"]["threads"] == 1
    assert document["problem"]["widths"] == [8, 12, 16, 24]
    assert set(document["implementations"]) == {"dense", "blas"}
    for entry in document["implementations"].values():
        assert [point["m"] for point in entry["points"]] == [8, 12, 16, 24]
        for point in entry["points"]:
            for phase in ALL_PHASES:
                samples = point["phases"][phase]
                assert len(samples["seconds"]) == 3 and all(seconds > 0 for seconds in samples["seconds"])
                assert isinstance(samples["multiply_adds"], int) and isinstance(samples["bytes"], int)
                assert set(samples["square_layers"]) == {"multiply_adds", "bytes"}
            assert point["extra_memory_bytes"] > 0
        for phase in ALL_PHASES:
            time = entry["exponents"][phase]["time"]
            assert time["low"] <= time["value"] <= time["high"] or phase == "initialization"
            assert "value" in entry["exponents"][phase]["work"]
    assert set(document["speedup"]) == {"8", "12", "16", "24"}
    assert all(ratio["low"] <= ratio["value"] <= ratio["high"] for ratio in document["speedup"].values())
    assert document["speedups"]["blas"] == document["speedup"]
    assert set(document["crossover"]["blas"]) == {"m", "where", "low", "high"}


def test_the_csv_holds_the_raw_samples_of_the_json(tmp_path):
    main([*SMALL, *WIDTHS, *BLAS, "--out", str(tmp_path)])
    document = json.loads((tmp_path / "scaling.json").read_text())
    with (tmp_path / "scaling.csv").open(newline="") as file:
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
    assert len(rows) == 2 * 4 * len(ALL_PHASES) * 3


def test_a_second_run_replaces_the_files(tmp_path):
    for rounds in ("2", "3"):
        main([*SMALL, "--rounds", rounds, *WIDTHS, *BLAS, "--out", str(tmp_path)])
    assert json.loads((tmp_path / "scaling.json").read_text())["problem"]["rounds"] == 3
    assert len(list(tmp_path.iterdir())) == 3


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


def test_ctrl_c_writes_the_complete_rounds(tmp_path, capsys):
    fakes.STEPS["stop_at"] = 2 * 4 + 2 * 4 * 2 + 1  # warm-up, two rounds, and one step of the third
    assert main([*SMALL, *WIDTHS, *FAKE, "--out", str(tmp_path)]) == measure.INTERRUPTED
    assert json.loads((tmp_path / "scaling.json").read_text())["problem"]["rounds"] == 2
    assert "interrupted" in capsys.readouterr().out


def test_ctrl_c_before_the_first_round_writes_nothing(tmp_path, capsys):
    fakes.STEPS["stop_at"] = 3
    assert main([*SMALL, *WIDTHS, *FAKE, "--out", str(tmp_path)]) == measure.INTERRUPTED
    assert list(tmp_path.iterdir()) == []
    assert "interrupted" in capsys.readouterr().err


def test_a_wrong_implementation_is_a_failure(tmp_path, capsys):
    assert main([*SMALL, *WIDTHS, "--impl", "tests.benchmarks.contestants:silent", "--out", str(tmp_path)]) == 1
    assert "DISAGREES" in capsys.readouterr().out


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
    assert done.stderr == ""
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
