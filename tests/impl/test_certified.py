"""Certified forward passes: nothing that fires is passed over, and what is computed is what a gather pass computes."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import impl
from impl.activation import LayerActivation
from impl.certified import CertificateError, select_anchor_kernels
from impl.certified.anchors import Anchors
from impl.certified.blocks import Blocks, OutOfRoom
from impl.certified.loops import GROUP, TILE
from impl.certified.outlook import FIRST_PAUSE, TRIAL, Outlook
from impl.certified.row_loops import in_order_of_units
from impl.certified.samples import Recurrence, SampleSlots, keys_of
from impl.certified.select import certified_layer as layer_for
from impl.certified.self_check import check
from impl.kernels import select_kernels
from impl.passes import LEAST_WIDTH, default_forward
from impl.support import Support
from impl.weights import Base, Keep, LazyWeights
from impl.work import WorkMeter
from properties.cases.case import Case
from reference import load_problem, random_network
from reference.contract import Activation, ArgumentError, SolveError

CPU = torch.device("cpu")
DTYPES = [torch.float32, torch.float64]
KERNELS = ["compiled", "torch"]
ROOM = 1 << 20


def certified_layer(table, threshold, kernels, bias=None, room=ROOM):
    """A layer with the given (W⁰)ᵀ whose certificates know nothing yet, with room for eight samples."""
    chosen = select_kernels(kernels, CPU)
    weights = LazyWeights(1, Base(table, shared=False), chosen, Keep())
    activation = LayerActivation(threshold, threshold, 1.0)
    layer = layer_for(1, weights, bias, activation, chosen, select_anchor_kernels(chosen), room)
    layer.make_room(8)
    return layer


def run(layer, h, slots=None, work=None):
    """A pass at dense inputs (n, fan_in), checked against the product in full."""
    positions = h.view(-1).nonzero()[:, 0]
    support, values = Support.of_positions(positions, *h.shape), h.view(-1)[positions]
    slots = torch.arange(len(h)) if slots is None else slots
    taken = layer.forward(slots, support, values, work or WorkMeter(CPU))
    check(layer, taken, support, values)
    return taken


def dense(taken):
    """Preactivations of the active units, 0 elsewhere."""
    return taken.support.densify(taken.active)


def missed(layer, taken, h):
    """Units that are active in float64 beyond rounding, and were not computed."""
    z = h.double() @ layer.weights.table.double() + layer.bias.double()
    return (z > layer.activation.threshold) & ~layer.candidates(taken.slots)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("dtype", DTYPES)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-6, 1e-3, 0.1, 1.0]), biased=st.booleans())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_no_unit_is_missed_when_inputs_move_along_its_row(kernels, dtype, seed, scale, biased):
    """The move that a bound by Cauchy and Schwarz is least prepared for: it meets the bound, to rounding."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(20, 30, generator=generator, dtype=dtype)
    bias = torch.randn(30, generator=generator, dtype=dtype) if biased else None
    layer = certified_layer(table, 2.0, kernels, bias)
    h = torch.randn(3, 20, generator=generator, dtype=dtype).clamp(min=0.0)
    run(layer, h)
    for unit in range(0, 30, 3):
        row = torch.where(h > 0, table[:, unit], 0.0)
        z = h @ table[:, unit] + (bias[unit] if biased else 0.0)
        # As far as the threshold, to a few units in the last place on either side of it.
        step = (2.0 - z) / row.square().sum(dim=1).clamp(min=1e-3) * (1 + scale * torch.finfo(dtype).eps / 1e-6)
        there = h + step[:, None] * row
        assert not missed(layer, run(layer, there), there).any()


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_on_the_lattice_a_certified_pass_is_the_gather_pass_bit_for_bit(kernels, dtype, data):
    """Small integers over powers of two: every sum is exact, and z = τ occurs, and bounds that meet τ exactly."""
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    table = torch.tensor(generator.integers(-2, 3, (12, 24)) / 4, dtype=dtype)
    layer = certified_layer(table, 0.5, kernels)
    h = torch.tensor(generator.integers(0, 3, (4, 12)) * generator.integers(0, 2, (4, 12)) / 2, dtype=dtype)
    ties = 0
    for _ in range(6):
        taken = run(layer, h)
        z = h @ table
        ties += int((z == 0.5).sum())
        assert torch.equal(dense(taken), torch.where(z > 0.5, z, 0.0))
        h = h.clone()
        h[generator.integers(0, 4), generator.integers(0, 12)] += 0.5
    assert ties > 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_both_kernels_keep_the_same_certificates(dtype):
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(40, 200, generator=generator, dtype=dtype)
    layers = [certified_layer(table.clone(), 9.0, kernels) for kernels in KERNELS]
    h = torch.randn(4, 40, generator=generator, dtype=dtype).clamp(min=0.0)
    for step in range(8):
        moved = h + 0.02 * step * torch.randn(4, 40, generator=generator, dtype=dtype).clamp(min=0.0)
        ours, theirs = (run(layer, moved) for layer in layers)
        assert torch.equal(ours.support.units, theirs.support.units)
        torch.testing.assert_close(ours.active, theirs.active)
        torch.testing.assert_close(layers[0].arrays.norms, layers[1].arrays.norms, rtol=1e-4, atol=0.0)
        g = torch.randn(2, ours.support.entries, generator=generator, dtype=dtype)
        below = Support.of_positions(moved.view(-1).nonzero()[:, 0], 4, 40)
        products = [taken.apply_transpose(below, taken.support, g, WorkMeter(CPU)) for taken in (ours, theirs)]
        torch.testing.assert_close(*products)
        sample, unit = ours.support.sample_of_entry.long(), ours.support.units.long()
        everywhere = torch.zeros(2, 4, 200, dtype=dtype)
        everywhere[:, sample, unit] = g
        expected = (everywhere @ table.T)[:, below.sample_of_entry.long(), below.units.long()]
        torch.testing.assert_close(products[0], expected, rtol=1e-4, atol=1e-4)


def test_most_units_are_certified_between_anchors():
    layer = certified_layer(torch.randn(64, 4096, generator=torch.Generator().manual_seed(2)), 16.0, "compiled")
    h = torch.rand(4, 64)
    first = run(layer, h)
    later = run(layer, h + 1e-3 * torch.rand(4, 64))
    assert first.counts.anchors == 4 and later.counts.anchors == later.counts.appended == 0
    assert later.counts.candidates < 2 * int(later.support.entries) + 64
    assert later.counts.candidates + later.counts.certified == 4 * 4096


def test_what_is_not_a_number_is_not_certified():
    table = torch.zeros(4, 8)
    table[1, 3] = float("inf")
    layer = certified_layer(table, 1.0, "compiled")
    h = torch.zeros(1, 4)
    h[0, 0] = 1.0
    positions = torch.tensor([0, 1])
    run(layer, h)
    with pytest.raises(SolveError, match="overflow"):
        layer.forward(torch.tensor([0]), Support.of_positions(positions, 1, 4), torch.ones(2), WorkMeter(CPU))


def test_the_self_check_notices_a_unit_that_was_passed_over():
    layer = certified_layer(torch.randn(16, 64, generator=torch.Generator().manual_seed(3)), 2.0, "compiled")
    h = torch.rand(2, 16)
    run(layer, h)
    layer.arrays.norms *= 0.0
    with pytest.raises(CertificateError, match=r"layer 1, sample [01], unit"):
        run(layer, 3 * torch.rand(2, 16))


def digits(m, samples=8, depth=2, **options):
    problem = load_problem("digits", samples)
    network = random_network(problem.X.shape[1], [m] * depth, dtype="float32", activation=Activation())
    return problem, network, impl.factory(network, forward="certified", **options)


def test_a_thousand_iterations_miss_no_unit():
    problem, _, ours = digits(256, self_check=True)
    for iteration in range(1000):
        report = ours.step(problem.X, problem.y * (-1) ** (iteration // 50), learning_rate=0.3)
    assert report.certificates[1].certified > 0


@pytest.mark.parametrize("weights", [{"weights": "eager"}, {"weights": "lazy", "maintenance": "keep"}])
def test_samples_are_known_again_in_whatever_batch(weights, monkeypatch):
    begin, begun = Anchors.begin, []
    monkeypatch.setattr(
        Anchors,
        "begin",
        lambda self, new, *more: begun.append(new.numel()) or begin(self, new, *more),
    )
    problem, network, ours = digits(300, samples=12, self_check=True, **weights)
    other = impl.factory(network, forward="gather")
    generator = np.random.default_rng(0)
    for _ in range(10):
        for batch in np.split(generator.permutation(12), 3):
            X, y = problem.X[batch], problem.y[batch]
            ours.step(X, y, method="gradient_descent", learning_rate=1e-3)
            other.step(X, y, method="gradient_descent", learning_rate=1e-3)
    if "maintenance" in weights:  # without a fold, which ends all certificates, a sample begins once in each layer
        assert sum(begun) == 12 * 2
    for a, b in zip(ours.to_network().weights, other.to_network().weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_batch_that_comes_again_is_not_looked_up_again(monkeypatch):
    """Unless its samples were forgotten, or the caller's array has other numbers by now."""
    of, looked_up = SampleSlots.of, []
    monkeypatch.setattr(SampleSlots, "of", lambda self, *batch: looked_up.append(self) or of(self, *batch))
    problem, _, ours = digits(300, self_check=True)
    X = problem.X.copy()

    def step():
        ours.step(X, problem.y, learning_rate=0.1)
        gather = impl.factory(ours.to_network(), forward="gather")
        np.testing.assert_allclose(ours.forward(X), gather.forward(X), atol=1e-5)
        return len(looked_up)

    assert [step(), step()] == [1, 1]
    ours._forward_pass._forget(4)
    assert [step(), step()] == [2, 2]
    X[3] *= 0.5
    assert [step(), step()] == [3, 3]


def test_duplicates_in_a_batch_have_slots_of_their_own():
    X = torch.tensor([[1.0, 2.0], [1.0, 2.0], [3.0, 4.0]])
    slots = SampleSlots()
    assert sorted(slots.of(keys_of(X), CPU).tolist()) == [0, 1, 2]
    assert slots.of(keys_of(X.flip(0)), CPU).tolist() == [2, 0, 1]
    assert slots.evict(1) == [2, 0] and slots.known(keys_of(X)) == 1


def test_a_batch_recurs_when_half_of_its_samples_do(monkeypatch):
    keys = keys_of(torch.arange(12.0).view(6, 2))
    recurrence = Recurrence()
    assert recurrence.observe(keys[:2])  # the first of all
    assert not recurrence.observe(keys[2:4])
    assert not recurrence.observe([keys[0], *keys[4:6]]) and recurrence.observe([keys[1], keys[5]])
    monkeypatch.setattr("impl.certified.samples.REMEMBERED", 2)
    recurrence.observe(keys[:2])
    assert not recurrence.observe(keys[2:5])


def test_samples_that_come_for_the_first_time_get_no_anchors_where_that_may_not_pay():
    """But the very first; and those that come again get them."""
    problem = load_problem("digits", 12)
    network = random_network(problem.X.shape[1], [LEAST_WIDTH], dtype="float32", activation=Activation())
    ours, insistent = (impl.factory(network, forward=forward) for forward in ("auto", "certified"))
    anchored = {"auto": [], "certified": []}
    for batch in (slice(0, 4), slice(4, 8), slice(8, 12), slice(4, 8), slice(4, 8)):
        for name, network in (("auto", ours), ("certified", insistent)):
            report = network.step(problem.X[batch], problem.y[batch], learning_rate=0.1)
            new = "gather pass, as most samples have not come before" in report.notes
            assert new == (not report.certificates)
            anchored[name].append("gather" if new else report.certificates[0].anchors)
    assert anchored["auto"] == [4, "gather", "gather", 4, 0]
    assert anchored["certified"] == [4, 4, 4, 0, 0]


def test_networks_of_thresholded_identities_take_the_gather_pass_and_say_so():
    problem = load_problem("digits", 2)
    activation = Activation("thresholded_identity")
    network = random_network(problem.X.shape[1], [LEAST_WIDTH], dtype="float32", activation=activation)
    report = impl.factory(network, forward="auto").step(problem.X, problem.y)
    assert report.notes == ("gather pass, as hidden values jump at the threshold",) and report.certificates == ()
    assert impl.factory(network, forward="certified").step(problem.X, problem.y).anchors == 1


def test_blocks_that_do_not_fit_give_way_to_the_gather_pass():
    problem, network, ours = digits(400, certificate_memory=1000)
    notes = [ours.step(problem.X, problem.y).notes for _ in range(3)]
    assert all("gather pass, as blocks do not fit the memory" in note[0] for note in notes)
    other = impl.factory(network, forward="gather")
    for _ in range(3):
        other.step(problem.X, problem.y)
    np.testing.assert_allclose(ours.forward(problem.X), other.forward(problem.X), atol=1e-4)


def test_blocks_that_could_not_fit_are_not_tried(monkeypatch):
    """With a third of all units active, a new sample is not worth the products that an anchor takes."""
    problem, network, _ = digits(400, samples=16)
    network = replace(network, activation=Activation("shifted_relu", 0.5))
    ours = impl.factory(network, forward="certified", certificate_memory=400_000)
    begun = []
    begin = Anchors.begin
    monkeypatch.setattr(Anchors, "begin", lambda self, *rest: begun.append(self._layer) or begin(self, *rest))
    report = ours.step(problem.X, problem.y)
    assert 2 not in begun
    assert any("layer 2: gather pass, as blocks do not fit" in note for note in report.notes)


def test_blocks_keep_what_they_hold_when_they_move():
    blocks = Blocks(4 * 20000, CPU, torch.float32)
    blocks.grow_slots(3)
    every = torch.arange(3)
    blocks.reserve(every, torch.tensor([2, 3, 4]), torch.tensor([5, 6, 7]))
    for slot in range(3):
        blocks.view(slot).copy_(torch.arange(blocks.view(slot).numel()).view_as(blocks.view(slot)) + 1000.0 * slot)
    before = [blocks.view(slot).clone() for slot in range(3)]
    for length in (40, 80, 160):
        blocks.reserve(torch.tensor([1]), torch.tensor([3]), torch.tensor([length]))
        for slot, old in enumerate(before):
            assert torch.equal(blocks.view(slot)[: old.shape[0], : old.shape[1]], old)
    with pytest.raises(OutOfRoom):
        blocks.reserve(torch.tensor([0]), torch.tensor([20000]), torch.tensor([40]))
    assert torch.equal(blocks.view(0)[: before[0].shape[0], : before[0].shape[1]], before[0])


def pause(outlook):
    """How many passes go by until certificates are tried again."""
    passes = 0
    while outlook.suspended:
        outlook.pass_by()
        passes += 1
    return passes


def test_certificates_that_do_not_pay_are_suspended_for_longer_and_longer():
    outlook = Outlook(insistent=False)
    assert [outlook.observe(2, 1) for _ in range(TRIAL)] == [False] * (TRIAL - 1) + [True]
    assert pause(outlook) == FIRST_PAUSE
    for _ in range(TRIAL):
        outlook.observe(2, 1)
    assert pause(outlook) == 2 * FIRST_PAUSE
    insistent = Outlook(insistent=True)
    assert not any(insistent.observe(2, 1) for _ in range(50))


def test_narrow_networks_take_the_gather_pass_and_say_so():
    problem, network, _ = digits(128)
    ours = impl.factory(network, forward="auto")
    report = ours.step(problem.X, problem.y)
    assert report.notes == (f"gather pass, as no layer has {LEAST_WIDTH} units",) and report.anchors == 0
    assert report.certificates == ()


def test_who_names_no_pass_gets_the_gather_pass_unless_auto_is_known_to_pay():
    compiled, torch_kernels = (select_kernels(name, torch.device("cpu")) for name in ("compiled", "torch"))
    assert default_forward((64, LEAST_WIDTH), "shifted_relu", compiled, None) == "auto"
    for widths, activation, kernels, storage in (
        ((LEAST_WIDTH - 1,), "shifted_relu", compiled, None),
        ((LEAST_WIDTH,), "thresholded_identity", compiled, None),
        ((LEAST_WIDTH,), "shifted_relu", torch_kernels, None),
        ((LEAST_WIDTH,), "shifted_relu", compiled, "bfloat16"),
    ):
        assert default_forward(widths, activation, kernels, storage) == "gather"
    problem, network, _ = digits(128)
    report = impl.factory(network).step(problem.X, problem.y)
    assert report.notes == () and report.certificates == ()
    problem, network, _ = digits(LEAST_WIDTH, samples=2)
    assert impl.factory(network).step(problem.X, problem.y).anchors > 0


def test_between_anchors_a_wide_layer_takes_a_fraction_of_the_work():
    problem, network, ours = digits(2048, samples=4)
    other = impl.factory(network, forward="gather")
    for _ in range(6):
        report = ours.step(problem.X, problem.y, learning_rate=0.05)
        rival = other.step(problem.X, problem.y, learning_rate=0.05)
    assert report.anchors == 0
    certified, gathered = (r.work["forward"].layers[2].multiply_adds for r in (report, rival))
    assert certified < gathered / 3


def test_a_copy_goes_on_as_the_original_does():
    problem, _, ours = digits(256, self_check=True)
    ours.step(problem.X, problem.y)
    twin = deepcopy(ours)
    for network in (ours, twin, ours, twin):
        network.step(problem.X, problem.y, learning_rate=0.3)
    assert np.array_equal(ours.forward(problem.X), twin.forward(problem.X))


def test_a_fork_goes_on_with_certificates_of_its_own():
    problem, _, ours = digits(200, weights="lazy", self_check=True)
    ours.step(problem.X, problem.y)
    twin = ours.fork()
    twin.step(problem.X, problem.y)
    ours.step(problem.X, -problem.y)
    assert twin.ranks == ours.ranks


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forward": "cerified"}, "forward"),
        ({"forward": "certified", "certificate_memory": -1}, "certificate_memory"),
        ({"forward": "certified", "certificate_memory": "much"}, "certificate_memory"),
        ({"forward": "certified", "self_check": "perhaps"}, "self_check"),
    ],
)
def test_bad_options_are_refused(options, message):
    network = random_network(8, [16, 16], dtype="float32")
    with pytest.raises(ArgumentError, match=message):
        impl.factory(network, **options)


def test_a_failed_step_leaves_certificates_right():
    problem, _, ours = digits(200, self_check=True)
    ours.step(problem.X, problem.y)
    before = ours.to_network()
    with pytest.raises(ArgumentError):
        ours.step(problem.X, problem.y * np.nan)
    for a, b in zip(before.weights, ours.to_network().weights, strict=True):
        assert np.array_equal(a, b)
    fresh = impl.factory(replace(before), forward="gather")
    np.testing.assert_allclose(ours.forward(problem.X), fresh.forward(problem.X), atol=1e-5)


def test_evaluations_leave_no_mark_on_when_updates_are_folded():
    """They take anchors, too, which a fold would end; but only what steps need may weigh against a fold."""
    case = Case(input_dimension=1, widths=(1,), b=None, samples=5, dtype="float32")  # found by a property
    quiet, watched = (impl.factory(case.network, forward="certified") for _ in range(2))
    others = np.linspace(-2.0, 2.0, 40)[:, None]
    for _ in range(12):
        for network in (quiet, watched):
            network.step(case.X, case.y, method="gradient_descent", learning_rate=1e-3)
        watched.forward(others)
    assert quiet.ranks == watched.ranks
    for a, b in zip(quiet.to_network().weights, watched.to_network().weights, strict=True):
        assert np.array_equal(a, b)


@given(st.permutations(range(24)), st.sets(st.integers(0, 23)), st.integers(0, 24))
@settings(deadline=None)  # the first case compiles
def test_active_rows_are_brought_into_the_order_of_their_units(units, active, sorted_at_first):
    units[:sorted_at_first] = sorted(units[:sorted_at_first])
    places = np.array(sorted(active), np.uint32)
    ordered = in_order_of_units(places, np.array(units, np.uint32))
    assert ordered.tolist() == sorted(places.tolist(), key=lambda place: units[place])


def test_units_and_samples_beyond_a_tile_are_screened():
    problem, _, ours = digits(TILE + 100, samples=GROUP + 8, self_check=True)
    for _ in range(4):
        report = ours.step(problem.X, problem.y, learning_rate=0.3)
    assert all(certificate.certified > 0 for certificate in report.certificates)
