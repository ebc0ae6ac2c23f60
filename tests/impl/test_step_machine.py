"""State machines over eager and lazy weights find nothing, and find every bug that is planted in them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.impl.step_machine import MACHINES, PLANTED

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def found():
    """What the machines found, by name of machine or planted bug."""
    command = [sys.executable, "-m", "tests.impl.step_machine"]
    alone = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # nothing here is worth two threads
    done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_network_is_what_its_steps_made_it_whatever_came_between(machine, found):
    assert found[machine.__name__] == ""


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_the_machine_finds_planted_bugs(plant, found):
    assert found[plant.__name__] != ""
