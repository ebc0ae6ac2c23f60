"""The work counters agree with two counts that share nothing with them.

One counts the products in what torch dispatches while the portable kernels run. The other runs the compiled kernels'
Python source on tables that count every element read or written.
"""

from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
from torch.utils._python_dispatch import TorchDispatchMode

import impl
from impl.kernels import compiled, loops
from impl.work import WorkMeter
from reference import load_problem, random_network
from tests.impl.kernel_choices import needs_interpreter

PHASES = ("forward", "backward", "gram", "update")
SHAPES = [
    {"widths": [96, 128, 80], "outputs": 1, "samples": 6, "b": None},
    {"widths": [160, 160], "outputs": 3, "samples": 4, "b": 0.5},
    {"widths": [64, 48, 56, 40], "outputs": 2, "samples": 5, "b": -0.5},
]


@pytest.fixture
def phase(monkeypatch):
    """A list whose last element names the phase that is open, "" outside all of them."""
    names = [""]
    original = WorkMeter.phase

    @contextmanager
    def named(self, name):
        names.append(name)
        with original(self, name):
            yield
        names.pop()

    monkeypatch.setattr(WorkMeter, "phase", named)
    return names


def step(shape, kernels):
    network = random_network(
        16, shape["widths"], outputs=shape["outputs"], activation=("shifted_relu", shape["b"]), dtype="float64"
    )
    problem = load_problem("synthetic", shape["samples"], dimension=16)
    y = np.tile(problem.y, (1, shape["outputs"]))
    return impl.factory(network, dtype="float64", kernels=kernels).step(problem.X, y, damping=1.0)


class Products(TorchDispatchMode):
    """Counts multiplications by what the dispatched operator and its operands' shapes imply."""

    def __init__(self, phase):
        super().__init__()
        self.phase, self.counted = phase, Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        if name in ("mm", "bmm", "addmm", "addmm_"):
            self.counted[self.phase[-1]] += result.numel() * args[-2].shape[-1]
        elif name in ("mul", "mul_") and result.is_floating_point():
            self.counted[self.phase[-1]] += result.numel()
        elif "embedding_bag" in name:
            self.counted[self.phase[-1]] += args[1].numel() * args[0].shape[1]
        return result


@pytest.mark.parametrize("shape", SHAPES)
def test_multiply_adds_are_those_that_torch_dispatches(shape, phase):
    with Products(phase) as products:
        report = step(shape, "torch")
    for name in PHASES:
        assert report.work[name].multiply_adds == pytest.approx(products.counted[name], rel=0.05), name


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("recompressed", [False, True])
def test_so_are_those_of_carrying_lazy_updates_along(shape, recompressed, phase):
    network = random_network(
        16, shape["widths"], outputs=shape["outputs"], activation=("shifted_relu", shape["b"]), dtype="float64"
    )
    implementation = impl.factory(network, dtype="float64", kernels="torch", weights="lazy", maintenance="keep")
    generator = np.random.default_rng(0)
    for _ in range(4):
        X, y = generator.standard_normal((shape["samples"], 16)), generator.standard_normal(shape["samples"])
        implementation.step(X, np.tile(y[:, None], (1, shape["outputs"])), damping=1.0)
    if recompressed:
        implementation.recompress(1e-6)
        implementation.step(X, np.tile(y[:, None], (1, shape["outputs"])), damping=1.0)
    assert min(implementation.ranks) > shape["samples"]
    with Products(phase) as products:
        report = implementation.step(X, np.tile(y[:, None], (1, shape["outputs"])), damping=1.0)
    for name in ("forward", "backward"):
        assert report.work[name].multiply_adds == pytest.approx(products.counted[name], rel=0.05), name


class Row:
    """A row of a table that counts what is read from it and written to it."""

    def __init__(self, numbers, accesses):
        self.numbers, self.accesses = numbers, accesses

    def __getitem__(self, index):
        self.accesses["read"] += 1
        return self.numbers[index]

    def __setitem__(self, index, value):
        self.accesses["written"] += 1
        self.numbers[index] = value


class Table:
    """A table whose rows count."""

    def __init__(self, numbers, accesses):
        self.numbers, self.accesses, self.shape, self.dtype = numbers, accesses, numbers.shape, numbers.dtype

    def __getitem__(self, index):
        row = Row(self.numbers, self.accesses)
        return row[index] if np.ndim(self.numbers[index]) == 0 else Row(self.numbers[index], self.accesses)


@pytest.mark.parametrize("shape", SHAPES)
def test_multiply_adds_are_the_table_elements_that_the_compiled_kernels_touch(shape, phase, monkeypatch):
    accesses = {name: Counter() for name in PHASES}

    def counting(kernel, position):
        def run(*arguments):
            arguments = list(arguments)
            arguments[position] = Table(arguments[position], accesses[phase[-1]])
            kernel.py_func(*arguments)

        return run

    def sample_by_sample(offsets, units, values, width, first, last, parts, out):  # so that none is spared by symmetry
        values = Table(values, accesses[phase[-1]])
        for j in range(first, last):
            alone = np.empty((*out.shape[:2], 1, out.shape[3]))
            inner_products.py_func(offsets, units, values, width, j, j + 1, 1, alone)
            out[:, :, j - first] = alone[:, :, 0]
            values.accesses["read"] -= out.shape[1] * int(offsets[j + 1] - offsets[j])  # spread out to be met

    inner_products = loops.inner_products
    monkeypatch.setattr(loops, "inner_products", sample_by_sample)
    monkeypatch.setattr(loops, "_inner_products_with", loops._inner_products_with.py_func)
    monkeypatch.setattr(compiled, "CACHE_LINE", 1)  # a row is then never taken whole, whatever is wanted of it
    monkeypatch.setattr(loops, "gather", counting(loops.gather, 3))
    monkeypatch.setattr(loops, "gather_narrow", counting(loops.gather_narrow, 3))
    monkeypatch.setattr(loops, "gather_restricted", counting(loops.gather_restricted, 6))
    monkeypatch.setattr(loops, "subtract_outer", counting(loops.subtract_outer, 7))
    report = step(shape, "compiled")
    for name in PHASES:
        work = report.work[name]
        small = sum(sum(counts) for counts in report.active_counts) * shape["outputs"]  # scalings, one an entry
        assert abs(work.multiply_adds - accesses[name]["read"]) <= 0.05 * work.multiply_adds + small, name
        moved = 8 * (accesses[name]["read"] + accesses[name]["written"])
        assert work.bytes >= 0.9 * moved or shape["outputs"] > 1, name
    assert accesses["update"]["written"] == accesses["update"]["read"]
    assert accesses["forward"]["written"] == 0


@pytest.mark.parametrize("kernels", ["torch", pytest.param("triton", marks=needs_interpreter)])
def test_the_counts_do_not_depend_on_the_kernels(kernels):
    for shape in SHAPES:
        ours, theirs = step(shape, "compiled"), step(shape, kernels)
        for name in PHASES:
            assert ours.work[name].layers == theirs.work[name].layers
