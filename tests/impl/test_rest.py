"""Certificates that rest: margins are no larger than they are, and drifts no smaller."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import impl
from impl.certified.bound import limit_of
from impl.certified.compiled_rows import CompiledRowKernels
from impl.certified.rest import Drift
from impl.certified.rest_loops import LOOKS
from impl.certified.resting_layer import RestingLayer
from impl.support import Support
from impl.weights.low_rank import LowRank, OuterProducts
from reference import load_problem, random_network
from reference.contract import Activation
from tests.impl.test_certified import DTYPES, certified_layer, missed, run

FAN_IN, FAN_OUT = 24, 160


def table(generator, dtype, fan_in=FAN_IN, fan_out=FAN_OUT):
    return torch.randn(fan_in, fan_out, generator=generator, dtype=dtype)


def inputs(generator, dtype, samples=3, fan_in=FAN_IN):
    return torch.randn(samples, fan_in, generator=generator, dtype=dtype).clamp(min=0.0)


def sparse(dense):
    """A support, and the values on it."""
    positions = dense.reshape(-1).nonzero()[:, 0]
    return Support.of_positions(positions, *dense.shape), dense.reshape(-1)[positions]


def term(right, left):
    """Σ_j left_j right_jᵀ for the rows of two arrays."""
    return OuterProducts(*sparse(right), *sparse(left))


def update(layer, right, left):
    """What a step does to the weights of a layer: W becomes W − leftᵀ right."""
    state = layer.weights.state
    low_rank = state.low_rank.with_term(term(right, left), layer.weights._kernels)
    layer.weights.state = replace(state, low_rank=low_rank)


def written_out(layer):
    """D, (m_ℓ, m_{ℓ−1}), in float64."""
    low_rank = layer.weights.state.low_rank
    if not low_rank.terms:
        return torch.zeros(low_rank.fan_out, low_rank.fan_in, dtype=torch.float64)
    right, left = low_rank.factors()
    return left @ right.T


def preactivations(layer, h):
    """z, (n, m_ℓ), in float64."""
    return h.double() @ (layer.weights.table.double() - written_out(layer).T) + layer.bias.double()


@pytest.mark.parametrize("dtype", DTYPES)
@given(
    seed=st.integers(0, 2**32 - 1),
    moves=st.lists(st.tuples(st.sampled_from([0.0, 1e-3, 0.03, 0.3]), st.booleans()), min_size=1, max_size=12),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_no_margin_is_larger_than_what_a_unit_lacks(dtype, seed, moves):
    """After whatever passes, at the input where a sample was screened: also after rows were put in a new order."""
    generator = torch.Generator().manual_seed(seed)
    layer = certified_layer(table(generator, dtype), 3.0, "compiled")
    h = inputs(generator, dtype)
    limit = limit_of(3.0, 0.0, dtype)
    for move, renewal in moves:
        if renewal:  # is due
            layer.arrays.excess[:] = 10**6
        h = h + move * inputs(generator, dtype)
        update(layer, h[:1], 1e-2 * move * torch.randn(1, FAN_OUT, generator=generator, dtype=dtype))
        run(layer, h)
        rest, arrays = layer.rest, layer.arrays
        for slot in range(3):
            if not torch.equal(rest.inputs[slot, : arrays.column_count[slot]], covered(arrays, slot, h[slot])):
                continue  # it rests; D has changed since
            # What computing a margin may err by, and travel covers (bound.py): a few u of all that it is made of.
            reach = (arrays.norms[slot] + layer._drift.sums).double() * h[slot].double().norm()
            slack = 8 * torch.finfo(dtype).eps * (3.0 + reach)
            lacking = limit - preactivations(layer, h[slot : slot + 1])[0] + slack
            rows = arrays.rows[slot, : arrays.row_count[slot]].long()
            near = rest.near[slot, : rest.near_count[slot]].long()
            assert (rest.row_margin[slot, : len(rows)].double() <= lacking[rows]).all()
            assert (rest.near_margin[slot, : len(near)].double() <= lacking[near]).all()
            far = torch.ones(FAN_OUT, dtype=torch.bool)
            far[rows], far[near] = False, False
            norms = arrays.norms[slot].double()[far]
            assert (norms * rest.far_travel[slot] + rest.far_change[slot] <= lacking[far]).all()


def covered(arrays, slot, h):
    """An input on the columns."""
    return h[arrays.columns[slot, : arrays.column_count[slot]].long()]


@pytest.mark.parametrize("dtype", DTYPES)
@given(seed=st.integers(0, 2**32 - 1), repeats=st.booleans(), updates=st.integers(1, 6))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_a_drift_is_no_smaller_than_what_updates_may_do(dtype, seed, repeats, updates):
    generator = torch.Generator().manual_seed(seed)
    drift = Drift(CompiledRowKernels(), torch.zeros(FAN_OUT, dtype=dtype))
    layer = certified_layer(table(generator, dtype), 3.0, "compiled")
    right = inputs(generator, dtype)
    drift.follow(layer.weights.state.low_rank)
    epoch, begun, sizes = drift.epoch, written_out(layer), torch.zeros(FAN_OUT, dtype=torch.float64)
    for _ in range(updates):
        right = right if repeats else inputs(generator, dtype)
        left = torch.randn(3, FAN_OUT, generator=generator, dtype=dtype)
        left *= torch.rand(3, FAN_OUT, generator=generator) < 0.2  # two updates have few units in common
        update(layer, right, left)
        drift.follow(layer.weights.state.low_rank)
        sizes += left.double().abs().T @ right.double().norm(dim=1)
    moved = (written_out(layer) - begun).norm(dim=1)  # the most that ‖h‖ = 1 can make of it
    assert drift.epoch == epoch
    assert (moved <= drift.sums).all()
    # Left factors that add up are rounded to their dtype, six times at most, to 6e-8 of numbers that may cancel.
    torch.testing.assert_close(drift.sums, sizes, rtol=1e-5, atol=1e-6)
    assert drift.largest >= float(drift.sums.max())


def test_what_an_update_takes_away_is_drift_too():
    """A left factor that has lost a unit: the kernel is not to rely on supports that only grow."""
    right = torch.tensor([[3.0, 4.0]])
    before, after = torch.tensor([[1.0, 2.0, 0.0, 4.0]]), torch.tensor([[0.0, 1.5, 0.5, 0.0]])
    sums = torch.zeros(4, dtype=torch.float64)
    rounded = torch.zeros(4)
    largest = CompiledRowKernels().add_drift(*sparse(right), sparse(before), sparse(after), sums, rounded)
    torch.testing.assert_close(sums, 5.0 * torch.tensor([1.0, 0.5, 0.5, 4.0], dtype=torch.float64))
    assert (rounded.double() >= sums).all()
    torch.testing.assert_close(rounded.double(), sums, rtol=1e-6, atol=0)
    assert largest >= 20.0 and (sums >= 5.0 * (before - after).abs()[0].double()).all()


def test_nothing_rests_when_updates_were_taken_back_or_folded():
    first, second = (term(right, torch.ones(1, 4)) for right in (torch.ones(1, 2), torch.tensor([[1.0, 2.0]])))
    one, two = LowRank(2, 4, (first,)), LowRank(2, 4, (first, second))
    drift = Drift(CompiledRowKernels(), torch.zeros(4))
    for low_rank, anew in ((one, True), (two, False), (one, True), (LowRank(2, 4, (second,)), True), (two, True)):
        before = drift.epoch
        drift.follow(low_rank)
        assert (drift.epoch > before) == anew


def test_nothing_rests_when_adding_up_drift_was_broken_off(monkeypatch):
    first, second = (term(right, torch.ones(1, 4)) for right in (torch.ones(1, 2), torch.tensor([[1.0, 2.0]])))
    drift = Drift(CompiledRowKernels(), torch.zeros(4))
    drift.follow(LowRank(2, 4, (first,)))
    before, after = drift.epoch, LowRank(2, 4, (first, second))

    def broken_off(self, *arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CompiledRowKernels, "add_drift", broken_off)
        with pytest.raises(KeyboardInterrupt):
            drift.follow(after)
    drift.follow(after)
    assert drift.epoch > before


@pytest.mark.parametrize("dtype", DTYPES)
@given(seed=st.integers(0, 2**32 - 1), over=st.integers(-8, 8), along=st.floats(0.0, 1.0))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_no_unit_is_missed_when_travel_and_drift_conspire(dtype, seed, over, along):
    """The input moves along a unit's row, and an update along the input, until together they reach the threshold."""
    generator = torch.Generator().manual_seed(seed)
    layer = certified_layer(table(generator, dtype), 3.0, "compiled")
    h = inputs(generator, dtype)
    run(layer, h)
    for unit in range(0, FAN_OUT, 40):
        row = torch.where(h > 0, layer.weights.table[:, unit], 0.0)
        lacking = (3.0 - preactivations(layer, h)[:, unit]).to(dtype)
        there = h + (along * lacking / row.square().sum(dim=1).clamp(min=1e-3))[:, None] * row
        left = torch.zeros(1, FAN_OUT, dtype=dtype)
        lacking = 3.0 - preactivations(layer, there)[0, unit]
        left[0, unit] = -lacking / there[0].double().square().sum() * (1 + over * torch.finfo(dtype).eps)
        update(layer, there[:1], left)
        reached = preactivations(layer, there) > 3.0
        taken = run(layer, there)  # which compares with a product in full
        assert not (reached & ~layer.candidates(taken.slots) & beyond_rounding(layer, there)).any()


def beyond_rounding(layer, h):
    """Units that are active or inactive whatever rounding does: γ of bound.py is below 40 ε at these sizes."""
    distance = (preactivations(layer, h) - layer.activation.threshold).abs()
    return distance > 64 * torch.finfo(h.dtype).eps * (1 + layer.arrays.norms[: len(h)] * h.norm(dim=1)[:, None])


def test_a_sample_that_moves_away_is_screened_and_then_rests_again(monkeypatch):
    screened = screenings(monkeypatch)
    generator = torch.Generator().manual_seed(4)
    layer = certified_layer(table(generator, torch.float32, 64, 4096), 16.0, "compiled")
    h = torch.rand(4, 64, generator=generator)
    expected = {0.0: 4, 1e-4: 0, 0.5: 1}
    for move, samples in expected.items():
        h = h.clone()
        h[0] += move * torch.rand(64, generator=generator)
        screened.clear()
        run(layer, h)
        assert sum(screened) == samples
    assert not missed(layer, run(layer, h), h).any()


def test_samples_that_are_looked_at_too_often_are_screened(monkeypatch):
    screened = screenings(monkeypatch)
    layer = certified_layer(table(torch.Generator().manual_seed(5), torch.float32, 64, 4096), 16.0, "compiled")
    h = torch.rand(3, 64, generator=torch.Generator().manual_seed(6))
    run(layer, h)
    run(layer, h)
    assert screened == [3]
    layer.rest.looks[1] = int(LOOKS * 4096) + 1
    run(layer, h)
    assert screened == [3, 1] and int(layer.rest.looks[1]) < LOOKS * 4096


def test_a_sample_that_needs_no_rows_is_screened_within_its_pass(monkeypatch):
    """And its rows are put in a new order, if that is due."""
    screened = screenings(monkeypatch)
    layer = certified_layer(table(torch.Generator().manual_seed(7), torch.float32, 64, 4096), 10.0, "compiled")
    h = torch.rand(3, 64, generator=torch.Generator().manual_seed(8))
    run(layer, h)
    monkeypatch.setattr(RestingLayer, "screen", None)
    layer.rest.valid[1] = False
    layer.arrays.excess[2] = 10**6
    known = layer.arrays.known_count.clone()
    run(layer, h)
    assert screened == [3, 2] and layer.rest.valid[:3].all()
    assert known.tolist() == [0] * 8 and (layer.arrays.known_count > 0).nonzero()[:, 0].tolist() == [2]


def test_hardly_any_sample_is_screened_when_training_settles(monkeypatch):
    screened = screenings(monkeypatch)
    problem = load_problem("digits", 16)
    network = random_network(problem.X.shape[1], [1024] * 2, dtype="float32", activation=Activation())
    ours = impl.factory(network, forward="certified", self_check=True)
    for iteration in range(30):
        if iteration == 20:
            screened.clear()
        ours.step(problem.X, problem.y, learning_rate=0.3)
    assert sum(screened) <= 10 * 2 * 16 / 8


def screenings(monkeypatch):
    """How many samples are screened, a number for each pass that screens some."""
    screened, correct = [], RestingLayer.taken

    def counted(self, *arguments):
        taken = correct(self, *arguments)
        screened.extend([taken.counts.screened] if taken.counts.screened else [])
        return taken

    monkeypatch.setattr(RestingLayer, "taken", counted)
    return screened
