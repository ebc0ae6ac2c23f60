"""The compiled kernels leave torch's number of threads as it was set, although both may share OpenMP."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

CODE = """
import torch
torch.set_num_threads(1)
assert torch.get_num_threads() == 1  # only from here on would torch not set it once more by itself
from impl.kernels.compiled import CompiledKernels
CompiledKernels().select(torch.ones(2, 3), 0.5)  # numba starts its threads now
assert torch.get_num_threads() == 1, torch.get_num_threads()
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="numba starts no more threads than there are cores")
def test_starting_the_kernels_leaves_torch_its_number_of_threads():
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(
        command, cwd=ROOT, env=environment | {"NUMBA_NUM_THREADS": "2"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
