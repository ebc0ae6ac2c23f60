"""The suite under pytest, as its users run it: in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--suite-profile", "dev", "--suite-examples", "1"]


def run_pytest(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_wrong_implementation_from_the_command_line(tmp_path):
    done = run_pytest(
        *["-p", "properties.plugin", "--pyargs", "properties.conformance", "-v"],
        *["--impl", "tests.properties.wrong:off_by_one", *QUICK],
        folder=tmp_path,
    )
    out = done.stdout
    assert done.returncode == 1, out + done.stderr
    assert "implementation tests.properties.wrong:off_by_one" in out
    assert re.search(r"profile dev, seed 0, 1 random cases", out)
    assert re.search(r"test_property\[outputs_match_the_oracle\] FAILED", out)
    assert re.search(r"test_property\[active_sets_are_the_units_above_the_threshold\] PASSED", out)
    assert re.search(r"test_property\[gram_matrix_matches_the_oracle\] SKIPPED", out)
    assert "the implementation declares no gram" in out
    assert "worst at sample" in out and "--reproduce" in out
    assert "properties/claims/evaluation.py" not in out and "Traceback" not in out


@pytest.fixture
def own_tests(tmp_path):
    (tmp_path / "test_mine.py").write_text(
        "from properties.plugin import conformance_tests\n"
        "test_right = conformance_tests('reference:factory', profile='dev')\n"
        "test_wrong = conformance_tests('tests.properties.wrong:gram', profile='dev')\n"
    )
    return tmp_path


def test_one_line_in_a_test_module_of_ones_own(own_tests):
    done = run_pytest("test_mine.py", "-v", "-k", "gram_matrix or outputs_match", folder=own_tests)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"test_right\[gram_matrix_matches_the_oracle\] PASSED", done.stdout)
    assert re.search(r"test_wrong\[gram_matrix_matches_the_oracle\] FAILED", done.stdout)
    assert re.search(r"test_wrong\[outputs_match_the_oracle\] SKIPPED", done.stdout)
    assert re.search(r"test_right\[outputs_match_the_oracle\] PASSED", done.stdout)


def test_one_property_runs_on_its_own(own_tests):
    done = run_pytest("test_mine.py::test_right[outputs_match_the_oracle]", folder=own_tests)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.parametrize(
    ("implementation", "message"),
    [
        ("no.such:factory", "impl: expected a module that can be imported"),
    ],
)
def test_what_cannot_be_imported_is_a_usage_error(implementation, message, tmp_path):
    done = run_pytest(
        *["-p", "properties.plugin", "--pyargs", "properties.conformance", "--impl", implementation], folder=tmp_path
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert message in done.stderr and "Traceback" not in done.stderr


def test_the_plugin_is_not_loaded_by_itself(tmp_path):
    assert "unrecognized arguments: --impl" in run_pytest("--impl", "reference:factory", folder=tmp_path).stderr
