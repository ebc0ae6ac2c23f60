"""Steps of fixed room, as CUDA graphs replay them, against the plain course: the same to the last bit.

But for sums over several outputs on a CUDA device, whose order torch chooses by the size of what it sums.
"""

import copy
import dataclasses
import functools

import numpy as np
import pytest
import torch

import impl
from reference import Activation, SolveError, load_problem, random_network
from tests.impl.kernel_choices import TRITON

WIDTHS = [40, 36, 33]


@pytest.fixture(params=TRITON)
def place(request):
    return request.param[1]


def recorder(place):
    from impl.captured import CudaGraphs, run_again  # needs Triton

    return functools.partial(CudaGraphs, torch.device(place)) if place == "cuda" else lambda: run_again


def network(outputs=1, *, widths=WIDTHS, biases=False, dtype="float64", b=0.3):
    drawn = random_network(6, widths, outputs=outputs, activation=Activation("shifted_relu", b), dtype=dtype, seed=2)
    if biases:
        drawn = dataclasses.replace(drawn, biases=[np.full(width, 0.01, dtype) for width in widths])
    return drawn


def pair(place, net, **options):
    """Two that are built alike, the second with its steps recorded."""
    built = [impl.factory(net, device=place, kernels="triton", graphs="never", **options) for _ in range(2)]
    built[1].capture(recorder(place))
    return built


def batch(samples=5, outputs=1, seed=0):
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((samples, 6))
    X[0, 2] = 0.0  # an input that is not read
    return X, generator.standard_normal((samples, outputs))


def bits(implementation):
    return [weight.tobytes() for weight in implementation.to_network().weights]


def has_recorded(implementation):
    """Whether its steps have been recorded, and so the last one was replayed unless it had to go the plain course."""
    return implementation._captured._recorded is not None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("outputs", "biases"), [(1, False), (3, True)])
def test_steps_are_those_of_the_plain_course_to_the_last_bit(place, dtype, outputs, biases):
    plain, recorded = pair(place, network(outputs, biases=biases, dtype=dtype), dtype=dtype)
    X, y = batch(outputs=outputs)
    for number in range(4):
        reports = [each.step(X, y, learning_rate=0.5, damping=0.1 + number) for each in (plain, recorded)]
        assert has_recorded(recorded) == (number > 0)
        if place == "cuda" and outputs > 1:
            rtol = 32 * np.finfo(dtype).eps
            for one, other in zip(plain.to_network().weights, recorded.to_network().weights, strict=True):
                np.testing.assert_allclose(one, other, rtol=0, atol=rtol * np.abs(one).max())
        else:
            assert bits(plain) == bits(recorded)
        for one, other in zip(plain.weights, recorded.weights, strict=True):
            assert one.magnitude == pytest.approx(other.magnitude, rel=1e-6)
        assert reports[0].loss == pytest.approx(reports[1].loss, rel=1e-14)
        assert reports[0].solver == reports[1].solver and reports[0].dead_samples == reports[1].dead_samples
        assert all(np.array_equal(*counts) for counts in zip(*(r.active_counts for r in reports), strict=True))
        counted = [{name: phase.layers for name, phase in report.work.items()} for report in reports]
        assert counted[0] == counted[1]
    assert recorded.iteration == 4


def test_only_trained_layers_change(place):
    plain, recorded = pair(place, network(), trained_layers=[2])
    for _ in range(3):
        reports = [each.step(*batch(), damping=0.1) for each in (plain, recorded)]
        assert bits(plain) == bits(recorded)
        assert reports[0].work["update"].layers == reports[1].work["update"].layers
    assert has_recorded(recorded)


def test_other_samples_and_targets_of_as_many_are_read(place):
    plain, recorded = pair(place, network())
    for seed in range(4):
        X, y = batch(seed=seed)
        losses = [each.step(X, y, damping=0.1).loss for each in (plain, recorded)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-14)
        assert bits(plain) == bits(recorded)
    assert has_recorded(recorded)


def test_where_there_is_too_little_room_the_plain_course_is_taken_and_room_is_made(place, monkeypatch):
    from impl.captured import iteration

    monkeypatch.setattr(iteration, "SPARE", 1.0)
    monkeypatch.setattr(iteration, "LEAST_SPARE", 0)
    plain, recorded = pair(place, network(widths=[60, 50]))
    few, many = batch()[0] * 0.6, batch()[0] * 3
    y = batch()[1]
    for X, replays in ((few, False), (few, True), (many, False), (many, True)):
        for each in (plain, recorded):
            each.step(X, y, learning_rate=1e-3, damping=0.1)
        assert has_recorded(recorded) == replays
        assert bits(plain) == bits(recorded)


def test_a_step_that_cannot_be_taken_says_so_and_changes_nothing(place):
    plain, recorded = pair(place, network(dtype="float32"), dtype="float32")
    X, y = batch()
    for each in (plain, recorded):
        each.step(X, y, damping=0.1)
        each.step(X, y, damping=0.1)
    before = bits(recorded)
    for each in (plain, recorded):
        with pytest.raises(SolveError, match="update: expected finite new weights in layer 1"):
            each.step(X, 1e20 * y, learning_rate=1e25, damping=0.1)
    assert bits(recorded) == before
    for each in (plain, recorded):
        each.step(X, y, damping=0.1)
    assert bits(plain) == bits(recorded)


def test_a_singular_system_is_solved_as_ever(place):
    plain, recorded = pair(place, network())
    X, y = batch()
    X[1], y[1] = X[0], y[0]  # twins
    for _ in range(3):
        reports = [each.step(X, y, damping=0.0) for each in (plain, recorded)]
        assert reports[1].solver == reports[0].solver == "eigenvectors"
        assert reports[1].notes == reports[0].notes
        assert bits(plain) == bits(recorded)


def test_other_methods_losses_and_sizes_take_the_plain_course(place):
    plain, recorded = pair(place, network())
    X, y = batch()
    for options in ({}, {}, {"method": "gradient_descent"}, {"loss": "huber"}, {}):
        for each in (plain, recorded):
            each.step(X, y, learning_rate=0.1, damping=0.1, **options)
        assert bits(plain) == bits(recorded)
    for samples in (3, 3, 5):
        for each in (plain, recorded):
            each.step(*batch(samples), damping=0.1)
        assert bits(plain) == bits(recorded)


def test_a_single_batch_of_another_size_leaves_what_was_recorded(place):
    plain, recorded = pair(place, network())
    for samples in (5, 5, 3, 5, 3, 5):
        for each in (plain, recorded):
            each.step(*batch(samples), damping=0.1)
        assert bits(plain) == bits(recorded)
    assert recorded._captured._recorded.samples == 5


def test_where_recording_fails_steps_go_on_and_say_so(place):
    def failing():
        raise RuntimeError("no graphs here\nnor anywhere")

    plain, recorded = (impl.factory(network(), device=place, kernels="triton", graphs="never") for _ in range(2))
    recorded.capture(failing)
    for number in range(3):
        notes = [each.step(*batch(), damping=0.1).notes for each in (plain, recorded)]
        told = ("steps are not replayed, as recording failed: no graphs here",) if number else ()
        assert notes == [(), told]
        assert bits(plain) == bits(recorded)


def test_a_sample_without_active_units_is_reported(place):
    plain, recorded = pair(place, network(b=1.2))
    X, y = batch()
    X[3] = 0.0
    for _ in range(3):
        reports = [each.step(X, y, damping=0.1) for each in (plain, recorded)]
        assert 3 in reports[0].dead_samples and reports[0].dead_samples == reports[1].dead_samples
        assert bits(plain) == bits(recorded)


def test_a_copy_records_anew(place):
    _, recorded = pair(place, network())
    X, y = batch()
    for _ in range(3):
        recorded.step(X, y, damping=0.1)
    twin = copy.deepcopy(recorded)
    assert not has_recorded(twin)
    before = bits(recorded)
    for _ in range(3):
        twin.step(X, y, damping=0.1)
    assert bits(recorded) == before != bits(twin)
    assert has_recorded(twin)
    for _ in range(3):
        recorded.step(X, y, damping=0.1)
    assert bits(recorded) == bits(twin)


@pytest.mark.parametrize("options", [{"weights": "lazy"}, {"solver": "cg"}, {"forward": "certified"}])
def test_other_choices_stay_as_they_are(place, options):
    _, recorded = pair(place, network(), **options)
    assert recorded._captured is None
    recorded.step(*batch(), damping=0.1)


@pytest.mark.cuda
def test_steps_are_recorded_on_cuda_unless_they_are_not_to_be():
    problem = load_problem("synthetic", 12, dimension=64)
    net = random_network(64, [300, 200], dtype="float32", seed=1)
    built = [impl.factory(net, device="cuda", graphs=graphs) for graphs in ("auto", "never")]
    for _ in range(6):
        losses = [each.step(problem.X, problem.y, damping=0.1).loss for each in built]
        assert losses[0] == pytest.approx(losses[1], rel=1e-14)
    assert bits(built[0]) == bits(built[1])
    assert has_recorded(built[0]) and built[1]._captured is None


@pytest.mark.cuda
def test_a_recorded_step_waits_for_the_device_once_and_for_the_clock():
    from tests.impl.waiting import counted_on_cuda

    problem = load_problem("synthetic", 12, dimension=64)
    built = impl.factory(random_network(64, [300, 200], dtype="float32", seed=1), device="cuda")
    for _ in range(3):
        built.step(problem.X, problem.y, damping=0.1)
    with counted_on_cuda() as waits:
        built.step(problem.X, problem.y, damping=0.1)
    assert len(waits) <= 3, waits  # samples and targets come from the host; what was found goes there
