"""Counted work against counts that share nothing with the counters, within 5 %."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import impl
import reference
from benchmarks.rivals.dense import blas_factory, factory
from benchmarks.rivals.meter import Meter
from benchmarks.scaling import fit_power_law
from reference.contract import PHASES, load_problem
from reference.initialization import random_network

N, DEPTH = 32, 3


@pytest.fixture(scope="module")
def problem():
    return load_problem("digits", N)


def square_layers(phase):
    return sum(work.multiply_adds for layer, work in phase.layers.items() if layer >= 2)


def addmm_flops(target, left, right, **_):
    """torch counts addmm, but not the same in place; two a multiply-add, as everything there."""
    return 2 * left[0] * left[1] * right[1]


def test_dense_counts_are_what_torch_dispatched(problem):
    network = random_network(64, [700] * DEPTH, dtype="float32")
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: addmm_flops}) as counter:
        work = blas_factory(network).step(problem.X, problem.y).work
    dispatched = counter.get_total_flops() / 2
    assert sum(work[phase].multiply_adds for phase in PHASES) == pytest.approx(dispatched, rel=0.05)


def test_the_dense_rivals_count_alike(problem):
    network = random_network(64, [300] * DEPTH, dtype="float32")
    one, other = (build(network).step(problem.X, problem.y).work for build in (factory, blas_factory))
    assert {phase: work.layers for phase, work in one.items()} == {phase: work.layers for phase, work in other.items()}


def test_dense_work_has_exponent_two(problem):
    widths = [512, 724, 1024, 1448]
    works = [factory(random_network(64, [m] * DEPTH, dtype="float32")).step(problem.X, problem.y).work for m in widths]
    for phase in ("forward", "backward", "update"):
        counts = np.array([square_layers(work[phase]) for work in works], dtype=np.float64)
        assert fit_power_law(np.array(widths, dtype=np.float64), counts).exponent == pytest.approx(2.0, abs=0.02)


def test_sparse_counts_are_those_of_the_active_units(problem):
    m = 2048
    network = random_network(64, [m] * DEPTH, dtype="float32")
    k = np.array([mask.sum(axis=1) for mask in reference.factory(network).active_sets(problem.X)], dtype=np.int64)
    work = impl.factory(network).step(problem.X, problem.y).work
    pairs = sum(int(k[layer] @ k[layer - 1]) for layer in (1, 2))
    expected = {
        "forward": m * int(k[0].sum() + k[1].sum()),
        "backward": pairs,
        "gram": N * int(k[1].sum() + k[0].sum() + k[2].sum() + k[1].sum()),
        "update": pairs,
    }
    for phase, count in expected.items():
        assert square_layers(work[phase]) == pytest.approx(count, rel=0.05), phase


def test_a_meter_keeps_nothing_outside_a_phase():
    meter = Meter(torch.device("cpu"))
    meter.count(1, 5, torch.ones(3))
    assert meter.work == {}
