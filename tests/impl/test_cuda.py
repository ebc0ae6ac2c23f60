"""The same numbers on a CUDA device, up to rounding."""

import numpy as np
import pytest
import torch

import impl
import reference
from properties import REGISTRY, Subject, run_property
from reference import ArgumentError, load_problem, random_network
from reference.contract import configured

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize("item", REGISTRY, ids=lambda item: item.name)
def test_every_property_holds_on_cuda(item):
    outcome = run_property(item, Subject("sparse on cuda", impl.factory, "cuda"), examples=20, random_seed=2)
    assert not outcome.failure, f"{outcome.failure}\n{outcome.case}"


def test_training_on_cuda_fits_the_data():
    problem = load_problem("digits", 16)
    implementation = impl.factory(random_network(64, [512, 512], dtype="float32"), device="cuda")
    for _ in range(10):
        implementation.step(problem.X, problem.y)
    assert 0.5 * ((implementation.forward(problem.X) - problem.y) ** 2).sum() < 1e-6


def test_a_step_on_cuda_is_the_oracle_s():
    network = random_network(64, [256, 200], seed=1)
    problem = load_problem("digits", 12)
    implementation, oracle = impl.factory(network, device="cuda", dtype="float64"), reference.factory(network)
    reports = [each.step(problem.X, problem.y, damping=0.1) for each in (implementation, oracle)]
    assert reports[0].loss == pytest.approx(reports[1].loss, rel=1e-12)
    for got, expected in zip(implementation.to_network().weights, oracle.to_network().weights, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)


def test_compiled_kernels_are_refused_on_cuda():
    with pytest.raises(ArgumentError, match="kernels: expected torch, since compiled kernels need a CPU device"):
        impl.factory(random_network(3, [4]), device="cuda", kernels="compiled")


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
