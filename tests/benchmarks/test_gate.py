"""`python -m benchmarks gate`: quantities, verdicts and files, and two commits of a small repository.

The repository's implementation is the dense rival on a clock of its own, so that verdicts do not hang on the machine.
"""

import copy
import json
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.gate import commits, files, version
from benchmarks.gate.alternate import Evidence, Plan
from benchmarks.gate.quantity import Finding, Quantity, exact, timed, unpaired
from benchmarks.gate.verdict import BrokenError, Verdict, judge
from benchmarks.visit import Counts, Visit
from reference.contract import PHASES, ArgumentError

MARGIN = math.log(1.05)
WIDTHS = (64, 128, 256, 512)


def noisy(center, rounds=6, noise=0.01, seed=0):
    return center + noise * np.random.default_rng(seed).standard_normal(rounds)


def stages(center, **options):
    return [noisy(center, seed=seed, **options) for seed in (0, 1)]


class TestQuantities:
    @pytest.mark.parametrize(
        ("center", "finding"),
        [
            (0.0, Finding.SAME),
            (math.log(1.03), Finding.SAME),
            (math.log(1.3), Finding.WORSE),
            (-math.log(1.3), Finding.BETTER),
        ],
    )
    def test_a_difference_counts_beyond_its_margin_only(self, center, finding):
        assert timed("ours", "iteration", stages(center), MARGIN).finding is finding

    def test_noise_leaves_a_quantity_open(self):
        assert timed("ours", "iteration", stages(0.0, noise=0.5), MARGIN).finding is Finding.OPEN

    def test_an_interval_across_the_margin_is_open_however_significant(self):
        quantity = timed("ours", "iteration", stages(MARGIN, noise=0.005), MARGIN)
        assert quantity.low > 0.0 and quantity.finding is Finding.OPEN

    def test_a_single_process_is_no_confirmation(self):
        quantity = timed("ours", "iteration", [noisy(0.5)], MARGIN)
        assert quantity.beyond and quantity.finding is Finding.OPEN

    def test_stages_must_agree(self):
        lucky, unlucky = noisy(0.0), noisy(0.9, rounds=60)
        quantity = timed("ours", "iteration", [lucky, unlucky], MARGIN)
        assert quantity.beyond and quantity.finding is Finding.OPEN

    def test_one_interrupted_round_is_no_slowdown(self):
        first, second = stages(0.0)
        first[2] += 3.0
        assert timed("ours", "iteration", [first, second], MARGIN).finding is Finding.SAME

    @pytest.mark.parametrize(
        ("base", "head", "finding"),
        [(100, 100, Finding.SAME), (100, 101, Finding.WORSE), (100, 99, Finding.BETTER), (0, 1, Finding.WORSE)],
    )
    def test_counts_are_exact(self, base, head, finding):
        assert exact("ours", "folds", base, head).finding is finding

    def test_memory_has_a_margin(self):
        assert exact("ours", "memory", 100, 109, math.log(1.1)).finding is Finding.SAME
        assert exact("ours", "memory", 100, 112, math.log(1.1)).finding is Finding.WORSE

    def test_separate_runs_are_compared_by_what_is_typical_of_each(self):
        base, head = noisy(1.0, rounds=15), noisy(1.4, rounds=9, seed=1)
        quantity = unpaired("ours", "iteration", base, head, MARGIN)
        assert quantity.finding is Finding.WORSE and quantity.low < 0.4 < quantity.high
        assert unpaired("ours", "iteration", head, base, MARGIN).finding is Finding.BETTER
        assert unpaired("ours", "iteration", base, base[::-1], MARGIN).finding is Finding.SAME

    def test_ratios_and_exponents_are_told_as_what_they_are(self):
        assert str(exact("ours", "folds", 2, 3)) == "folds: 1.500×"
        ratio = Quantity("ours", "iteration", "ratio", math.log(2.0), 0.0, math.log(4.0), MARGIN)
        assert str(ratio) == "iteration: 2.000× [1.000, 4.000]"
        assert str(Quantity("ours", "exponent", "exponent", 0.1, 0.0, 0.2, 0.05)) == "exponent: +0.100 [+0.000, +0.200]"


class TestVerdicts:
    WORSE, BETTER = (timed("ours", name, stages(center), MARGIN) for name, center in (("slow", 0.3), ("fast", -0.3)))
    SAME, OPEN = timed("ours", "even", stages(0.0), MARGIN), timed("ours", "noise", stages(0.0, noise=0.5), MARGIN)
    ALARM = timed("ours", "spike", stages(0.0, noise=0.5), MARGIN, alarm_only=True)

    @pytest.mark.parametrize(
        ("quantities", "verdict", "told"),
        [
            ([], Verdict.SAME, "no cost"),
            ([SAME], Verdict.SAME, "no cost"),
            ([SAME, ALARM], Verdict.SAME, "no cost"),
            ([SAME, BETTER], Verdict.BETTER, "fast"),
            ([SAME, BETTER, OPEN], Verdict.INCONCLUSIVE, "noise"),
            ([SAME, BETTER, OPEN, WORSE], Verdict.WORSE, "slow"),
        ],
    )
    def test_the_worst_finding_counts(self, quantities, verdict, told):
        judgement = judge(quantities)
        assert judgement.verdict is verdict and told in judgement.reason

    def test_statuses_are_the_documented_ones(self):
        assert [verdict.value for verdict in Verdict] == [0, 1, 3, 4, 5]
        assert 2 not in {verdict.value for verdict in Verdict}  # bad arguments

    def test_a_reason_is_short(self):
        judgement = judge([exact("ours", f"count {number}", 1, 2 + number) for number in range(9)])
        assert (
            judgement.reason.count("ours") == 3 and "count 8" in judgement.reason and "and 6 more" in judgement.reason
        )


def window(seconds, *, m=64, work=100, losses=(2.0, 1.0), outputs=(0.5, 0.5), folds=0):
    count = len(seconds)
    return Visit(
        0,
        "ours",
        m,
        0.1,
        None,
        {"iteration": list(seconds), **{phase: [value / 5 for value in seconds] for phase in PHASES}},
        {phase: [Counts(work, work, work, work)] * count for phase in PHASES},
        list(losses),
        list(outputs),
        [0] * count,
        [folds] * count,
        [0] * count,
    )


def plan(**changes):
    plain = {
        "timed": {"ours": "a:b"},
        "counted": {},
        "widths": WIDTHS,
        "iterations": 8,
        "rounds": 6,
        "data": "digits",
        "samples": 2,
        "depth": 2,
        "learning_rate": 0.3,
        "seed": 0,
        "device": "cpu",
        "dtype": "float32",
        "threads": None,
    }
    return Plan(**{**plain, **changes})


def evidence(slowdown, *, head_folds=0, head_work=100, rounds=6):
    """Two stages; slowdown(m, t) is what iteration t of head takes in units of base's."""
    generator = np.random.default_rng(3)
    stages = []
    for _ in range(2):
        stage = {}
        for m in WIDTHS:
            pairs = stage["ours", m] = []
            for _ in range(rounds):
                drift, noise = math.exp(0.3 * generator.standard_normal()), 0.01 * generator.standard_normal((2, 8))
                base, head = 1e-6 * m * drift * np.exp(noise)
                head = head * [slowdown(m, t) for t in range(8)]
                pairs.append((window(base, m=m), window(head, m=m, folds=head_folds, work=head_work)))
        stages.append(stage)
    return Evidence(stages)


def findings(slowdown, **options):
    return {quantity.name: quantity for quantity in commits.quantities(plan(), evidence(slowdown, **options))}, judge(
        commits.quantities(plan(), evidence(slowdown, **options))
    ).verdict


class TestCommits:
    def test_the_same_is_the_same(self):
        quantities, verdict = findings(lambda m, t: 1.0)
        assert verdict is Verdict.SAME
        assert all(quantity.finding is Finding.SAME for quantity in quantities.values() if not quantity.alarm_only)

    def test_a_uniform_slowdown_shows_in_every_iteration_but_not_in_the_exponent(self):
        quantities, verdict = findings(lambda m, t: 1.2)
        assert verdict is Verdict.WORSE
        assert all(quantities[f"iteration at m = {m}"].finding is Finding.WORSE for m in WIDTHS)
        assert quantities["exponent of an iteration"].finding is Finding.SAME

    def test_a_slowdown_that_grows_shows_in_the_exponent(self):
        quantities, verdict = findings(lambda m, t: (m / 64) ** 0.15)
        assert verdict is Verdict.WORSE
        exponent = quantities["exponent of an iteration"]
        assert exponent.finding is Finding.WORSE and exponent.low < 0.15 < exponent.high

    def test_what_only_shows_at_large_widths_shows(self):
        quantities, verdict = findings(lambda m, t: 1.12 if m == 512 else 1.0)
        assert verdict is Verdict.WORSE
        assert quantities["iteration at m = 512"].finding is Finding.WORSE
        assert quantities["iteration at m = 64"].finding is Finding.SAME

    def test_a_pass_at_every_eighth_iteration_does_not_hide_in_the_mean(self):
        quantities, verdict = findings(lambda m, t: 1.35 if t == 7 else 1.0)
        assert verdict is Verdict.WORSE
        assert quantities["iteration at m = 512"].finding is not Finding.WORSE
        assert quantities["slowest iteration of a window at m = 512"].finding is Finding.WORSE

    def test_better_is_said(self):
        assert findings(lambda m, t: 0.8)[1] is Verdict.BETTER

    @pytest.mark.parametrize("change", [{"head_folds": 1}, {"head_work": 101}])
    def test_counted_work_and_events_are_compared_exactly(self, change):
        quantities, verdict = findings(lambda m, t: 1.0, **change)
        assert verdict is Verdict.WORSE
        worse = [name for name, quantity in quantities.items() if quantity.finding is Finding.WORSE]
        assert worse and all(name.startswith(("counted", "folds")) for name in worse)

    def test_memory_is_compared(self):
        measured = evidence(lambda m, t: 1.0)
        matrix = 4 * 512 * 512
        small, large = (
            {"iteration": 2**20, "construction": matrix},
            {"iteration": 2**20 + matrix, "construction": matrix},
        )
        measured.memory["ours", 512] = small, large
        found = [one for one in commits.quantities(plan(), measured) if one.finding is Finding.WORSE]
        assert [one.name for one in found] == ["extra memory of iteration at m = 512"]

    def test_a_wrong_answer_is_no_result(self):
        y = np.array([[1.0], [-1.0]])
        right, wrong = window([1.0, 1.0]), window([1.0, 1.0], losses=(2.0, 1.5))
        commits.check_results(plan(), Evidence(counted={("ours", 64): (right, right)}), y)
        with pytest.raises(BrokenError, match=r"^head: ours at m = 64 differs from base at step 1"):
            commits.check_results(plan(), Evidence(counted={("ours", 64): (right, wrong)}), y)
        with pytest.raises(BrokenError, match=r"^base: ours at m = 64 differs from the dense rival"):
            commits.check_results(plan(), Evidence(counted={("ours", 64): (wrong, wrong)}, dense={64: right}), y)
        elsewhere = window([1.0, 1.0], outputs=(0.5, -0.5))
        with pytest.raises(BrokenError, match="at step 2"):
            commits.check_results(plan(), Evidence(counted={("ours", 64): (right, elsewhere)}), y)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    options = ["--widths", "8,12,16,24", "--depth", "2", "--samples", "4", "--rounds", "4", "--iterations", "2"]
    impl = ["--impl", "ours=benchmarks.rivals.dense:blas_factory"]
    main(["measure", "--allow-dirty", "--data", "synthetic", *options, *impl, "--out", str(folder)])
    return folder / "scaling.json"


class TestFiles:
    def quantities(self, results, change):
        base = json.loads(results.read_text())
        for name, noise in (("dense", 0), ("ours", 1)):  # the times of so small networks say nothing
            for point in base["implementations"][name]["points"]:
                seconds = np.exp(noisy(math.log(point["m"]), rounds=12, seed=point["m"] + noise))
                point["phases"]["iteration"]["seconds"] = seconds.tolist()
        head = copy.deepcopy(base)
        change(head)
        return files.quantities(base, head)

    def test_a_file_is_the_same_as_itself(self, results):
        assert judge(self.quantities(results, lambda head: None)).verdict is Verdict.SAME

    def test_a_slower_machine_is_no_slowdown(self, results):
        def slow(head):
            for entry in head["implementations"].values():
                for point in entry["points"]:
                    iteration = point["phases"]["iteration"]
                    iteration["seconds"] = [2.0 * seconds for seconds in iteration["seconds"]]

        assert judge(self.quantities(results, slow)).verdict is Verdict.SAME

    def test_a_slower_implementation_is(self, results):
        def slow(head):
            for point in head["implementations"]["ours"]["points"]:
                iteration = point["phases"]["iteration"]
                iteration["seconds"] = [point["m"] ** 0.5 * seconds for seconds in iteration["seconds"]]

        judgement = judge(self.quantities(results, slow))
        assert judgement.verdict is Verdict.WORSE and "exponent of an iteration" in judgement.reason

    @pytest.mark.parametrize(("key", "value"), [("multiply_adds", 10**9), ("bytes", 10**9)], ids=str)
    def test_counts_are_compared(self, results, key, value):
        def change(head):
            head["implementations"]["ours"]["points"][2]["phases"]["update"][key] = value

        judgement = judge(self.quantities(results, change))
        assert judgement.verdict is Verdict.WORSE and "of update at m = 16" in judgement.reason

    def test_memory_is_compared(self, results):
        def change(head):
            head["implementations"]["ours"]["points"][3]["extra_memory_bytes"] *= 3

        assert "extra memory" in judge(self.quantities(results, change)).reason

    def test_disagreement_is_broken(self, results):
        def change(head):
            head["implementations"]["ours"]["points"][0]["agreement"]["agrees"] = False

        with pytest.raises(BrokenError, match="ours at m = 8 differs from dense"):
            self.quantities(results, change)

    def test_another_problem_is_refused(self, results):
        with pytest.raises(ArgumentError, match="depth"):
            self.quantities(results, lambda head: head["problem"].update(depth=3))
        with pytest.raises(ArgumentError, match="implementation"):
            self.quantities(results, lambda head: head["implementations"].pop("ours"))

    def test_the_command_compares_files(self, results, tmp_path, capsys):
        assert main(["gate", str(results), str(results), "--json", str(tmp_path / "gate.json")]) in (0, 4)
        printed = capsys.readouterr().out
        assert "Head against base" in printed
        document = json.loads((tmp_path / "gate.json").read_text(), parse_constant=pytest.fail)
        assert document["verdict"] in ("same", "inconclusive") and document["reason"] in " ".join(printed.split())

    def test_a_file_that_cannot_be_written_is_named_first(self, results, tmp_path, capsys):
        with pytest.raises(SystemExit) as stopped:
            main(["gate", str(results), str(results), "--json", str(tmp_path / "nowhere" / "gate.json")])
        printed = capsys.readouterr()
        assert stopped.value.code == 2 and "json: expected a file in a folder" in printed.err and printed.out == ""

    @pytest.mark.parametrize(
        ("content", "expected"), [(None, "scaling.json"), ("{", "scaling.json"), ('{"schema": 1}', "schema 2")]
    )
    def test_bad_files_are_named(self, content, expected, results, tmp_path, capsys):
        path = tmp_path / "other.json"
        if content is not None:
            path.write_text(content)
        with pytest.raises(SystemExit) as stopped:
            main(["gate", str(results), str(path)])
        message = capsys.readouterr().err.strip().splitlines()[-1]
        assert stopped.value.code == 2 and "HEAD" in message and expected in message


FAKE = '''"""The dense rival, on a clock of its own."""

import benchmarks.visit
from benchmarks.rivals.dense import factory as dense

CLOCK = [0.0]
benchmarks.visit.now = lambda device: CLOCK[0]


class Timed:
    def __init__(self, network, **options):
        self.rival, self.m, self.steps = dense(network, **options), network.widths[-1], 0

    def step(self, X, y, **options):
        report = self.rival.step(X, y, **options)
        CLOCK[0] += 1e-6 * self.m
        self.steps += 1
        # change
        return report

    def forward(self, X):
        return self.rival.forward(X)


def factory(network, *, device="cpu", dtype="float32"):
    return Timed(network, device=device, dtype=dtype)
'''


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A commit for every change of the fake, tagged by its name."""
    folder = tmp_path_factory.mktemp("repository")

    def git(*arguments):
        identity = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True)

    project = Path(version.REPOSITORY)
    for room in ("reference", "benchmarks"):
        shutil.copytree(project / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "fake.py").write_text(FAKE)
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "-m", "base")
    git("tag", "base")
    changes = {
        "slower": "CLOCK[0] += 0.3e-6 * self.m",
        "wrong": "report = type(report)(report.loss + 1.0, report.work)",
        "failing": "raise RuntimeError('no more')",
    }
    for name, change in changes.items():
        (folder / "fake.py").write_text(FAKE.replace("# change", change))
        git("commit", "--quiet", "--all", "-m", name)
        git("tag", name)
    return folder


class TestRepository:
    """Processes are real, and few: starting them takes seconds."""

    OPTIONS = ("--impl", "fake=fake:factory", "--widths", "8,12,16", "--samples", "4", "--depth", "2", "--threads", "1")

    @pytest.fixture(autouse=True)
    def in_the_repository(self, repository, monkeypatch):
        monkeypatch.setattr(version, "REPOSITORY", repository)

    def gate(self, base, head, *options):
        return main(["gate", base, head, *self.OPTIONS, "--iterations", "4", "--rounds", "3", *options])

    def test_a_slower_commit_is_worse_and_the_way_back_better(self, capsys):
        assert self.gate("base", "slower") == 1
        printed = " ".join(capsys.readouterr().out.split())
        assert "worse: fake, iteration at m = " in printed and "1.300×" in printed and "2 stages" in printed
        assert self.gate("slower", "base") == 5
        assert self.gate("slower", "slower") == 0

    @pytest.mark.parametrize(
        ("head", "reason"),
        [("wrong", "head: fake at m = 8 differs from the dense rival at step 0"), ("failing", "RuntimeError: no more")],
    )
    def test_a_commit_that_cannot_be_measured_is_broken(self, head, reason, capsys):
        assert self.gate("base", head) == 3
        assert reason in " ".join(capsys.readouterr().out.split())

    def test_no_commit_is_a_bad_argument(self, capsys):
        with pytest.raises(SystemExit) as stopped:
            self.gate("base", "no-such-commit")
        assert stopped.value.code == 2
        assert "HEAD: expected a commit" in capsys.readouterr().err

    @pytest.mark.parametrize("device", ["abacus", "cuda:99"])
    def test_a_device_that_is_not_there_is_a_bad_argument(self, device, capsys):
        with pytest.raises(SystemExit) as stopped:
            self.gate("base", "base", "--device", device)
        assert stopped.value.code == 2
        assert "device: expected a device that torch can use here" in capsys.readouterr().err
