"""The same numbers on a CUDA device, up to rounding."""

import numpy as np
import pytest

import impl
import reference
from properties import REGISTRY, Subject, run_property
from reference import ArgumentError, load_problem, random_network

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
