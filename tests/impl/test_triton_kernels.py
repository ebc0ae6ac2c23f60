"""What is particular to Triton's kernels: interpreted where there is no CUDA device, and there on it.

On a device, with CUDA's own checks of memory and of races:

    compute-sanitizer --tool memcheck python -m pytest -m cuda tests/impl/test_triton_kernels.py
    compute-sanitizer --tool racecheck python -m pytest -m cuda tests/impl/test_triton_kernels.py
"""

import importlib
import importlib.util
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import impl
from impl.kernels import select_kernels
from impl.kernels.factors import Factors
from impl.kernels.portable import TorchKernels
from impl.support import Support
from reference import ArgumentError, random_network
from tests.impl.kernel_choices import ON_CUDA, TRITON, Placed, needs_interpreter, needs_triton

ROOT = Path(__file__).resolve().parent.parent.parent
PORTABLE = TorchKernels()
DTYPES = [torch.float32, torch.float64]
ROUNDINGS = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}

#: Values and sums, and the tables.
MIXED = [(torch.float32, torch.bfloat16), (torch.float64, torch.float32), (torch.float64, torch.bfloat16)]


@pytest.fixture(params=TRITON)
def triton(request):
    return Placed(*request.param)


@pytest.fixture(params=[pytest.param(("torch", "cpu"), id="torch"), *TRITON, ON_CUDA[0]])
def mixing(request):
    """Kernels that take tables of a narrower dtype than the values."""
    return Placed(*request.param)


def support_of(mask):
    return Support.of_positions(torch.from_numpy(np.flatnonzero(mask)), *mask.shape)


def random_support(samples, width, density, seed):
    mask = np.random.default_rng(seed).random((samples, width)) < density
    mask[samples // 2] = False
    return support_of(mask)


def numbers(dtype, *shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def integers(dtype, *shape, seed=0):
    """With which all sums are exact, in whatever order."""
    return torch.from_numpy(np.random.default_rng(seed).integers(-3, 4, shape)).to(dtype)


def grown(placed, dtype, terms=4, samples=5, width=150):
    """Factors that some vectors were inserted into, by these kernels and by the portable ones."""
    ours = placed.put(Factors(samples, width, torch.zeros(0, dtype=dtype)))
    theirs = Factors(samples, width, torch.zeros(0, dtype=dtype))
    mask = np.random.default_rng(3).random((samples, width)) < 0.2
    for term in range(terms):
        generator = np.random.default_rng(term)
        support = support_of((mask & (generator.random(mask.shape) < 0.8)) | (generator.random(mask.shape) < 0.02))
        values = integers(dtype, support.entries, seed=term)
        missing = PORTABLE.missing(theirs, support)
        assert torch.equal(placed.kernels.missing(ours, placed.put(support)).cpu(), missing)
        sides, those = (ours, placed.put(support)), (theirs, support)
        assert placed.kernels.unions(*sides, *sides) == PORTABLE.unions(*those, *those)
        length = int((theirs.counts + missing).max())
        for factors in (ours, theirs):
            factors.reserve(length, factors.vectors + 1)
        placed.kernels.insert(ours, placed.put(support), placed.put(values))
        PORTABLE.insert(theirs, support, values)
    return ours, theirs


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_union_grows_as_the_portable_kernels_let_it(triton, dtype):
    ours, theirs = grown(triton, dtype)
    assert (ours.vectors, ours.entries) == (theirs.vectors, theirs.entries) == (4, int(theirs.counts.sum()))
    assert torch.equal(ours.counts.cpu(), theirs.counts)
    for sample, count in enumerate(theirs.counts.tolist()):
        assert torch.equal(ours.units[sample, :count].cpu(), theirs.units[sample, :count])
    assert torch.equal(ours.values.cpu(), theirs.values)  # zeros where nothing is, too


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [1, 5, 40, 150])
def test_products_with_vectors_on_unions_are_those_of_the_portable_kernels(triton, dtype, width):
    ours, theirs = grown(triton, dtype)
    table, out = integers(dtype, 150, width, seed=7), integers(dtype, 150, width, seed=8)
    inner = triton.kernels.contract(ours, triton.put(table))
    assert torch.equal(inner.cpu(), PORTABLE.contract(theirs, table))
    added = triton.put(out.clone())
    triton.kernels.spread(ours, inner, added, anew=False)
    PORTABLE.spread(theirs, inner.cpu(), out, anew=False)
    assert torch.equal(added.cpu(), out)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("outputs", [1, 3])
def test_tables_by_unit_are_those_of_the_portable_kernels(triton, dtype, outputs):
    support = random_support(5, 90, 0.3, 1)
    values = numbers(dtype, outputs + 1, 2 * support.entries)[1:, : support.entries]  # rows apart in memory
    table = triton.kernels.tabulate(triton.put(support), triton.put(values))
    assert torch.equal(table.cpu(), PORTABLE.tabulate(support, values))
    assert torch.equal(triton.kernels.pick(table, triton.put(support)).cpu(), values)
    by_unit, out = numbers(dtype, 90, 5), numbers(dtype, 5, 90, seed=1)
    got = triton.put(out.clone())
    triton.kernels.subtract_transposed(triton.put(by_unit), got)
    assert torch.equal(got.cpu(), out - by_unit.T)


@pytest.mark.parametrize(("values_dtype", "table_dtype"), MIXED, ids=str)
@pytest.mark.parametrize("fan_out", [3, 150])
def test_tables_may_be_narrower_than_the_values(mixing, values_dtype, table_dtype, fan_out, monkeypatch):
    """The sums are those over the table in the values' dtype, whose elements are the same numbers."""
    monkeypatch.setattr("impl.kernels.portable.WIDENED", 7 * fan_out)  # seven rows at a time
    rows, columns = random_support(6, 40, 0.4, 1), random_support(6, fan_out, 0.4, 2)
    row_values, values = numbers(values_dtype, rows.entries), numbers(values_dtype, 2, columns.entries, seed=1)
    table = numbers(table_dtype, 40, fan_out, seed=2)
    wide, there = table.to(values_dtype), mixing.put(table)
    terms = 4 * 40 * ROUNDINGS[values_dtype]
    for got, expected, magnitude in (
        (
            mixing.kernels.gather(mixing.put(rows), mixing.put(row_values), there),
            PORTABLE.gather(rows, row_values, wide),
            PORTABLE.gather(rows, row_values.abs(), wide.abs()),
        ),
        (
            mixing.kernels.gather_restricted(mixing.put(rows), mixing.put(columns), mixing.put(values), there),
            PORTABLE.gather_restricted(rows, columns, values, wide),
            PORTABLE.gather_restricted(rows, columns, values.abs(), wide.abs()),
        ),
    ):
        assert got.dtype == values_dtype
        assert ((got.cpu() - expected).abs() <= terms * magnitude).all()


@pytest.mark.parametrize(("values_dtype", "table_dtype"), MIXED[:2], ids=str)
@pytest.mark.parametrize("vectors", [1, 3])
def test_a_narrower_table_is_updated_and_reverted(mixing, values_dtype, table_dtype, vectors):
    rows, columns = random_support(6, 40, 0.4, 1), random_support(6, 50, 0.4, 2)
    row_values = integers(values_dtype, rows.entries, vectors)
    column_values = integers(values_dtype, columns.entries, vectors, seed=1)
    before, expected = integers(table_dtype, 40, 50, seed=2), integers(values_dtype, 40, 50, seed=2)
    PORTABLE.plan_update(rows, row_values, columns, column_values, expected).apply()
    table = mixing.put(before.clone())
    update = mixing.kernels.plan_update(*map(mixing.put, (rows, row_values, columns, column_values)), table)
    update.apply()
    assert torch.equal(table.cpu().to(values_dtype), expected)
    update.revert()
    assert torch.equal(table.cpu(), before)


def test_an_update_of_few_rows_is_shared_out_by_columns(triton):
    """As in the first layer: a row's columns are then cut into slices, one for a program."""
    rows, columns = random_support(4, 3, 0.9, 1), random_support(4, 3000, 0.1, 2)
    row_values = integers(torch.float64, rows.entries, 2)
    column_values = integers(torch.float64, columns.entries, 2, seed=1)
    table = integers(torch.float64, 3, 3000, seed=2)
    there, expected = triton.put(table.clone()), table.clone()
    PORTABLE.plan_update(rows, row_values, columns, column_values, expected).apply()
    update = triton.kernels.plan_update(*map(triton.put, (rows, row_values, columns, column_values)), there)
    assert update._subtraction._grid == (3, 6)
    update.apply()
    assert torch.equal(there.cpu(), expected)
    update.revert()
    assert torch.equal(there.cpu(), table)


def test_results_repeat_to_the_last_bit(triton):
    rows, columns = random_support(6, 60, 0.5, 1), random_support(6, 70, 0.5, 2)
    row_values, column_values = numbers(torch.float32, rows.entries), numbers(torch.float32, columns.entries, seed=1)
    table, factors = numbers(torch.float32, 60, 70, seed=2), grown(triton, torch.float32)[0]
    arguments = [triton.put(each) for each in (rows, row_values, columns, column_values)]
    results = []
    for _ in range(3):
        there, out = triton.put(table.clone()), triton.put(torch.zeros(150, 9))
        outer = (each if isinstance(each, Support) else each[:, None] for each in arguments)
        triton.kernels.plan_update(*outer, there).apply()
        inner = triton.kernels.contract(factors, triton.put(numbers(torch.float32, 150, 9)))
        triton.kernels.spread(factors, inner, out, anew=False)
        gathered = triton.kernels.gather(arguments[0], arguments[1], there)
        left = triton.kernels.gather_restricted(arguments[0], arguments[2], arguments[3][None], there)
        results.append([each.cpu().numpy().tobytes() for each in (there, inner, out, gathered, left)])
    assert results[0] == results[1] == results[2]


def test_a_sample_s_sum_does_not_depend_on_its_batch(triton):
    support, table = random_support(9, 50, 0.5, 1), triton.put(numbers(torch.float32, 50, 300))
    values = numbers(torch.float32, support.entries)
    together = triton.kernels.gather(triton.put(support), triton.put(values), table)
    for sample in (0, 3, 8):
        one, entries = support.only(torch.tensor([sample]))
        alone = triton.kernels.gather(triton.put(one), triton.put(values[entries]), table)
        assert torch.equal(alone[0], together[sample])


@needs_interpreter
def test_without_a_device_and_without_the_interpreter_triton_is_refused(monkeypatch):
    monkeypatch.setattr("impl.kernels.triton.launch.interpreted", lambda: False)
    with pytest.raises(
        ArgumentError, match=r"kernels: expected torch, since .* cannot run on cpu: .*TRITON_INTERPRET=1"
    ):
        impl.factory(random_network(3, [4]), kernels="triton")


@needs_interpreter
@pytest.mark.parametrize("name", ["meta", "cpu"])
def test_triton_is_taken_only_where_it_runs(name):
    assert select_kernels("auto", torch.device(name)).name != "triton"
    if name == "meta":
        with pytest.raises(ArgumentError, match="cannot run on meta: "):
            select_kernels("triton", torch.device(name))


def test_where_triton_is_not_installed_its_kernels_are_refused(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "triton" else find(name))
    with pytest.raises(ArgumentError, match="cannot run on cuda: triton is not installed, got 'triton'"):
        select_kernels("triton", torch.device("cuda"))
    assert select_kernels("auto", torch.device("cuda")).name == "torch"


def test_everything_can_be_imported_without_triton():
    program = (
        "import sys; sys.modules['triton'] = None\n"
        "import impl, numpy, importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'triton' else find(name)\n"
        "from reference import random_network\n"
        "network = impl.factory(random_network(3, [4]), kernels='torch')\n"
        "print(network.step(numpy.ones((2, 3)), numpy.ones((2, 1))).loss >= 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@needs_triton
def test_every_kernel_compiles_for_a_hopper_device_and_adds_nothing_atomically(tmp_path):
    from impl.kernels.triton import device  # where triton is not installed there is none

    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.impl.compile_for_hopper"]
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    compiled = [json.loads(line) for line in done.stdout.splitlines()]
    modules = [
        importlib.import_module(each.name) for each in pkgutil.iter_modules(device.__path__, f"{device.__name__}.")
    ]
    kernels = {name for module in modules for name, each in vars(module).items() if hasattr(each, "fn")}
    assert {line["kernel"] for line in compiled} == kernels - {"how_many_less"}  # which others call
    assert [line for line in compiled if line["forbidden"]] == []
