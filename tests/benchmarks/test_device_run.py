"""`python -m benchmarks cuda`, rehearsed on the CPU: parts, files, time, and what becomes of a part that fails."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.commands import cuda
from benchmarks.device import course, parity
from benchmarks.device.analysis import as_measurement, device_document, phase_figures, share_of_limit
from benchmarks.device.course import Course
from benchmarks.device.network import drawn_network
from benchmarks.device.plan import Findings, Limits, Memory, Plan, Trouble
from benchmarks.device.process import DeviceProcess, PartError
from benchmarks.device.tables import markdown
from benchmarks.report.source import read_source
from benchmarks.visit import Counts, Visit
from reference.contract import PHASES, load_problem
from tests.benchmarks.journals import read_journal

ROOT = Path(__file__).resolve().parents[2]
FAKES = "tests.benchmarks.contestants"
SMALL = [
    *("cuda", "--device", "cpu", "--dimension", "5", "--samples", "4", "--depth", "2", "--allow-dirty"),
    *("--iterations", "3", "--rounds", "2", "--threads", "1"),
]
COUNTING = ["--impl", f"fake={FAKES}:counting"]
#: The command with two of the properties, which have tests of their own, and take a while.
FEWER = (
    "import sys; from benchmarks.__main__ import main; from benchmarks.device import parity; "
    "parity.PROPERTIES, parity.EXAMPLES = parity.PROPERTIES[1:3], 1; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture
def quick(monkeypatch):
    """The properties have tests of their own, and take a while."""
    monkeypatch.setattr(course, "run_properties", lambda *arguments: dict(PARITY))
    monkeypatch.setattr(cuda, "REHEARSED_COUNTED_WIDTHS", (8,))


PARITY = {
    "implementation": "impl:factory",
    "dtype": "float32",
    "counts": {"passed": 5, "failed": 0, "skipped": 1},
    "cases": 7,
    "missing": [],
    "failures": [],
}


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    """A whole run with two of the properties, in a process of its own: folder, standard output and error, status."""
    folder = tmp_path_factory.mktemp("rehearsal") / "out"
    command = [sys.executable, "-c", FEWER, *SMALL, "--widths", "16,24,32", "--budget", "3000", "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=1200, check=False)
    return folder, done


def document(folder, name="cuda.json"):
    return json.loads((folder / name).read_text(), parse_constant=pytest.fail)


def test_a_rehearsal_does_all_its_parts(rehearsal):
    folder, done = rehearsal
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""  # no progress in a pipe
    found = document(folder)
    assert (found["schema"], found["rehearsal"], found["ended_by"]) == (1, True, "rounds")
    assert list(found["seconds"]) == ["limits", "parity", "counters", "sweep"]
    assert not [trouble for trouble in found["trouble"] if trouble["failed"]]
    assert [(run["implementation"], run["dtype"]) for run in found["parity"]] == [
        *((impl, "float32") for impl in (*course.PARITY, course.BFLOAT16)),
        *((impl, "float64") for impl in course.PARITY),
    ]
    assert [(run["counts"]["passed"], run["missing"], run["failures"]) for run in found["parity"]] == 5 * [(2, [], [])]
    assert all(entry["equal"] for entry in found["counters"]) and len(found["counters"]) == 6
    assert min(found["limits"][key] for key in ("copy", "read", "multiply_adds")) > 0
    assert {(point["implementation"], point["m"]) for point in found["points"]} == {
        (name, m) for name in ("dense", "gather", "certified") for m in (16, 24, 32)
    }
    assert set(found["phases"]) == {"dense", "gather", "certified"}


def test_its_folder_is_small_and_flat(rehearsal):
    folder, done = rehearsal
    paths = sorted(folder.rglob("*"))
    assert [path.name for path in paths] == ["cuda.json", "cuda.md", "samples.jsonl", "scaling.csv", "scaling.json"]
    assert all(path.is_file() and path.stat().st_size < 16 << 20 for path in paths)
    assert (folder / "cuda.md").read_text() in done.stdout


def test_its_tables_say_that_it_is_a_rehearsal(rehearsal):
    text = (rehearsal[0] / "cuda.md").read_text()
    assert text.startswith("# A rehearsal on the CPU\n\nNo figure below is of a GPU.")
    for word in ("dense / certified", "of its limit", "between anchors", "Crossover", "Measured limits", "DIFFERENT"):
        assert (word in text) is (word != "DIFFERENT")


def test_the_other_commands_read_its_results(rehearsal, tmp_path, capsys):
    folder, _ = rehearsal
    source = read_source(folder)
    assert source.document["problem"]["rounds"] == 2 and source.document["problem"]["widths"] == [16, 24, 32]
    assert main(["report", str(folder), "--out", str(tmp_path)]) == 0
    assert main(["fit", str(folder / "scaling.csv")]) == 0
    assert "dense" in capsys.readouterr().out


def test_every_visit_is_in_the_journal(rehearsal):
    header, entries = read_journal(rehearsal[0] / "samples.jsonl")
    assert header["kind"] == "header" and entries[-1] == {"kind": "end", "ended_by": "rounds"}
    assert sum(entry["kind"] == "visit" for entry in entries) == 18
    assert sum(entry["kind"] == "memory" for entry in entries) == 9


def test_all_implementations_start_from_the_same_weights(rehearsal):
    points = document(rehearsal[0])["points"]
    for m in (16, 24, 32):
        first = [point["losses"][0] for point in points if point["m"] == m]
        np.testing.assert_allclose(first, first[0], rtol=1e-4)


def run_here(tmp_path, *options, widths="8,12,16"):
    status = main([*SMALL, "--widths", widths, *options, "--out", str(tmp_path)])
    return status, document(tmp_path)


def test_what_fails_is_recorded_and_the_rest_goes_on(quick, tmp_path, capsys):
    broken = ["--impl", f"broken={FAKES}:fastidious"]
    status, found = run_here(tmp_path, *COUNTING, *broken)
    assert status == 1
    failed = [trouble for trouble in found["trouble"] if trouble["failed"]]
    assert {trouble["part"] for trouble in failed} == {"counters", "sweep"}
    assert all("network: expected a nicer one, got this one" in trouble["reason"] for trouble in failed)
    assert sum(trouble["part"] == "sweep" for trouble in failed) == 3
    assert {(point["implementation"], point["m"]) for point in found["points"]} == {
        (name, m) for name in ("dense", "fake") for m in (8, 12, 16)
    }
    assert not (tmp_path / "scaling.json").exists()  # no width is whole
    assert "FAILED: sweep, broken at m = 16, round 1, 3 of 9" in capsys.readouterr().out


def test_a_process_that_dies_is_replaced(quick, tmp_path):
    status, found = run_here(tmp_path, "--impl", f"deadly={FAKES}:deadly")
    assert status == 1
    reasons = [trouble["reason"] for trouble in found["trouble"] if trouble["failed"]]
    assert len(reasons) == 4  # counted work, and three widths
    assert all("the process that has the device ended" in reason and "-9" in reason for reason in reasons)
    assert {point["implementation"] for point in found["points"]} == {"dense"}
    assert len(found["points"]) == 3


def test_wrong_results_are_a_failure(quick, tmp_path, capsys):
    status, found = run_here(tmp_path, "--impl", f"wrong={FAKES}:wrong_outputs")
    assert status == 1
    assert not [trouble for trouble in found["trouble"] if trouble["failed"] and trouble["part"] == "sweep"]
    assert "DISAGREES: losses or outputs of wrong are not those of dense at m = 8, 12, 16." in capsys.readouterr().out


def test_a_property_that_fails_is_named(quick, tmp_path, monkeypatch, capsys):
    failure = {"property": "outputs_match_the_oracle", "message": "wrong"}
    monkeypatch.setattr(course, "run_properties", lambda *_: PARITY | {"failures": [failure]})
    status, found = run_here(tmp_path, "--impl", "blas=benchmarks.rivals.dense:blas_factory")
    assert status == 1
    failed = [trouble for trouble in found["trouble"] if trouble["failed"]]
    assert {trouble["reason"] for trouble in failed if trouble["part"] == "parity"} == {"outputs_match_the_oracle"}
    assert "FAILED: parity" in capsys.readouterr().out


def test_what_does_not_fit_the_time_is_named(quick, tmp_path):
    status, found = run_here(tmp_path, "--impl", f"slow={FAKES}:very_slow", "--budget", "40", "--iterations", "8")
    assert status == 0
    left_out = [trouble for trouble in found["trouble"] if trouble["part"] == "sweep"]
    assert left_out and not any(trouble["failed"] for trouble in left_out)
    cut = {(entry["implementation"], entry["m"]): entry["iterations"] for entry in found["partial"]}
    assert cut and all(name == "slow" and iterations < 8 for (name, _), iterations in cut.items())
    assert sum(found["seconds"].values()) < 40.0 + course.PATIENCE_SECONDS


def test_the_learning_rate_may_be_the_largest_stable_one(quick, tmp_path):
    options = ("--method", "gradient_descent", "--learning-rate", "stable")
    status, found = run_here(
        tmp_path, "--impl", "blas=benchmarks.rivals.dense:blas_factory", *options, widths="128,192,256"
    )
    assert status == 0
    rates = {m: {point["learning_rate"] for point in found["points"] if point["m"] == m} for m in (128, 192, 256)}
    assert all(len(of_width) == 1 for of_width in rates.values())  # the same for all implementations
    assert len(set.union(*rates.values())) == 3
    assert document(tmp_path, "scaling.json")["problem"]["learning_rate"] == "stable"
    assert "gradient descent at the largest stable learning rate" in (tmp_path / "cuda.md").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_keeps_what_was_measured(tmp_path, number):
    command = [sys.executable, "-c", FEWER, *SMALL, "--widths", "8,12,16", "--impl", f"slow={FAKES}:very_slow"]
    process = subprocess.Popen(
        [*command, "--budget", "60", "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    journal, end = tmp_path / "samples.jsonl", time.monotonic() + 120
    while time.monotonic() < end and not (journal.exists() and '"visit"' in journal.read_text()):
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted: the files hold what was measured until then" in err and "written: " in out
    found = document(tmp_path)
    assert found["ended_by"] == "interruption" and found["points"][0]["implementation"] == "dense"
    assert read_journal(journal)[1][-1]["kind"] != "end"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "abacus"], "device: expected cpu, or a CUDA device that torch can use here, got 'abacus'"),
        (["--device", "meta"], "device: expected cpu, or a CUDA device"),
        (["--device", "cuda:99"], "device: expected cpu, or a CUDA device"),
        (["--learning-rate", "stable"], "--learning-rate: expected a number with gauss_newton, got 'stable'"),
        (["--learning-rate", "fast"], "a finite number of at least 0"),
        (["--impl", "nowhere:factory"], "a module that can be imported"),
        (["--widths", "0"], "a whole number of at least 1"),
        (["--method", "newton"], "invalid choice"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as ended:
        main([*SMALL, *options, "--out", str(tmp_path / "new")])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_folder_with_another_command_s_samples_is_left_alone(tmp_path, capsys):
    (tmp_path / "samples.jsonl").write_text('{"kind": "header"}\n')
    with pytest.raises(SystemExit):
        main([*SMALL, "--out", str(tmp_path)])
    assert "out: expected a folder without the samples of another command" in capsys.readouterr().err
    assert (tmp_path / "samples.jsonl").read_text() == '{"kind": "header"}\n'


def test_it_runs_with_torch_numpy_scipy_and_hypothesis_alone():
    program = (
        "import sys\n"
        "for name in ('numba', 'rich', 'matplotlib', 'sklearn', 'safetensors', 'jaxtyping', 'beartype', 'asv'):\n"
        "    sys.modules[name] = None\n"
        "import benchmarks.commands.cuda, benchmarks.device.worker, benchmarks.rivals.dense\n"
        "import impl, properties.__main__\n"
        "from benchmarks.__main__ import main\n"
        "main(['cuda', '--help'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "--tf32" in done.stdout


def test_a_command_that_lacks_a_package_says_so():
    program = "import sys; sys.modules['rich'] = None; from benchmarks.__main__ import main; main(['measure'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith("error: measure needs rich: pip install '.[bench]'\n")


def plan(**changes):
    known = Plan(
        device="cpu",
        implementations={"dense": "benchmarks.rivals.dense:factory", "fake": f"{FAKES}:counting"},
        data="synthetic",
        samples=4,
        dimension=5,
        depth=2,
        seed=0,
        dtype="float32",
        method="gauss_newton",
        learning_rate=0.3,
        tf32=False,
        widths=(8, 12, 16),
        counted_widths=(8,),
        iterations=3,
        rounds=2,
        budget=60.0,
        threads=1,
    )
    return replace(known, **changes)


def test_a_process_that_does_not_answer_is_ended():
    process = DeviceProcess(plan(implementations={"slow": f"{FAKES}:very_slow"}))
    try:
        with pytest.raises(PartError, match="no answer within 1 s"):
            process.ask(1.0, "visit", name="slow", m=8, number=0, limit=60.0, learning_rate=0.3)
        assert process.ask(60.0, "has", source="impl:factory") is True
        assert process.ask(60.0, "has", source="impl:factory?storage=paper") is False
        assert process.starts == 2
    finally:
        process.close()


def test_a_process_that_cannot_start_says_why():
    process = DeviceProcess(plan(implementations={"none": "nowhere:factory"}))
    with pytest.raises(PartError, match="a module that can be imported"):
        process.ask(60.0, "limits")


def test_properties_that_take_too_long_are_interrupted_and_named(monkeypatch):
    monkeypatch.setattr(parity, "EXAMPLES", 2000)
    found = parity.run_properties("impl:factory", "cpu", "float64", 15.0)
    assert found["missing"] and set(found["missing"]) < set(parity.PROPERTIES) | {""}
    assert found["counts"]["failed"] == 0


DEAF_AT_FIRST = """
import signal, time
heard = []
signal.signal(signal.SIGINT, lambda *_: heard.append(1))
print("ready", flush=True)
while len(heard) < 2:
    time.sleep(0.01)
print("interrupted: 0 of 3 properties were run", flush=True)
time.sleep(2.5)
print(len(heard), "heard", flush=True)
"""


def test_an_interrupt_that_was_lost_is_repeated_and_one_that_was_heard_is_not(tmp_path):
    path = tmp_path / "log"
    with path.open("wb+") as log:
        process = subprocess.Popen([sys.executable, "-c", DEAF_AT_FIRST], stdout=log)
        while b"ready" not in path.read_bytes():
            time.sleep(0.01)
        parity.wait(process, 0.0, log.fileno())
    assert process.returncode == 0
    assert path.read_text().splitlines()[-1] == "2 heard"


def test_properties_that_give_no_result_are_an_error():
    with pytest.raises(PartError, match="a module that can be imported"):
        parity.run_properties("nowhere:factory", "cpu", "float32", 60.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_drawn_network_is_that_of_its_seed(dtype):
    one, same, other = (drawn_network(5, [600, 400], seed=seed, device="cpu", dtype=dtype) for seed in (1, 1, 2))
    W, W_same, W_other = (torch.from_dlpack(network.weights[1]) for network in (one, same, other))
    assert torch.equal(W, W_same) and not torch.equal(W, W_other)
    assert W.dtype == getattr(torch, dtype) and one.widths == (5, 600, 400)
    assert float(W.double().var()) == pytest.approx(2 / 400, rel=0.02)
    assert abs(float(W.double().mean())) < 5 * (2 / 400 / W.numel()) ** 0.5
    assert set(np.unique(one.readout)) == {-1.0, 1.0} and one.readout.dtype == dtype
    assert not torch.equal(torch.from_dlpack(one.weights[0])[:, :5], W[:, :5].T[:5].T)


def window(anchors, seconds, moved, number=0, name="dense", m=8):
    return Visit(
        number,
        name,
        m,
        1.0,
        seconds={phase: list(seconds) for phase in (*PHASES, "iteration")},
        work={phase: [Counts(10, size, 5, size) for size in moved] for phase in PHASES},
        losses=[1.0] * len(seconds),
        outputs=[0.0] * 4,
        anchors=list(anchors),
        folds=[0] * len(seconds),
        recompressions=[0] * len(seconds),
        learning_rate=0.3,
    )


LIMITS = Limits(copy=50.0, read=100.0, multiply_adds=10.0, buffer=1, size=1)


def test_phases_are_told_amortized_and_between_anchors():
    figures = phase_figures([window([2, 0, 0, 1], [8.0, 1.0, 3.0, 4.0], [400, 100, 200, 300])], LIMITS)
    assert figures["gram"] == {
        "amortized_seconds": 4.0,
        "amortized_bytes": 250.0,
        "amortized_bytes_seconds": 2.5,
        "between_anchors_seconds": 2.0,
        "between_anchors_bytes": 150.0,
        "between_anchors_bytes_seconds": 1.5,
    }
    assert figures["iteration"]["between_anchors_bytes"] == 750.0
    always = phase_figures([window([1, 1], [2.0, 4.0], [10, 10])], LIMITS)
    assert always["forward"]["amortized_seconds"] == 3.0 and always["forward"]["between_anchors_seconds"] is None
    assert phase_figures([window([0], [2.0], [10])], None)["forward"]["amortized_bytes_seconds"] is None


def test_the_share_of_the_limit_takes_the_longer_of_bytes_and_products():
    visits = [window([0], [20.0], [300])]  # a phase: 3 s of bytes, 1 s of products
    assert share_of_limit(visits, LIMITS) == pytest.approx(5 * 3 / 20)
    assert share_of_limit(visits, LIMITS._replace(multiply_adds=1.0)) == pytest.approx(5 * 10 / 20)
    assert share_of_limit(visits, None) is None


def test_only_whole_widths_and_common_rounds_are_analysed():
    found = Findings(
        visits={
            **{("dense", m): [window([0] * 3, [1.0] * 3, [9] * 3, r, m=m) for r in (1, 0)] for m in (8, 12, 16)},
            **{("fake", m): [window([0] * 3, [1.0] * 3, [9] * 3, 0, "fake", m)] for m in (8, 16)},
        },
        memory={(name, m): Memory(5, 10 * m) for name in ("dense", "fake") for m in (8, 12, 16)},
        limits=LIMITS,
        trouble=[Trouble("sweep", "fake at m = 12", "out of memory", True)],
        environment={"cuda": None, "driver": None, "float32_matmul_precision": "highest", "cpu": "x", "device": "cpu"}
        | {"threads": 1, "torch": "2", "blas": "x", "commit": None, "dirty": False},
    )
    measurement = as_measurement(plan(), found, load_problem("synthetic", 4, dimension=5))
    assert measurement.plan.widths == (8, 16) and measurement.rounds == 1
    assert [visit.round for visit in measurement.visits["dense", 8]] == [0]
    told = device_document(plan(), found, None)
    assert told["together_bytes"] == 320 and len(told["points"]) == 5
    text = markdown(told, None)
    assert "FAILED: sweep, fake at m = 12: out of memory" in text
    assert "| 12 | 1e+03 (1e+03) | – | – |" in text.replace("1000", "1e+03")


def test_the_course_ends_at_its_budget(monkeypatch):
    """With no time at all every part is named as left out, and nothing hangs."""
    stored = []
    found = Course(plan(budget=1.0), stored.append, lambda _: None, lambda _: None).run()
    assert not found.visits and not [trouble for trouble in found.trouble if trouble.failed]
    assert {trouble.part for trouble in found.trouble} == {"parity", "counters", "sweep"}
    assert stored and os.getpid()


@pytest.mark.cuda
def test_a_short_run_on_cuda(tmp_path):
    options = ["cuda", "--widths", "256,512,1024", "--iterations", "4", "--rounds", "2", "--allow-dirty"]
    assert main([*options, "--budget", "240", "--out", str(tmp_path)]) == 0
    found = document(tmp_path)
    assert not found["rehearsal"] and found["environment"]["gpu"]["memory_bytes"] > 0
    assert all(point["memory"]["peak"] >= point["memory"]["held"] > 0 for point in found["points"])
