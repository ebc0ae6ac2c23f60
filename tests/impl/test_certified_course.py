"""The course of samples through all layers: what it finds on the way is what is found layer by layer."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import impl
from impl.backward import left_factors
from impl.certified import layer_table, row_loops
from impl.certified.addresses import place_of
from impl.certified.blocks import OutOfRoom
from impl.certified.collected import Collector, Totals
from impl.certified.found import Found
from impl.certified.resting_layer import RestingLayer
from impl.certified.views import ChangeViews, FoundViews, RestViews, UnitViews, Views
from impl.work import WorkMeter
from reference import SolveError, load_problem, random_network
from reference.contract import Activation
from tests.impl.test_certified import CPU, DTYPES, certified_layer, run


def trained(dtype, steps=4, depth=3, outputs=1):
    """A certified network some steps after its beginning, so that D is not zero, and a problem."""
    problem = load_problem("digits", 12)
    activation = Activation("shifted_relu", 1.0)
    network = random_network(64, [384] * depth, outputs=outputs, dtype=dtype, activation=activation)
    y = np.repeat(problem.y.reshape(12, -1)[:, :1], outputs, axis=1)
    ours = impl.factory(network, forward="certified")
    for _ in range(steps):
        ours.step(problem.X, y, learning_rate=0.3)
    return ours, problem.X, y


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_left_factors_are_those_of_a_backward_pass(dtype, outputs):
    ours, X, _ = trained(dtype, outputs=outputs)
    trace = ours._trace(ours._samples(X), left=True)
    meters = [WorkMeter(CPU), WorkMeter(CPU)]
    assert trace.left is not None
    with meters[0].phase("backward"):
        taken = trace.left.take(meters[0])
    with meters[1].phase("backward"):
        apart = left_factors(replace(trace, left=None), ours._activations, ours._readout, meters[1])
    for one, other in zip(taken, apart, strict=True):
        size = float(other.abs().max())
        torch.testing.assert_close(one, other, rtol=1e-5, atol=64 * torch.finfo(one.dtype).eps * size)
    counted = [meter.phases["backward"].multiply_adds for meter in meters]
    pairs = outputs * sum(
        below.pairs_with(above) for below, above in zip(trace.supports[1:], trace.supports[2:], strict=False)
    )
    assert (
        pairs < counted[0] <= counted[1]
    )  # of Dᵀ g one counts the products there are, the other those of a whole panel


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_screened_on_the_way_comes_out_the_same_to_the_last_bit(dtype):
    """D h of its rows is summed as that of a sample that rests, though it was summed for all units just before."""
    ours, X, _ = trained(dtype, steps=6)
    layers, passes, screened = ours._forward_pass.layers, [], []
    for resting in (True, True, False, True):
        for layer in layers:
            layer.rest.valid[:] &= resting
        passes.append(ours._trace(ours._samples(X)))
        screened.append(sum(layer._counts.screened for layer in layers))
    assert screened[2] == 12 * 3 and screened[1] < 12 * 3 > screened[3]
    for other in passes[1:]:
        assert all(map(torch.equal, passes[0].hidden, other.hidden))
        assert torch.equal(passes[0].outputs, other.outputs)


def test_a_course_that_finds_no_room_in_a_layer_is_finished_layer_by_layer(monkeypatch):
    """Layer 2 has no room at first: what the course has found below stays, and the layer is tried alone."""
    ours, X, y = trained("float32")
    gather = impl.factory(ours.to_network(), forward="gather")
    correct, refused = RestingLayer.screen, []

    def screen(self, *arguments):
        if self.layer == 2 and not refused:
            refused.append(self.layer)
            raise OutOfRoom
        return correct(self, *arguments)

    monkeypatch.setattr(RestingLayer, "screen", screen)
    for layer in ours._forward_pass.layers:
        layer.anchors.forget_all()
        layer.rest.valid[:] = False
    trace = ours._trace(ours._samples(X), left=True)
    assert refused == [2] and trace.left is None
    np.testing.assert_allclose(trace.outputs.numpy(), gather.forward(X), rtol=1e-4, atol=1e-5)
    ours.step(X, y)
    gather.step(X, y)
    np.testing.assert_allclose(ours.forward(X), gather.forward(X), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_samples_get_columns_and_rows_within_their_pass(dtype, monkeypatch):
    """New inputs, and units that come within reach: without a sample being stopped, as there is room."""
    generator = torch.Generator().manual_seed(3)
    layer = certified_layer(torch.randn(64, 4096, generator=generator, dtype=dtype), 12.0, "compiled", room=1 << 24)
    h = torch.rand(3, 64, generator=generator, dtype=dtype)
    h[:, 60:] = 0.0
    run(layer, h)
    monkeypatch.setattr(RestingLayer, "screen", None)
    h[0, 61] = 0.25
    h[1, :60] += 0.1 * torch.rand(60, generator=generator, dtype=dtype)
    columns, rows = layer.arrays.column_count.clone(), layer.arrays.row_count.clone()
    taken = run(layer, h)
    came = (layer.arrays.column_count - columns)[:3].tolist(), (layer.arrays.row_count - rows)[:3]
    assert came[0] == [1, 0, 0]
    assert came[1][1] > 0 and came[1][2] == 0
    assert taken.counts.appended == 1 + int(came[1].sum())
    slot = 1  # whose block has been filled for its new rows
    block = layer.arrays.blocks.view(slot)[: columns[slot], : layer.arrays.row_count[slot]]
    lists = layer.arrays.columns[slot, : columns[slot]].long(), layer.arrays.rows[slot, : block.shape[1]].long()
    assert torch.equal(block, layer.weights.table[lists[0]][:, lists[1]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sample_that_has_moved_far_becomes_a_reference_within_its_pass(dtype, monkeypatch):
    """Rows would be dearer than a product with W⁰."""
    generator = torch.Generator().manual_seed(3)
    layer = certified_layer(torch.randn(64, 4096, generator=generator, dtype=dtype), 12.0, "compiled", room=1 << 24)
    h = torch.rand(3, 64, generator=generator, dtype=dtype)
    run(layer, h)
    monkeypatch.setattr(RestingLayer, "screen", None)
    h[1] = torch.rand(64, generator=generator, dtype=dtype)
    before = layer.arrays.reference_count[:3].tolist()
    meter = WorkMeter(CPU)
    with meter.phase("forward"):
        taken = run(layer, h, work=meter)
    assert layer.arrays.reference_count[:3].tolist() == [before[0], before[1] + 1, before[2]]
    assert taken.counts.anchors == 1
    product = layer.arrays.products[1, before[1] % layer.arrays.products.shape[1]]
    torch.testing.assert_close(product, h[1] @ layer.weights.table, rtol=1e-4, atol=1e-4)
    assert meter.phases["forward"].multiply_adds > 64 * 4096  # the product alone takes so many


def test_a_sample_without_columns_is_no_trouble():
    """All inputs zero, and biases that fire: rows cost nothing there, and are not worth a reference."""
    generator = torch.Generator().manual_seed(5)
    bias = torch.zeros(4096)
    layer = certified_layer(torch.randn(64, 4096, generator=generator), 12.0, "compiled", bias)
    h = torch.zeros(2, 64)
    run(layer, h)
    bias[::512] = 13.0
    layer.rest.valid[:] = False
    assert run(layer, h).support.counts.tolist() == [8, 8]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_layer_is_read_from_its_table_as_it_was_written(dtype):
    """Every field of every tuple, by its dtype, shape and numbers."""
    like, dimensions = np.empty(0, dtype), iter(range(2, 200))
    table = np.zeros((layer_table.PLACES, 4), np.int64)
    numbers = np.arange(1.0, 1 + layer_table.NUMBERS)
    readers = (
        (layer_table.KNOWN, Views, lambda: layer_table.known_at(table, like)),
        (layer_table.REST, RestViews, lambda: layer_table.rest_at(table, like)),
        (layer_table.BY_UNIT, UnitViews, lambda: layer_table.by_unit_at(table, numbers, like)),
        (layer_table.CHANGE, ChangeViews, lambda: layer_table.change_at(table, numbers, like)),
        (layer_table.FOUND, FoundViews, lambda: layer_table.found_at(table, like)),
    )
    for first, kind, read in readers:
        nothing = np.zeros(4, np.float64)
        table[:] = place_of(nothing)  # of one dimension or more, whatever its numbers are taken for
        table[:, 2:] = 0
        fields = [field for field, value in zip(kind._fields, read(), strict=True) if isinstance(value, np.ndarray)]
        given = {}
        for place, field in enumerate(fields, start=first):
            found = getattr(read(), field)
            shape = tuple(next(dimensions) for _ in range(found.ndim))
            given[field] = (np.arange(np.prod(shape)) % 7).astype(found.dtype).reshape(shape)
            table[place] = place_of(given[field])
        for field in fields:
            found = getattr(read(), field)
            assert found.dtype == given[field].dtype and np.array_equal(found, given[field])
    by_unit, change = layer_table.by_unit_at(table, numbers, like), layer_table.change_at(table, numbers, like)
    assert by_unit[3:] == (1.0, 2, 3.0, 4.0)
    assert (change.samples, change.vectors, change.length) == (5, 6, 7)


def test_only_a_contiguous_array_of_few_dimensions_has_a_place():
    with pytest.raises(ValueError, match="array: expected at most three dimensions, got 4"):
        place_of(np.zeros((1, 2, 3, 4)))
    with pytest.raises(ValueError, match="array: expected a contiguous one"):
        place_of(np.zeros((4, 6))[:, ::2])


def test_what_is_found_has_room_for_the_batch_after_memory_ran_out():
    """Half of the arrays were made for a larger batch, then there was no memory: all are looked at again."""
    found = Found(np.dtype(np.float32))
    found.begin(2, 3, 1)
    found.counts = np.empty((5, found.counts.shape[1]), np.int64)
    found.begin(5, 4, 1)
    arrays = found.counts, found.units, found.active, found.hidden, found.places, found.left
    assert [len(array) for array in arrays] == [5] * 6
    assert not found.counts.any() and found.places.shape[1] == 4
    found.begin(5, 4, 0)
    assert found.left.shape[:2] == (5, 0)


@pytest.fixture(params=[0, 3])
def outputs(request):
    return request.param


ACTIVE_UNITS = np.array([[2, 0, 3], [1, 4, 0]])  # of three samples, in two layers


@pytest.fixture
def found(outputs):
    """What a course might have found; in every array there is more room than is needed."""
    generator, layers = np.random.default_rng(4), []
    for active in ACTIVE_UNITS:
        found = Found(np.dtype(np.float64))
        found.begin(3, 5, outputs)
        found.make_room(6, 5)
        for array in found.arrays:
            array[...] = generator.integers(1, 99, array.shape)
        found.counts[:, row_loops.ACTIVE] = active
        layers.append(found)
    return layers


@pytest.fixture
def collector(found):
    table = np.zeros((2, layer_table.PLACES, 4), np.int64)
    for layer, arrays in enumerate(found):
        for place, array in enumerate(arrays.arrays, layer_table.FOUND):
            table[layer, place] = place_of(array)
    return Collector(table, [4, 5], [60, 50], np.dtype(np.float64))


@pytest.mark.parametrize("layers", [range(2), range(1), range(1, 2)])
def test_what_was_found_is_put_together_one_sample_after_the_other(found, collector, outputs, layers):
    totals = collector.add_up(3)
    assert totals == [Totals(*each.counts.sum(axis=0).tolist()) for each in found]
    collected = collector.collect(layers, totals, outputs)
    assert len(collected) == len(layers)
    for layer, got in zip(layers, collected, strict=True):
        samples, places = np.nonzero(np.arange(6) < ACTIVE_UNITS[layer][:, None])
        assert got.support.offsets.tolist() == [0, *np.cumsum(ACTIVE_UNITS[layer])]
        assert got.support.sample_of_entry.tolist() == samples.tolist()
        assert got.support.units.tolist() == found[layer].units[samples, places].tolist()
        assert got.support.width == (60, 50)[layer] and got.totals == totals[layer]
        assert got.active.tolist() == found[layer].active[samples, places].tolist()
        assert got.hidden.tolist() == found[layer].hidden[samples, places].tolist()
        if outputs:
            assert np.array_equal(got.left.numpy(), found[layer].left[samples, :, places].T)


def test_a_preactivation_that_overflowed_is_told_from_a_sum_that_does(found, collector):
    found[1].active[1, :2] = np.finfo(np.float64).max
    collector.collect(range(2), collector.add_up(3), 0)
    found[1].active[1, 2] = np.inf
    with pytest.raises(SolveError, match="finite preactivations in layer 5"):
        collector.collect(range(2), collector.add_up(3), 0)
    collector.collect(range(1), collector.add_up(3), 0)
