"""For all tests: array annotations are checked, torch has a fixed thread count, CUDA tests need a device."""

import sys

import jaxtyping
import pytest
import torch

from tests.array_annotations import PlainFinder

PACKAGES = ("reference", "impl", "properties", "benchmarks")
THREADS = 2

already = [name for name in sys.modules if name.split(".")[0] in PACKAGES]
assert not already, f"imported before their annotations could be checked: {already}"
jaxtyping.install_import_hook(PACKAGES, "tests.array_annotations.check")
sys.meta_path.insert(0, PlainFinder)


@pytest.fixture(autouse=True)
def fixed_thread_count():
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(THREADS)


def pytest_runtest_setup(item):
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and torch sees none here")
