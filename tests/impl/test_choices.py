"""Every combination of weights × solver × activation × loss passes the suite's properties, within its bounds."""

import subprocess
import sys
from pathlib import Path

import pytest

import impl
from tests.impl.choices import SOLVERS, WEIGHTS

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_properties_hold_for_every_activation_and_loss(weights, solver):
    command = [sys.executable, "-m", "tests.impl.choices", weights, solver]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_combination_is_made_of_what_there_is():
    assert set(SOLVERS) == set(impl.solvers.SOLVERS)
    assert {options.get("weights", "eager") for options in WEIGHTS.values()} == set(impl.weights.WEIGHTS)
