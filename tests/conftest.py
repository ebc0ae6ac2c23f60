"""For all tests: array annotations are checked, torch has a fixed thread count, CUDA tests need a device. What numba
has kept of loops that have changed since is removed.

Where there is no device, Triton's kernels are interpreted. On a machine with a device there may be no jaxtyping, or no
beartype beside it: the CUDA tests then run without the check.
"""

import importlib.util
import os
import sys

import pytest
import torch

from tests.compiled import forget_what_is_stale

PACKAGES = ("reference", "impl", "properties", "benchmarks")
THREADS = 2

already = [name for name in sys.modules if name.split(".")[0] in PACKAGES]
assert not already, f"imported before their annotations could be checked: {already}"
if all(importlib.util.find_spec(name) is not None for name in ("jaxtyping", "beartype")):
    import jaxtyping

    from tests.array_annotations import PlainFinder

    jaxtyping.install_import_hook(PACKAGES, "tests.array_annotations.check")
    sys.meta_path.insert(0, PlainFinder)

forget_what_is_stale()

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # Triton reads it when it is imported


@pytest.fixture(autouse=True)
def fixed_thread_count():
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(THREADS)


def pytest_runtest_setup(item):
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and torch sees none here")
