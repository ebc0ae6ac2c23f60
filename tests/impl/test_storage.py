"""Weights stored in bfloat16: rounded once, by torch's rule; from then on only the bytes differ from float32.

A network whose weights are bfloat16 numbers gives the same bits in either storage, as products widen
what they read and then do the same sums.
"""

import copy
import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

import impl
from impl.kernels import widened
from impl.kernels.compiled import CompiledKernels
from impl.kernels.portable import TorchKernels
from impl.kernels.stored import number
from impl.support import Support
from impl.weights import Keep, RecompressWhenGrown
from impl.weights.table import empty_table
from properties.cases import storage
from reference import ArgumentError, load_problem, random_network
from reference.contract import LayerWork, capabilities_of, configured

PROBLEM = load_problem("digits", 12)
LAZY = {"weights": "lazy", "maintenance": "keep"}
STORED = LAZY | {"storage": "bfloat16"}
KERNELS = ("compiled", "torch")


def network(seed=0, widths=(160, 128, 96), **options):
    return random_network(64, list(widths), seed=seed, dtype="float32", **options)


def rounded(net):
    """What is stored of a network, by torch."""
    return replace(net, weights=[torch.tensor(weight).bfloat16().float().numpy() for weight in net.weights])


def steps(implementation, count):
    return [implementation.step(PROBLEM.X, PROBLEM.y, learning_rate=0.5, damping=1e-3).loss for _ in range(count)]


def bits(implementation):
    return [weight.tobytes() for weight in implementation.to_network().weights]


def refused(message):
    return pytest.raises(ArgumentError, match=f"^{re.escape(message)}")


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("maintenance", ["keep", "recompress", RecompressWhenGrown(growth=2, tolerance=1e-3)])
def test_a_run_is_to_the_last_bit_that_of_the_rounded_network_in_float32(kernels, maintenance):
    net = network()
    options = {"weights": "lazy", "maintenance": maintenance, "kernels": kernels}
    narrow = impl.factory(net, storage="bfloat16", **options)
    wide = impl.factory(rounded(net), **options)
    assert [weight.table.dtype for weight in narrow.weights] == [torch.bfloat16] * 3
    assert bits(narrow) == bits(wide) != bits(impl.factory(net, **options))
    assert steps(narrow, 5) == steps(wide, 5)
    assert bits(narrow) == bits(wide)
    assert narrow.forward(PROBLEM.X).tobytes() == wide.forward(PROBLEM.X).tobytes()
    assert narrow.gram(PROBLEM.X).tobytes() == wide.gram(PROBLEM.X).tobytes()


def test_training_fits_the_data():
    narrow = impl.factory(network(widths=(512, 512), activation=("shifted_relu", 0.5)), **STORED)
    for _ in range(12):
        narrow.step(PROBLEM.X, PROBLEM.y)
    assert 0.5 * ((narrow.forward(PROBLEM.X) - PROBLEM.y) ** 2).sum() < 1e-6


def test_most_of_an_update_would_vanish_where_it_is_written():
    """What documents say of the reason why nothing is: and here nothing does."""
    problem = load_problem("digits", 32)
    narrow = impl.factory(network(widths=(512, 512, 512)), **STORED)
    before = narrow.to_network().weights
    narrow.step(problem.X, problem.y, learning_rate=0.3)
    for then, now in zip(before[1:], narrow.to_network().weights[1:], strict=True):
        moved = now != then
        written = storage.stored(now.astype(np.float32), "bfloat16")
        assert moved.mean() > 0.05
        assert (written == then)[moved].mean() > 0.75


def test_fork_undo_copy_and_summands_are_those_of_float32():
    net = network()
    narrow, wide = (impl.factory(each, **options) for each, options in ((net, STORED), (rounded(net), LAZY)))
    for implementation in (narrow, wide):
        steps(implementation, 2)
    twins = [implementation.fork() for implementation in (narrow, wide)]
    assert twins[0].weights[0].table is narrow.weights[0].table
    copied = copy.deepcopy(narrow)
    for implementation in (*twins, copied):
        steps(implementation, 2)
    assert bits(twins[0]) == bits(twins[1]) == bits(copied) != bits(narrow)
    for implementation in (*twins, narrow, wide):
        implementation.undo(0)
        implementation.step(PROBLEM.X, PROBLEM.y)
        implementation.recompress(1e-4)
    assert bits(twins[0]) == bits(twins[1])
    assert bits(narrow) == bits(wide)
    for a, b in zip(narrow.summands(), wide.summands(), strict=True):
        assert a.terms == b.terms
        np.testing.assert_array_equal(a.magnitude, b.magnitude)


def test_memory_and_counted_bytes_of_the_tables_are_halved():
    net = network()
    narrow, wide = (impl.factory(each, **options) for each, options in ((net, STORED), (rounded(net), LAZY)))
    size = sum(weight.size for weight in net.weights)
    assert sum(weight.table.untyped_storage().nbytes() for weight in narrow.weights) == 2 * size
    first, second = (implementation.step(PROBLEM.X, PROBLEM.y) for implementation in (narrow, wide))
    active = [(PROBLEM.X != 0.0).sum(axis=1), *first.active_counts]
    for layer in (1, 2, 3):
        read = {
            "forward": active[layer - 1].sum() * net.widths[layer],
            "backward": active[layer] @ active[layer - 1] if layer > 1 else 0,
        }
        for phase in first.work:
            a, b = (report.work[phase].layers.get(layer, LayerWork()) for report in (first, second))
            assert a.multiply_adds == b.multiply_adds
            assert b.bytes - a.bytes == 2 * read.get(phase, 0), (phase, layer)
        a, b = (implementation.initialization.layers[layer].bytes for implementation in (narrow, wide))
        assert b - a == 2 * net.weights[layer - 1].size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"storage": "float16"}, "storage: expected one of bfloat16, got 'float16'"),
        ({"storage": torch.bfloat16}, "storage: expected one of bfloat16, got torch.bfloat16"),
        ({"dtype": "float64"}, "dtype: expected float32 with storage='bfloat16', got 'float64'"),
        (
            {"weights": "eager"},
            "weights: expected lazy, with maintenance keep or recompress, with storage='bfloat16', ",
        ),
        ({"maintenance": "fold"}, "maintenance: expected keep or recompress with storage='bfloat16', "),
        ({"forward": "certified"}, "forward: expected gather with storage='bfloat16', got 'certified'"),
        ({"forward": "auto"}, "forward: expected gather with storage='bfloat16', got 'auto'"),
    ],
)
def test_what_does_not_go_with_it_is_refused(options, message):
    with refused(message):
        impl.factory(network(), **(STORED | options))


def test_no_policy_and_no_call_folds():
    class Folding(Keep):
        """A policy that does not say what it does."""

        def plan(self, weights, state, work):
            return weights.plan_fold(state, work)

    narrow = impl.factory(network(), **(STORED | {"maintenance": Folding()}))
    before, tables = bits(narrow), [weight.table.clone() for weight in narrow.weights]
    with refused("storage: expected that of the dtype, for a fold, which would be rounded, got 'bfloat16'"):
        narrow.step(PROBLEM.X, PROBLEM.y)
    assert bits(narrow) == before
    narrow = impl.factory(network(), **STORED)
    steps(narrow, 2)
    before = bits(narrow)
    with refused("storage: expected that of the dtype, for a fold"):
        narrow.fold()
    assert bits(narrow) == before
    assert all(torch.equal(a, weight.table) for a, weight in zip(tables, narrow.weights, strict=True))


@pytest.mark.parametrize("value", [3.3961776e38, -3.4e38, float(np.finfo(np.float32).max)])
def test_weights_that_would_become_infinite_are_refused(value, tmp_path):
    net = network()
    weights = [weight.copy() for weight in net.weights]
    weights[1][3, 5] = value
    message = f"weights[1]: expected values finite in bfloat16, got {np.float32(value):.9g} at index (3, 5)"
    with refused(message):
        impl.factory(replace(net, weights=weights), **STORED)
    with refused(message):
        impl.write_base(replace(net, weights=weights), tmp_path / "base", storage="bfloat16")
    assert not list(tmp_path.iterdir())


def test_the_suite_rounds_as_torch_does():
    """By bits in NumPy against torch's conversion: random bits of all exponents, ties, subnormals, both signs."""
    generator = np.random.default_rng(0)
    pattern = generator.integers(0, 0x7F7F8000, 1 << 16).astype(np.uint32)
    lower = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    pattern = np.concatenate([pattern, (pattern & 0xFFFF0000) | generator.choice(lower, pattern.size)])
    pattern = np.minimum(pattern, 0x7F7F7FFF) | (generator.integers(0, 2, pattern.size).astype(np.uint32) << 31)
    values = pattern.view(np.float32).reshape(2, -1)
    table = empty_table(*values.shape, torch.device("cpu"), torch.bfloat16)
    table.copy_(torch.from_numpy(values))
    np.testing.assert_array_equal(storage.stored(values, "bfloat16"), table.float().numpy())
    assert storage.stored(np.float32([3.3961776e38]), "bfloat16") == np.inf


def test_an_element_is_widened_by_its_bits():
    every = np.arange(1 << 16, dtype=np.uint16)
    expected = torch.from_numpy(every).view(torch.bfloat16).float().numpy()
    with np.errstate(invalid="ignore"):
        got = np.array([number(element) for element in every], np.float32)
    np.testing.assert_array_equal(got, expected)
    assert number(np.float32(1.5)) == np.float32(1.5)


@pytest.mark.parametrize("kernels", [CompiledKernels(), TorchKernels()], ids=lambda kernels: kernels.name)
@pytest.mark.parametrize("part", [1, 1 << 20], ids=["by columns", "whole"])
@pytest.mark.parametrize("fan_out", [3, 40, 700])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_products_are_those_with_the_widened_table(kernels, part, fan_out, share, monkeypatch):
    """Bit for bit for what the portable kernels sum; within rounding for what is summed in another order."""
    monkeypatch.setattr(widened, "PART", part)
    generator = np.random.default_rng(3)
    masks = [generator.random((5, width)) < share for width in (300, fan_out)]
    rows, columns = (Support.of_positions(torch.from_numpy(np.flatnonzero(mask)), *mask.shape) for mask in masks)
    table = torch.from_numpy(generator.standard_normal((300, fan_out))).bfloat16()
    values = torch.from_numpy(generator.standard_normal(rows.entries).astype(np.float32))
    backward = torch.from_numpy(generator.standard_normal((2, columns.entries)).astype(np.float32))
    got = kernels.gather(rows, values, table)
    product = kernels.gather_restricted(rows, columns, backward, table)
    assert (got.dtype, product.dtype) == (torch.float32, torch.float32)
    expected = kernels.gather(rows, values, table.float())
    restricted = kernels.gather_restricted(rows, columns, backward, table.float())
    if kernels.name == "torch":
        assert torch.equal(got, expected)
        assert torch.equal(product, restricted)
    else:
        sizes = TorchKernels().gather(rows, values.abs(), table.float().abs())
        assert ((got - expected).abs() <= 600 * 2.0**-24 * sizes).all()
        sizes = TorchKernels().gather_restricted(rows, columns, backward.abs(), table.float().abs())
        assert ((product - restricted).abs() <= 1400 * 2.0**-24 * sizes).all()


def test_torch_widens_in_parts_of_bounded_size(monkeypatch):
    monkeypatch.setattr(widened, "PART", 64)
    widths = []
    bag = torch.nn.functional.embedding_bag

    def seen(place, part, *rest, **options):
        widths.append(part.numel())
        return bag(place, part, *rest, **options)

    monkeypatch.setattr(torch.nn.functional, "embedding_bag", seen)
    support = Support.of_positions(torch.tensor([0, 3, 7, 12, 19, 33]), 4, 10)
    TorchKernels().gather(support, torch.ones(6), torch.ones(10, 90).bfloat16())
    assert max(widths) <= 64
    assert sum(widths) == 90 * len({0, 3, 7, 2, 9})


def test_it_is_declared():
    declared = capabilities_of(configured(impl.factory, **STORED))
    assert (declared.storage, declared.dtypes) == ("bfloat16", ("float32",))
    assert capabilities_of(impl.factory).storage is None


# Files


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_base_in_half_of_the_bytes_is_mapped_and_trained(tmp_path):
    net = network()
    path = tmp_path / "base"
    impl.write_base(net, tmp_path / "wide")
    impl.write_base(net, path, storage="bfloat16")
    before = digest(path)
    saved = (tmp_path / "wide").stat().st_size - path.stat().st_size
    assert abs(saved - 2 * sum(weight.size for weight in net.weights)) < 200  # the headers
    opened, built = impl.open_base(path), impl.factory(net, **(STORED | {"maintenance": "recompress"}))
    assert [weight.table.dtype for weight in opened.weights] == [torch.bfloat16] * 3
    assert all(weight.state.base.shared for weight in opened.weights)
    assert bits(opened) == bits(built)
    assert steps(opened, 10) == steps(built, 10)
    assert bits(opened) == bits(built)
    impl.save_delta(opened, tmp_path / "delta")
    loaded = impl.load_delta(tmp_path / "delta")
    assert bits(loaded) == bits(opened)
    assert steps(loaded, 2) == steps(opened, 2)
    opened.undo(3)
    assert digest(path) == before
    impl.write_base(replace(net, weights=opened.to_network().weights), path, storage="bfloat16")  # another base
    with refused("base: expected the file with SHA-256"):
        impl.load_delta(tmp_path / "delta")


def test_a_base_that_is_stored_narrowly_takes_no_fold(tmp_path):
    impl.write_base(network(), tmp_path / "base", storage="bfloat16")
    with refused("maintenance: expected keep or recompress with storage='bfloat16'"):
        impl.open_base(tmp_path / "base", maintenance="fold")
    with refused("dtype: expected float32 with storage='bfloat16', got 'float64'"):
        impl.write_base(network(), tmp_path / "other", dtype="float64", storage="bfloat16")
    with refused("storage: expected one of bfloat16, got 'int8'"):
        impl.write_base(network(), tmp_path / "other", storage="int8")


def test_a_file_of_mixed_or_infinite_tables_is_refused(tmp_path):
    from impl.files.container import Container, write_container

    impl.write_base(network(), tmp_path / "base", storage="bfloat16")
    file = Container.read("path", tmp_path / "base", "subquadratic-training/base")

    def rewritten(**changes):
        arrays = {
            name: (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy().copy()
            for name, tensor in file.tensors.items()
        }
        write_container(tmp_path / "bad", file.metadata, arrays | changes)
        return tmp_path / "bad"

    table = file.tensors["layers.2.table"]
    impl.open_base(rewritten())
    infinite = table.clone()
    infinite[3, 4] = torch.inf
    for changes, expected in (
        ({"layers.2.table": table.float().numpy()}, "'layers.2.table' of shape (160, any) in torch.bfloat16"),
        ({"layers.2.table": infinite.view(torch.uint16).numpy()}, "finite values in 'layers.2.table'"),
        ({"readout": np.ones((1, 96), np.uint16)}, "weights in float32 or float64"),
        ({"readout": np.ones((1, 96))}, "'layers.1.table' of shape (any, any) in torch.float64"),
    ):
        with refused(f"path: expected a file with {expected}"):
            impl.open_base(rewritten(**changes))


def test_a_delta_in_bfloat16_is_refused(tmp_path):
    from impl.files.container import Container, write_container

    impl.write_base(network(), tmp_path / "base", storage="bfloat16")
    opened = impl.open_base(tmp_path / "base")
    steps(opened, 1)
    impl.save_delta(opened, tmp_path / "delta")
    file = Container.read("path", tmp_path / "delta", "subquadratic-training/delta")
    arrays = {name: tensor.numpy() for name, tensor in file.tensors.items()}
    arrays["layers.1.left.values"] = np.zeros(len(arrays["layers.1.left.values"]), np.uint16)
    write_container(tmp_path / "delta", file.metadata, arrays)
    with refused("path: expected arrays in F32, F64, I32, got 'layers.1.left.values' in BF16"):
        impl.load_delta(tmp_path / "delta")


def test_a_module_in_bfloat16_is_stored_as_it_is():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(64, 50), torch.nn.ReLU(), torch.nn.Linear(50, 40), torch.nn.ReLU(), torch.nn.Linear(40, 1)
    ).bfloat16()
    narrow = impl.factory(impl.from_module(module), **STORED)
    for layer, weight in zip((module[0], module[2]), narrow.weights, strict=True):
        assert torch.equal(weight.table.T, layer.weight)
