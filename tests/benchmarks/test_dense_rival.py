"""The dense rival against the formulas written out in NumPy, and its refusals."""

import math

import numpy as np
import pytest
import torch

from benchmarks.rivals import dense, fastest
from benchmarks.rivals.dense import blas_factory, factory
from benchmarks.rivals.fastest import Fastest, fastest_on_the_host
from benchmarks.rivals.products import Blas, InnerProduct, OneDnn, SamplesFirst, select_products
from benchmarks.rivals.stages import ReplayedStages
from reference.contract import ACTIVATIONS, Activation, ArgumentError, Network, SolveError
from reference.initialization import random_network

FLOAT32 = 2e-4  # of the largest entry: some 1e3 roundings of 6e-8 each
FLOAT64 = 1e-11

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


def problem(n, d, c, seed=0):
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((n, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True), generator.standard_normal((n, c))


def by_the_book(network, X, y, method, learning_rate, damping):
    """Loss, active units and new weights after one step, formula by formula."""
    h, masks, scales = [X], [], []
    for layer, W in enumerate(network.weights):
        m = W.shape[0]
        b = math.sqrt(0.4 * math.log(m)) if network.activation.b is None else network.activation.b
        tail, density = math.erfc(b / math.sqrt(2)) / 2, math.exp(-b * b / 2) / math.sqrt(2 * math.pi)
        relu = network.activation.kind == "shifted_relu"
        scale = math.sqrt(1 / (2 * ((1 + b * b) * tail - b * density if relu else tail + b * density)))
        tau = b * math.sqrt(2 / m)
        z = h[-1] @ W.T + (0.0 if network.biases is None else network.biases[layer])
        masks.append(z > tau)
        scales.append(scale)
        h.append(scale * np.where(z > tau, z - tau if relu else z, 0.0))
    f = h[-1] @ network.readout.T
    n, c = f.shape
    g = [scales[-1] * masks[-1][:, None, :] * network.readout]
    for layer in range(len(network.weights) - 1, 0, -1):
        g.insert(0, scales[layer - 1] * masks[layer - 1][:, None, :] * (g[0] @ network.weights[layer]))
    r = (f - y).reshape(-1)
    q = r
    if method == "gauss_newton":
        J = np.concatenate(
            [np.einsum("ioa,ib->ioab", left, right).reshape(n * c, -1) for left, right in zip(g, h, strict=False)],
            axis=1,
        )
        q = np.linalg.solve(J @ J.T + damping * np.eye(n * c), r)
    q = learning_rate * q.reshape(n, c)
    weights = [
        W - np.einsum("io,ioa,ib->ab", q, left, right)
        for W, left, right in zip(network.weights, g, h[:-1], strict=True)
    ]
    return 0.5 * (r @ r), masks, weights


@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("method", ["gauss_newton", "gradient_descent"])
@pytest.mark.parametrize(
    ("n", "d", "widths", "c", "biases"),
    [(5, 4, [40], 1, False), (9, 7, [60, 33, 51], 3, True), (12, 6, [70, 64], 1, True)],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", FLOAT32), ("float64", FLOAT64)])
@pytest.mark.parametrize("build", [factory, blas_factory])
def test_a_step_is_that_of_the_formulas(kind, method, n, d, widths, c, biases, dtype, tolerance, build):
    network = random_network(d, widths, outputs=c, activation=Activation(kind, 0.3), biases=biases, seed=3)
    X, y = problem(n, d, c)
    rival = build(network, dtype=dtype)
    report = rival.step(X, y, method=method, learning_rate=0.2, damping=0.1)
    loss, masks, weights = by_the_book(network, X, y, method, 0.2, 0.1)
    assert report.loss == pytest.approx(loss, rel=tolerance)
    for counts, mask in zip(report.active_counts, masks, strict=True):
        np.testing.assert_array_equal(counts, mask.sum(axis=1))
    for new, expected in zip(rival.to_network().weights, weights, strict=True):
        np.testing.assert_allclose(new, expected, atol=tolerance * np.abs(expected).max(), rtol=0)


@needs_onednn
@pytest.mark.parametrize("shape", [(2048, 2048), (70, 2304), (33, 47), (1, 1), (8, 2048)])
@pytest.mark.parametrize("rows", [1, 8, 33])
@pytest.mark.parametrize("products", [OneDnn, InnerProduct, SamplesFirst])
def test_other_products_are_those_of_the_blas(shape, rows, products):
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(shape, generator=generator)
    h, g = torch.randn(rows, shape[1], generator=generator), torch.randn(rows, shape[0], generator=generator)
    for way, operand in (("forward", h), ("backward", g)):
        exact = getattr(Blas(), way)(W.double(), operand.double())
        bound = getattr(Blas(), way)(W.double().abs(), operand.double().abs())
        error = (getattr(products(), way)(W, operand).double() - exact).abs()
        assert (error <= 2**-24 * max(shape) * bound).all()  # the classical bound for sums in any order


def test_work_is_counted_from_the_shapes():
    n, d, m, c = 6, 5, 40, 2
    X, y = problem(n, d, c)
    work = factory(random_network(d, [m, m, m], outputs=c)).step(X, y).work
    assert list(work) == ["forward", "backward", "gram", "solve", "update"]
    assert work["forward"].layers[2].multiply_adds == n * m * m + 2 * n * m
    assert work["backward"].layers[3].multiply_adds == n * c * m * m + 2 * n * c * m
    assert work["update"].layers[2].multiply_adds == n * m * m + n * c * m
    assert work["forward"].layers[2].bytes >= 4 * m * m
    assert work["update"].layers[2].bytes >= 2 * 4 * m * m
    assert all(phase.seconds > 0 for phase in work.values())


def test_duplicates_and_dead_samples_are_survived_without_damping():
    network = random_network(4, [30, 30], dtype="float32", activation=Activation("shifted_relu", 1.0))
    X, y = problem(6, 4, 1)
    X[3], X[5] = X[0], 0.0
    rival = factory(network)
    before = rival.step(X, y, learning_rate=0.5, damping=0.0)
    assert before.solver == "eigenvectors"
    assert 5 in before.dead_samples
    assert math.isfinite(rival.step(X, y, learning_rate=0.5, damping=0.0).loss)


BAD = {
    "NaN": ({"X": np.full((3, 4), np.nan)}, "X"),
    "another dimension": ({"X": np.ones((3, 5))}, "X"),
    "no samples": ({"X": np.ones((0, 4)), "y": np.ones((0, 1))}, "X"),
    "a target too many": ({"y": np.ones((4, 1))}, "y"),
    "words": ({"y": np.array([["a"]] * 3)}, "y"),
    "unknown method": ({"method": "newton"}, "method"),
    "unknown loss": ({"loss": "hinge"}, "loss"),
    "negative rate": ({"learning_rate": -0.1}, "learning_rate"),
    "infinite damping": ({"damping": math.inf}, "damping"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_changes_nothing(case):
    change, argument = BAD[case]
    rival = factory(random_network(4, [20, 20]))
    X, y = problem(3, 4, 1)
    rival.step(X, y)
    before = rival.to_network()
    arguments = {"X": X, "y": y, "method": "gauss_newton", "loss": "squared"} | change
    with pytest.raises(ArgumentError, match=f"^{argument}:"):
        rival.step(arguments.pop("X"), arguments.pop("y"), **arguments)
    assert_same(rival.to_network(), before)


@pytest.mark.parametrize(
    ("size", "arguments", "message"),
    [
        (1e305, {}, "^forward"),
        (1e150, {}, "^solve"),
        (1e10, {"method": "gradient_descent", "learning_rate": 1e300}, "^update"),
    ],
)
def test_an_overflow_changes_nothing(size, arguments, message):
    network = random_network(4, [30, 30], activation=Activation("shifted_relu", -1.0))
    network = Network(weights=network.weights, readout=1e10 * network.readout, activation=network.activation)
    rival = factory(network, dtype="float64")
    X, y = problem(3, 4, 1)
    with pytest.raises(SolveError, match=message):
        rival.step(X * size, y * 1e3, **arguments)
    assert_same(rival.to_network(), network)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"dtype": "float16"}, "dtype"),
        ({"device": "abacus"}, "device"),
        ({"device": "meta"}, "device"),
        ({"products": "x"}, "products"),
    ],
)
def test_the_factory_refuses(options, argument):
    with pytest.raises(ArgumentError, match=f"^{argument}:"):
        factory(random_network(3, [8]), **options)


def test_onednn_has_no_float64():
    with pytest.raises(ArgumentError, match=r"^products:"):
        select_products("onednn", torch.device("cpu"), torch.float64)


def test_a_network_that_overflows_the_dtype_is_refused():
    network = Network(weights=[np.full((3, 2), 1e300)], readout=np.ones((1, 3)))
    with pytest.raises(ArgumentError, match=r"^weights\[0\]"):
        factory(network, dtype="float32")


@pytest.mark.cuda
def test_cuda_agrees_with_the_cpu():
    network = random_network(7, [60, 33], outputs=2)
    X, y = problem(9, 7, 2)
    on = {device: factory(network, device=device, dtype="float64") for device in ("cpu", "cuda")}
    losses = {device: [rival.step(X, y, learning_rate=0.3).loss for _ in range(3)] for device, rival in on.items()}
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-9)


def assert_same(network, before):
    for now, then in zip(network.weights, before.weights, strict=True):
        np.testing.assert_array_equal(now, then)


def replayed_by_copying(compute):
    """Records as a graph does, without one: a replay computes again, and overwrites the tensors of the first time."""
    compute()
    kept = compute()

    def replay():
        for old, new in zip(tensors(kept), tensors(compute()), strict=True):
            old.copy_(new)

    return replay, kept


def tensors(result):
    if isinstance(result, torch.Tensor):
        yield result
    elif isinstance(result, list | tuple):
        for part in result:
            yield from tensors(part)
    elif result is not None:
        for name in result.__dataclass_fields__:
            yield from tensors(getattr(result, name))


def prepared(network, n, dtype="float64"):
    rival = factory(network, dtype=dtype)
    rival._rehearse(ReplayedStages(replayed_by_copying), n)
    return rival


@pytest.mark.parametrize("method", ["gauss_newton", "gradient_descent"])
@pytest.mark.parametrize(("c", "biases", "b"), [(1, False, 0.3), (3, True, -0.5)])
def test_stages_that_are_replayed_take_the_same_steps(method, c, biases, b):
    network = random_network(6, [50, 40, 30], outputs=c, biases=biases, activation=Activation(b=b), seed=2)
    eager, replayed = factory(network, dtype="float64"), prepared(network, 8)
    assert_same(replayed.to_network(), network)  # recording changes no weight
    for step in range(3):
        X, y = problem(8, 6, c, seed=step)
        reports = [rival.step(X, y, method=method, learning_rate=0.1, damping=0.1) for rival in (eager, replayed)]
        assert reports[0].loss == reports[1].loss
        for one, other in zip(*(report.active_counts for report in reports), strict=True):
            np.testing.assert_array_equal(one, other)
        assert {phase: work.layers for phase, work in reports[0].work.items()} == {
            phase: work.layers for phase, work in reports[1].work.items()
        }
        assert_same(replayed.to_network(), eager.to_network())
    np.testing.assert_array_equal(replayed.forward(X), eager.forward(X))


def test_a_batch_of_another_size_is_not_replayed():
    network = random_network(6, [50, 40], seed=2)
    eager, replayed = factory(network, dtype="float64"), prepared(network, 8)
    for n in (5, 8, 1):
        X, y = problem(n, 6, 1, seed=n)
        assert eager.step(X, y).loss == replayed.step(X, y).loss
    assert_same(replayed.to_network(), eager.to_network())


def test_an_overflow_in_replayed_stages_changes_nothing():
    network = random_network(4, [30, 30], activation=Activation("shifted_relu", -1.0))
    network = Network(weights=network.weights, readout=1e10 * network.readout, activation=network.activation)
    rival = prepared(network, 3)
    X, y = problem(3, 4, 1)
    with pytest.raises(SolveError, match=r"^forward"):
        rival.step(X * 1e305, y)
    with pytest.raises(SolveError, match=r"^update"):
        rival.step(X * 1e10, y, method="gradient_descent", learning_rate=1e300)
    assert_same(rival.to_network(), network)
    assert math.isfinite(rival.step(X, y).loss)  # and the next step is as if nothing had been


def test_a_device_that_cannot_record_is_told_of_and_served_all_the_same(monkeypatch):
    def refuse(*_):
        raise RuntimeError("capture\nfailed")

    monkeypatch.setattr("benchmarks.rivals.dense.CudaGraphs", lambda device: refuse)
    network = random_network(4, [30, 20], dtype="float32")
    rival = factory(network)
    rival._prepare(3, chosen=True)
    X, y = problem(3, 4, 1)
    report = rival.step(X, y)
    assert report.loss == pytest.approx(factory(network).step(X, y).loss, rel=1e-5)
    assert [note.partition(":")[0] for note in report.notes] == ["products", "no CUDA graphs"]
    assert report.notes[1] == "no CUDA graphs: capture failed"


@needs_onednn
def test_on_the_cpu_wide_layers_take_the_fastest_products(monkeypatch):
    """What is the fastest differs from machine to machine; each of the ways is made so in turn."""
    W = torch.randn(48, 40, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(dense, "LEAST_TRIED", W.numel())
    X, y = problem(9, 40, 1)
    network = random_network(40, [48], dtype="float32")
    expected = blas_factory(network).step(X, y).loss
    names = tuple(way.name for way in (Blas, SamplesFirst, OneDnn, InnerProduct))
    for quick in names:
        monkeypatch.setattr(fastest, "_CHOSEN", {})
        seconds = iter([float(name != quick) for name in names] * 2)
        monkeypatch.setattr(fastest, "_seconds", lambda call, device, seconds=seconds: next(seconds))
        report = factory(network).step(X, y)
        assert report.notes == (f"products: forward {quick}, backward {quick}",)
        assert report.loss == pytest.approx(expected, rel=1e-5)
        assert fastest_on_the_host(W) is fastest_on_the_host(W)  # nothing is tried twice: `seconds` has ended


def test_both_ways_to_multiply_are_right():
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(40, 30, generator=generator)
    h, g = torch.randn(4, 30, generator=generator), torch.randn(8, 40, generator=generator)
    for products in (Blas(), SamplesFirst(), Fastest(W, 4, 8)):
        torch.testing.assert_close(products.forward(W, h), h @ W.T)
        torch.testing.assert_close(products.backward(W, g), g @ W)
        assert products.forward(W, h).is_contiguous() and products.backward(W, g).is_contiguous()


@pytest.mark.parametrize("samples", [0, -1, "0", "many", 2.5])
def test_the_number_of_samples_to_prepare_for_is_checked(samples):
    with pytest.raises(ArgumentError, match=r"^samples: expected a whole number of at least 1"):
        factory(random_network(3, [8]), samples=samples)


@pytest.mark.cuda
@pytest.mark.parametrize("method", ["gauss_newton", "gradient_descent"])
def test_cuda_graphs_take_the_steps_of_the_cpu(method):
    network = random_network(7, [600, 330], outputs=2, seed=4)
    on = {
        "cpu": factory(network, dtype="float64"),
        "eager": factory(network, device="cuda", dtype="float64"),
        "graphs": factory(network, device="cuda", dtype="float64", samples=9),
    }
    for step in range(4):
        X, y = problem(9, 7, 2, seed=step)
        reports = {name: rival.step(X, y, method=method, learning_rate=0.1) for name, rival in on.items()}
        for name in ("eager", "graphs"):
            assert reports[name].loss == pytest.approx(reports["cpu"].loss, rel=1e-9)
        assert "iterations replayed from CUDA graphs" in reports["graphs"].notes
        assert all(work.seconds > 0 for work in reports["graphs"].work.values())
        counted = [{phase: work.layers for phase, work in report.work.items()} for report in reports.values()]
        assert counted[0] == counted[1] == counted[2]
