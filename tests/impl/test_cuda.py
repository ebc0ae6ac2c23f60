"""The same numbers on a CUDA device, up to rounding, for every choice; whatever the stream, device and precision."""

import dataclasses

import numpy as np
import pytest
import torch

import impl
import reference
from properties import REGISTRY, Subject, run_property
from reference import ArgumentError, configured, load_problem, random_network
from tests.impl.kernel_choices import needs_triton

pytestmark = pytest.mark.cuda

KERNELS = [pytest.param("triton", marks=needs_triton), "torch"]
DTYPES = ("float32", "float64")
CHOICES = {
    "eager": {},
    "eager, portable kernels": {"kernels": "torch"},
    "lazy, folding": {"weights": "lazy"},
    "lazy, keeping, conjugate gradients": {"weights": "lazy", "maintenance": "keep", "solver": "cg"},
    "lazy, recompressing": {"weights": "lazy", "maintenance": "recompress"},
    "TensorSRHT": {"solver": "sketched-cg"},
    "TensorSketch": {"solver": "sketched-cg-tensor-sketch"},
    "certified": {"forward": "certified", "self_check": True},
    "certified, lazy": {"forward": "certified", "weights": "lazy"},
}


def problem(samples=12, dimension=64):
    return load_problem("synthetic", samples, dimension=dimension)


def steps(count=3, *, widths=(256, 200, 150), device="cuda", dtype="float64", **options):
    """An implementation that has taken some steps, and their reports."""
    network = random_network(64, list(widths), dtype=dtype, seed=1)
    implementation = impl.factory(network, device=device, dtype=dtype, **options)
    batch = problem()
    return implementation, [implementation.step(batch.X, batch.y, damping=0.1) for _ in range(count)]


def bits(implementation):
    return [weight.tobytes() for weight in implementation.to_network().weights]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("item", REGISTRY, ids=lambda item: item.name)
def test_every_property_holds_on_cuda(item, choice):
    subject = Subject(choice, configured(impl.factory, **CHOICES[choice]), "cuda")
    outcome = run_property(item, subject, examples=20 if choice == "eager" else 3, random_seed=2)
    assert not outcome.failure, f"{outcome.failure}\n{outcome.case}"


def test_training_on_cuda_fits_the_data():
    batch = problem(16)
    implementation = impl.factory(random_network(64, [512, 512], dtype="float32"), device="cuda")
    for _ in range(10):
        implementation.step(batch.X, batch.y)
    assert 0.5 * ((implementation.forward(batch.X) - batch.y) ** 2).sum() < 1e-6


def test_a_step_on_cuda_is_the_oracle_s():
    network = random_network(64, [256, 200], seed=1)
    batch = problem()
    implementation, oracle = impl.factory(network, device="cuda", dtype="float64"), reference.factory(network)
    reports = [each.step(batch.X, batch.y, damping=0.1) for each in (implementation, oracle)]
    assert reports[0].loss == pytest.approx(reports[1].loss, rel=1e-12)
    for got, expected in zip(implementation.to_network().weights, oracle.to_network().weights, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)


@needs_triton
def test_triton_s_kernels_are_taken_on_cuda():
    assert impl.kernels.select_kernels("auto", torch.device("cuda")).name == "triton"


@pytest.mark.parametrize("choice", CHOICES)
def test_counted_work_is_that_of_the_cpu(choice):
    there, here = (steps(device=device, **CHOICES[choice])[1] for device in ("cuda", "cpu"))
    for ours, theirs in zip(there, here, strict=True):
        assert {name: phase.layers for name, phase in ours.work.items()} == {
            name: phase.layers for name, phase in theirs.work.items()
        }
        assert all(np.array_equal(*counts) for counts in zip(ours.active_counts, theirs.active_counts, strict=True))
        assert all(phase.seconds > 0 for phase in ours.work.values())


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weights", ["eager", "lazy"])
def test_a_run_repeats_to_the_last_bit(kernels, dtype, weights):
    options = {"kernels": kernels, "dtype": dtype, "weights": weights}
    (first, reports), (again, repeated) = (steps(4, **options) for _ in range(2))
    assert bits(first) == bits(again)
    assert [report.loss for report in reports] == [report.loss for report in repeated]


@pytest.mark.parametrize("weights", ["eager", "lazy"])
def test_a_stream_of_the_caller_s_is_worked_on(weights):
    """Nothing is launched on another: the device is kept busy there, and would come too late."""
    expected, _ = steps(2, weights=weights)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        torch.cuda._sleep(50_000_000)
        implementation, reports = steps(2, weights=weights)
        outputs = implementation.forward(problem().X)
    side.synchronize()
    assert bits(implementation) == bits(expected)
    np.testing.assert_array_equal(outputs, expected.forward(problem().X))
    assert reports[0].loss > 0


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs a second CUDA device")
def test_the_second_device_is_worked_on_while_the_first_is_current():
    assert torch.cuda.current_device() == 0
    expected, _ = steps(2)
    implementation, _ = steps(2, device="cuda:1")
    assert implementation.weights[0].table.device == torch.device("cuda", 1)
    for got, wanted in zip(implementation.to_network().weights, expected.to_network().weights, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-10)
    assert torch.cuda.current_device() == 0


@pytest.mark.parametrize("choice", ["eager, portable kernels", "lazy, recompressing", "certified"])
def test_tf32_of_the_caller_s_changes_no_bit_and_stays_as_it_was(choice):
    results = []
    products, before = torch.backends.cuda.matmul, torch.backends.cuda.matmul.fp32_precision
    try:
        for precision in ("ieee", "tf32"):
            products.fp32_precision = precision
            implementation, _ = steps(4, dtype="float32", **CHOICES[choice])
            batch = problem()
            gradients = [each.tobytes() for each in implementation.gradient(batch.X, batch.y)]
            results.append((bits(implementation), gradients, implementation.forward(batch.X).tobytes()))
            assert products.fp32_precision == precision
    finally:
        products.fp32_precision = before
    assert results[0] == results[1]


@pytest.mark.parametrize("kernels", KERNELS)
def test_a_step_that_overflows_says_where_and_changes_nothing(kernels):
    network = random_network(5, [12, 10], activation=("shifted_relu", 0.0), dtype="float32")
    network = dataclasses.replace(network, weights=[1e20 * weight for weight in network.weights])
    implementation = impl.factory(network, device="cuda", kernels=kernels)
    before = bits(implementation)
    batch = problem(3, 5)
    with pytest.raises(reference.SolveError, match="forward: expected finite preactivations in layer 2"):
        implementation.step(batch.X, batch.y)
    assert bits(implementation) == before


def test_compiled_kernels_are_refused_on_cuda():
    with pytest.raises(ArgumentError, match="kernels: expected torch, since compiled kernels need a CPU device"):
        impl.factory(random_network(3, [4]), device="cuda", kernels="compiled")


@needs_triton
@pytest.mark.parametrize("width", [60_000])
def test_tables_of_more_than_two_to_the_31_elements_are_addressed(width):
    """The last rows of a table that 32 bits cannot count the elements of; 14 GB."""
    if torch.cuda.mem_get_info()[0] < 16 << 30:
        pytest.skip("needs 16 GB of free memory on the device")
    kernels = impl.kernels.select_kernels("triton", torch.device("cuda"))
    table = torch.zeros(width, width, device="cuda")
    table[-1, -1], table[-1, 0] = 2.0, 3.0
    support = impl.support.Support.of_positions(torch.tensor([0, width - 1], device="cuda"), 1, width)
    values = torch.tensor([1.0, 1.0], device="cuda")
    assert kernels.gather(support, values, table)[0, [0, -1]].tolist() == [3.0, 2.0]
    assert kernels.gather_restricted(support, support, values[None], table)[0].tolist() == [0.0, 5.0]
    update = kernels.plan_update(support, values[:, None], support, values[:, None], table)
    update.apply()
    assert table[-1, [0, -1]].tolist() == [2.0, 1.0] and table[0, [0, -1]].tolist() == [-1.0, -1.0]
    update.revert()
    assert table[-1, [0, -1]].tolist() == [3.0, 2.0] and not table[0].any()


STORED = {"weights": "lazy", "maintenance": "keep", "storage": "bfloat16"}


@pytest.mark.parametrize("item", REGISTRY, ids=lambda item: item.name)
def test_every_property_holds_on_cuda_of_weights_in_bfloat16(item):
    subject = Subject("stored in bfloat16 on cuda", configured(impl.factory, **STORED), "cuda")
    outcome = run_property(item, subject, examples=10, random_seed=3)
    assert not outcome.failure, f"{outcome.failure}\n{outcome.case}"


def test_weights_are_rounded_to_bfloat16_on_cuda_as_on_the_cpu():
    network, problem = random_network(64, [300, 200], dtype="float32"), load_problem("digits", 12)
    there, here = (impl.factory(network, device=device, **STORED) for device in ("cuda", "cpu"))
    for a, b in zip(there.to_network().weights, here.to_network().weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert {weight.table.dtype for weight in there.weights} == {torch.bfloat16}
    losses = [
        [each.step(problem.X, problem.y, learning_rate=0.5, damping=1e-3).loss for _ in range(3)]
        for each in (there, here)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-3)


def test_a_base_in_bfloat16_is_put_on_cuda_as_it_is(tmp_path):
    network, problem = random_network(64, [100, 80], dtype="float32"), load_problem("digits", 12)
    impl.write_base(network, tmp_path / "base", storage="bfloat16")
    there = impl.open_base(tmp_path / "base", device="cuda")
    assert {(weight.table.dtype, weight.table.device.type) for weight in there.weights} == {(torch.bfloat16, "cuda")}
    there.step(problem.X, problem.y, damping=1e-2)
    impl.save_delta(there, tmp_path / "delta")
    for loaded in (impl.load_delta(tmp_path / "delta", device=device) for device in ("cuda", "cpu")):
        for a, b in zip(loaded.to_network().weights, there.to_network().weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
