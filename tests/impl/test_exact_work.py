"""The work that a step reports is exactly what closed formulas of the active counts say, by phase and by layer."""

import numpy as np
import pytest
import torch

import impl
from impl import gram
from impl.jacobian import JacobianFactors
from impl.solvers import ConjugateGradientSolver, SketchedConjugateGradientSolver
from impl.weights import panels
from impl.work import WorkMeter
from reference import Activation, random_network
from tests.impl.work_formulas import Counts, counted

SIZES = [
    {"widths": [24, 40, 17], "outputs": 1, "samples": 5, "dtype": "float64"},
    {"widths": [30, 21], "outputs": 3, "samples": 4, "dtype": "float32"},
]
LARGE = 10.0  # of the damping: conjugate gradients then end at the first descent


def built(size, **options):
    activation = Activation("shifted_relu", 0.3)
    network = random_network(
        7, size["widths"], outputs=size["outputs"], activation=activation, dtype=size["dtype"], biases=True
    )
    return impl.factory(network, dtype=size["dtype"], **options)


def batch(size, seed=0):
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((size["samples"], 7)).astype(size["dtype"])
    X[0, 2] = X[1, 5] = 0.0  # inputs that are zero are not read
    return X, generator.standard_normal((size["samples"], size["outputs"])).astype(size["dtype"])


def formulas(size, X, counts):
    itemsize = np.dtype(size["dtype"]).itemsize
    return Counts([(X != 0).sum(axis=1), *counts], [7, *size["widths"]], size["outputs"], itemsize)


def layers_of(size):
    return list(range(1, len(size["widths"]) + 1))


def compare(report, expected, phases):
    for phase in phases:
        assert counted(report.work[phase]) == expected.work[phase], phase


@pytest.mark.parametrize("kernels", ["compiled", "torch"])
@pytest.mark.parametrize("size", SIZES)
def test_a_step_with_eager_weights(size, kernels):
    X, y = batch(size)
    report = built(size, kernels=kernels).step(X, y, damping=1.0)
    expected = formulas(size, X, report.active_counts)
    expected.forward()
    expected.backward()
    expected.gram(layers_of(size))
    expected.cholesky()
    expected.eager_update(layers_of(size))
    compare(report, expected, ("forward", "backward", "gram", "solve", "update"))
    assert list(report.work) == ["forward", "backward", "gram", "solve", "update"]


def test_a_gradient_descent_step_has_no_gram_matrix():
    X, y = batch(SIZES[0])
    report = built(SIZES[0], trained_layers=[2]).step(X, y, method="gradient_descent", learning_rate=1e-3)
    expected = formulas(SIZES[0], X, report.active_counts)
    expected.forward()
    expected.backward()
    expected.eager_update([2])
    compare(report, expected, ("forward", "backward", "update"))
    assert list(report.work) == ["forward", "backward", "update"]


def test_layers_that_are_not_trained_cost_no_gram_matrix_and_no_update():
    X, y = batch(SIZES[0])
    report = built(SIZES[0], trained_layers=[1, 3]).step(X, y, damping=1.0)
    expected = formulas(SIZES[0], X, report.active_counts)
    expected.gram([1, 3])
    expected.eager_update([1, 3])
    compare(report, expected, ("gram", "update"))


@pytest.mark.parametrize("size", SIZES)
def test_duplicate_samples_are_solved_by_eigenvectors(size):
    X, y = batch(size)
    X[1] = X[0]
    report = built(size).step(X, y, damping=0.0)
    assert report.solver == "eigenvectors"
    expected = formulas(size, X, report.active_counts)
    expected.cholesky(singular=True)
    compare(report, expected, ("solve",))


@pytest.mark.parametrize("size", SIZES)
def test_outputs_without_curvature_take_one_more_product(size):
    X, y = batch(size)
    report = built(size).step(X, y + 100.0, loss="huber", damping=1.0)
    assert report.notes == (f"{y.size} outputs without curvature move by r/λ",)
    expected = formulas(size, X, report.active_counts)
    expected.add("solve", 0, expected.rows**2, 8 * expected.rows**2)
    expected.cholesky()
    compare(report, expected, ("solve",))


@pytest.mark.parametrize("block", [1, 2, 3])
def test_the_gram_matrix_in_blocks_of_samples(block, monkeypatch):
    size = SIZES[1]
    X, y = batch(size)
    whole = built(size)
    table = 8 * size["outputs"] * max(size["widths"])  # of one sample
    expected_gram = whole.gram(X)
    monkeypatch.setattr(gram, "TABLE_BYTES", table * (block + 1) - 1)
    assert np.array_equal(whole.gram(X), expected_gram)
    report = whole.step(X, y, damping=1.0)
    expected = formulas(size, X, report.active_counts)
    expected.gram(layers_of(size), block)
    compare(report, expected, ("gram",))


@pytest.mark.parametrize("size", SIZES)
def test_a_product_with_a_gram_matrix_that_is_not_kept(size):
    X, _ = batch(size)
    network = built(size)
    trace = network._trace(network._samples(X))
    factors = JacobianFactors(trace.supports, trace.hidden, network._left(trace), layers_of(size))
    vector = torch.arange(1.0, factors.rows + 1, dtype=torch.float64)
    work = WorkMeter(torch.device("cpu"))
    with work.phase("gram"):
        product = gram.gram_product(factors, vector, network._kernels, work)
    assert np.allclose(product.numpy(), network.gram(X) @ vector.numpy(), rtol=1e-13, atol=0)
    expected = formulas(size, X, network.active_counts(X))
    expected.gram(layers_of(size))
    expected.add("gram", 0, factors.rows**2, 8 * factors.rows**2)
    assert counted(work.phases["gram"]) == expected.work["gram"]


@pytest.mark.parametrize("size", SIZES)
def test_conjugate_gradients(size):
    X, y = batch(size)
    report = built(size, solver=ConjugateGradientSolver(tolerance=1e-6)).step(X, y, damping=LARGE)
    iterations = report.solve.iterations
    assert 0 < iterations <= size["samples"] * size["outputs"]
    expected = formulas(size, X, report.active_counts)
    # One product an iteration; five for the norm; the residual of 0, of the descent's beginning, and of its end.
    expected.conjugate_gradients(iterations, iterations + 5 + 3)
    compare(report, expected, ("solve",))


@pytest.mark.parametrize("sketch", ["tensor_srht", "tensor_sketch"])
@pytest.mark.parametrize("size", SIZES)
def test_sketched_conjugate_gradients(size, sketch):
    X, y = batch(size)
    solver = SketchedConjugateGradientSolver(tolerance=1e-6, sketch=sketch)
    report = built(size, solver=solver).step(X, y, damping=LARGE)
    iterations = report.solve.iterations
    assert report.solver == solver.name and iterations > 0
    expected = formulas(size, X, report.active_counts)
    expected.conjugate_gradients(iterations, iterations + 5 + 3)
    rows = 8 * expected.rows
    expected.preconditioner(rows, damped=True, applications=iterations + 1)
    getattr(expected, sketch)(layers_of(size), rows)
    compare(report, expected, ("solve",))


def test_without_damping_the_preconditioner_is_the_sketch_alone():
    size = {**SIZES[0], "samples": 3}
    X, y = batch(size)
    report = built(size, solver=SketchedConjugateGradientSolver(tolerance=1e-3, rows=64)).step(X, y, damping=0.0)
    assert report.solver == "sketched-cg"
    expected = formulas(size, X, report.active_counts)
    expected.conjugate_gradients(report.solve.iterations, report.solve.iterations + 5 + 3)
    expected.preconditioner(64, damped=False, applications=report.solve.iterations + 1)
    expected.tensor_srht(layers_of(size), 64)
    compare(report, expected, ("solve",))


@pytest.mark.parametrize("size", SIZES)
def test_lazy_weights_carry_sparse_terms_along(size, monkeypatch):
    monkeypatch.setattr(panels, "PADDING", 0.0)
    network = built(size, weights="lazy", maintenance="keep")
    held = {layer: [0, 0, 0] for layer in layers_of(size)}  # entries of the right and of the left factors, and pairs
    for step in range(3):
        X, y = batch(size, seed=step)
        report = network.step(X, y, damping=1.0)
        expected = formulas(size, X, report.active_counts)
        expected.forward()
        expected.backward()
        for layer, (right, left, pairs) in held.items():
            if step:
                expected.sparse_terms(layer, right, left, step * size["samples"])
            expected.append(layer)
            held[layer] = [right + expected.k(layer - 1), left + expected.k(layer), pairs + expected.pairs(layer)]
        compare(report, expected, ("forward", "backward", "update"))
        assert report.ranks == len(held) * ((step + 1) * size["samples"],)
    itemsize = np.dtype(size["dtype"]).itemsize
    folded = counted(network.fork().fold())
    for layer, (right, left, pairs) in held.items():
        table = expected.widths[layer] * expected.widths[layer - 1]  # shared with a fork, and so copied
        assert folded[layer] == [pairs, 2 * itemsize * (pairs + table) + (4 + itemsize) * (right + left)]


@pytest.mark.parametrize("size", SIZES)
def test_a_fold_of_sparse_terms_touches_their_blocks_only(size):
    network = built(size, weights="lazy", maintenance="keep")
    X, y = batch(size)
    expected = formulas(size, X, network.step(X, y, damping=1.0).active_counts)
    itemsize = np.dtype(size["dtype"]).itemsize
    for layer, work in counted(network.fold()).items():
        ends = expected.k(layer) + expected.k(layer - 1)
        assert work == [expected.pairs(layer), 2 * itemsize * expected.pairs(layer) + (4 + itemsize) * ends]


@pytest.mark.parametrize("size", SIZES)
def test_a_recompression_and_what_it_leaves(size):
    network = built(size, weights="lazy", maintenance="keep")
    n, itemsize = size["samples"], np.dtype(size["dtype"]).itemsize
    for step in range(2):
        X, y = batch(size, seed=step)
        network.step(X, y, damping=1.0)
    work, ranks = counted(network.recompress(0.3)), network.ranks
    X, y = batch(size, seed=2)
    report = network.step(X, y, damping=1.0)
    expected = formulas(size, X, report.active_counts)
    expected.forward()
    expected.backward()
    for layer, rank in zip(layers_of(size), ranks, strict=True):
        fan_in, fan_out = expected.widths[layer - 1], expected.widths[layer]
        before = 2 * n
        thin = min(before, fan_in, fan_out)
        qr = sum(2 * max(m, before) * min(m, before) ** 2 for m in (fan_in, fan_out))
        ends = fan_in + fan_out
        assert 0 < rank < before
        assert work[layer] == [qr + ends * thin * rank, 4 * 8 * ends * before + 2 * itemsize * ends * rank]
        expected.dense_factors(layer, rank)
    compare(report, expected, ("forward", "backward"))
    folded = counted(network.fold())
    for layer, rank in zip(layers_of(size), ranks, strict=True):
        table = expected.widths[layer] * expected.widths[layer - 1]
        ends = expected.k(layer) + expected.k(layer - 1)
        blocks = expected.pairs(layer)  # of the step after it
        assert folded[layer] == [table * rank + blocks, 2 * itemsize * (2 * table + blocks) + (4 + itemsize) * ends]
