"""Lazy weights W = W⁰ − D: products, merging, recompression, folds, forks, undo, and what all of it costs.

Bounds are those of properties/tolerances/rounding.py: γ of the number of operations in a row, times the magnitudes.
"""

import json
import os
import subprocess
import sys
import threading
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import impl
from benchmarks.scaling import work_exponent
from impl import history
from impl.kernels import select_kernels, tabulated
from impl.support import Support
from impl.weights import FoldWhenPaid, Keep, LazyWeights, LowRank, RecompressWhenGrown
from impl.weights.base import Base
from impl.weights.low_rank import DenseFactors, OuterProducts
from impl.weights.panels import Panels
from impl.work import WorkMeter
from properties.cases.case import Case
from properties.runner.compare import assert_close
from properties.tolerances.rounding import Arithmetic, Bounded
from reference import ArgumentError, load_problem, random_network
from tests.impl.lazy_work import DEPTH, ITERATIONS, SAMPLES
from tests.impl.test_all_or_nothing import AllocationFails
from tests.impl.test_nothing_quadratic import watched

ROOT = Path(__file__).resolve().parent.parent.parent
CPU = torch.device("cpu")
DTYPES = ("float32", "float64")
KERNELS = ("compiled", "torch")
METHODS = ("gauss_newton", "gradient_descent")
MAINTENANCE = {"fold": FoldWhenPaid(), "recompress": RecompressWhenGrown(growth=2), "keep": Keep()}

FAN_IN, FAN_OUT, BATCH = 23, 17, 6


def no_work():
    return WorkMeter(CPU)


def kernels_named(name):
    return select_kernels(name, CPU)


def support_of(mask):
    return Support.of_positions(torch.from_numpy(np.flatnonzero(mask)), *mask.shape)


def on(mask, dtype, seed):
    """A support, values on it, and the same as a dense float64 array."""
    values = np.random.default_rng(seed).standard_normal(int(mask.sum())).astype(dtype)
    dense = np.zeros(mask.shape)
    dense[mask] = values
    return support_of(mask), torch.from_numpy(values), dense


def random_mask(rows, columns, seed, density=0.4):
    return np.random.default_rng(seed).random((rows, columns)) < density


@dataclass
class Held:
    """A LowRank with what it stands for: D, and Σ_j |left_j||right_j|ᵀ."""

    low_rank: LowRank
    D: np.ndarray
    magnitude: np.ndarray


def sparse_term(right_mask, left_mask, dtype, seed):
    right, right_values, R = on(right_mask, dtype, seed)
    left, left_values, L = on(left_mask, dtype, seed + 1)
    return OuterProducts(right, right_values, left, left_values), L.T @ R, np.abs(L).T @ np.abs(R)


TERMS = {
    "random": [(random_mask(4, FAN_IN, 1), random_mask(4, FAN_OUT, 2)), (random_mask(3, FAN_IN, 3), np.eye(3, 17) > 0)],
    "one empty side": [
        (np.zeros((2, FAN_IN), bool), np.ones((2, FAN_OUT), bool)),
        (np.ones((2, FAN_IN), bool), np.zeros((2, FAN_OUT), bool)),
    ],
    "nothing active": [(np.zeros((2, FAN_IN), bool), np.zeros((2, FAN_OUT), bool))],
    "duplicates": [(np.tile(random_mask(1, FAN_IN, 4), (5, 1)), np.tile(random_mask(1, FAN_OUT, 5), (5, 1)))] * 2,
    "everything active": [(np.ones((3, FAN_IN), bool), np.ones((3, FAN_OUT), bool))] * 3,
}
BATCHES = {
    "random": (random_mask(BATCH, FAN_IN, 6), random_mask(BATCH, FAN_OUT, 7)),
    "ragged": (np.arange(FAN_IN) < np.array([0, 1, 23, 0, 5, 9])[:, None], np.arange(FAN_OUT) >= np.arange(6)[:, None]),
    "nothing active": (np.zeros((BATCH, FAN_IN), bool), np.zeros((BATCH, FAN_OUT), bool)),
    "everything active": (np.ones((BATCH, FAN_IN), bool), np.ones((BATCH, FAN_OUT), bool)),
}


def held(terms, dense_rank, dtype):
    found = [sparse_term(right, left, dtype, 10 * index) for index, (right, left) in enumerate(terms)]
    D = sum((change for _, change, _ in found), np.zeros((FAN_OUT, FAN_IN)))
    magnitude = sum((size for _, _, size in found), np.zeros((FAN_OUT, FAN_IN)))
    dense = None
    if dense_rank:
        generator = np.random.default_rng(99)
        right, left = (generator.standard_normal((m, dense_rank)).astype(dtype) for m in (FAN_IN, FAN_OUT))
        dense = DenseFactors(torch.from_numpy(right), torch.from_numpy(left))
        right, left = right.astype(np.float64), left.astype(np.float64)
        D, magnitude = D + left @ right.T, magnitude + np.abs(left) @ np.abs(right).T
    return Held(LowRank(FAN_IN, FAN_OUT, tuple(term for term, _, _ in found), dense), D, magnitude)


FORMS = {
    **{name: (terms, 0) for name, terms in TERMS.items()},
    "dense factors only": ([], 3),
    **{f"{name}, and dense factors": (TERMS[name], 2) for name in ("random", "one empty side")},
}


@pytest.fixture(params=KERNELS)
def kernels(request):
    return kernels_named(request.param)


@pytest.fixture(params=DTYPES)
def dtype(request):
    return request.param


@pytest.fixture(params=FORMS)
def form(request):
    return FORMS[request.param]


def product_bound(magnitude, vectors, rank, dtype):
    """An inner product with a vector, a sum over the outer products, and at most two additions of such sums.

    γ_k of the magnitudes, with k the longest inner product and the rank and 3.
    """
    return Arithmetic(dtype).gamma(vectors.shape[1] + rank + 3) * (np.abs(vectors) @ magnitude)


def assert_within(got, expected, bound):
    assert got.shape == expected.shape
    assert (np.abs(got.double().numpy() - expected) <= bound).all()


def panels_of(kernels):
    return Panels(1, FAN_IN, FAN_OUT, kernels)


def test_low_rank_products_are_the_dense_products(form, dtype, kernels):
    D = held(*form, dtype)
    for inputs, _ in BATCHES.values():
        support, values, h = on(inputs, dtype, 20)
        got = torch.zeros(FAN_OUT, support.samples, dtype=values.dtype)
        panels_of(kernels).apply(D.low_rank, support, values, got, no_work())
        assert_within(got.T, h @ D.D.T, product_bound(D.magnitude.T, h, D.low_rank.rank, dtype))


def test_transposed_low_rank_products_are_the_dense_products_at_the_rows_named(form, dtype, kernels):
    D = held(*form, dtype)
    for inputs, outputs in BATCHES.values():
        columns, first, g = on(outputs, dtype, 21)
        _, second, other = on(outputs, dtype, 22)
        values = torch.stack([first, second, first])
        got = panels_of(kernels).apply_transpose(D.low_rank, support_of(inputs), columns, values, no_work())
        assert got.dtype == values.dtype
        for row, dense in zip(got, (g, other, g), strict=True):
            assert_within(row, (dense @ D.D)[inputs], product_bound(D.magnitude, dense, D.low_rank.rank, dtype)[inputs])


def test_panels_follow_from_one_update_to_another(dtype, kernels):
    """Terms that come, terms that are undone, terms in the place of others, and one that is there twice."""
    inputs, _ = BATCHES["random"]
    support, values, h = on(inputs, dtype, 24)
    nearly = [(random_mask(5, FAN_IN, 70), random_mask(5, FAN_OUT, 71))] * 4
    others = [(random_mask(5, FAN_IN, 72 + k), random_mask(5, FAN_OUT, 74 + k)) for k in range(2)]
    for masks in nearly[2:]:
        masks[0][0, :3], masks[1][1, :3] = True, True
    terms = [sparse_term(*masks, dtype, 10 * index) for index, masks in enumerate((*nearly, *others))]
    following = panels_of(kernels)
    for chosen in ((0,), (0, 1), (0, 1, 2, 3), (0, 1, 4), (0, 1, 4, 2, 5), (1, 5), (1, 1), ()):
        D = LowRank(FAN_IN, FAN_OUT, tuple(terms[index][0] for index in chosen))
        change = sum((terms[index][1] for index in chosen), np.zeros((FAN_OUT, FAN_IN)))
        size = sum((terms[index][2] for index in chosen), np.zeros((FAN_OUT, FAN_IN)))
        out = torch.zeros(FAN_OUT, support.samples, dtype=values.dtype)
        following.apply(D, support, values, out, no_work())
        assert_within(out.T, h @ change.T, product_bound(size.T, h, D.rank, dtype))


def test_a_panel_follows_a_term_that_others_are_merged_with(dtype, kernels):
    """And that is itself again when they are undone."""
    inputs, _ = BATCHES["random"]
    support, values, h = on(inputs, dtype, 24)
    term, change, size = sparse_term(random_mask(5, FAN_IN, 70), random_mask(5, FAN_OUT, 71), dtype, 10)
    more, _, _ = sparse_term(random_mask(5, FAN_IN, 70), random_mask(5, FAN_OUT, 75), dtype, 30)
    more = replace(more, right=term.right, right_values=term.right_values)
    following, steps = panels_of(kernels), [(term, 0.0, 0.0)]
    left, right = (
        support.densify(values.double()).numpy()
        for support, values in ((more.left, more.left_values), (more.right, more.right_values))
    )
    for count in (1, 2):
        steps.append((steps[-1][0].plus(more, kernels), count * left.T @ right, count * np.abs(left).T @ np.abs(right)))
    for held_now, added, size_added in (*steps, *reversed(steps)):
        D = LowRank(FAN_IN, FAN_OUT, (held_now,))
        out = torch.zeros(FAN_OUT, support.samples, dtype=values.dtype)
        following.apply(D, support, values, out, no_work())
        bound = product_bound((size + size_added).T, h, D.rank + 2, dtype)
        assert_within(out.T, h @ (change + added).T, bound)
        units = support_of(np.ones((support.samples, FAN_OUT), bool))
        ones = values.new_ones(1, units.entries)
        back = following.apply_transpose(D, support_of(inputs), units, ones, no_work())
        dense = np.ones((support.samples, FAN_OUT))
        assert_within(
            back[0],
            (dense @ (change + added))[inputs],
            product_bound(size + size_added, dense, D.rank + 2, dtype)[inputs],
        )


def test_forks_that_share_kernels_may_be_evaluated_side_by_side(kernels):
    """Tables that are used again belong to a thread."""
    workspace = kernels.workspace
    here = workspace.empty("change", 3, 2, torch.float32, CPU).fill_(1.0)
    elsewhere = []
    other = threading.Thread(target=lambda: elsewhere.append(workspace.empty("change", 3, 2, torch.float32, CPU)))
    other.start()
    other.join()
    assert not elsewhere[0].any() and here.all()
    assert workspace.empty("change", 2, 2, torch.float32, CPU).data_ptr() == here.data_ptr()
    assert deepcopy(workspace).empty("change", 2, 2, torch.float32, CPU).data_ptr() != here.data_ptr()


def test_outputs_in_groups_are_the_same_outputs(kernels, monkeypatch):
    D = held(*FORMS["random, and dense factors"], "float64").low_rank
    inputs, outputs = BATCHES["random"]
    columns, values, _ = on(outputs, "float64", 23)
    arguments = D, support_of(inputs), columns, torch.stack([values, 2 * values, -values]), no_work()
    together = panels_of(kernels).apply_transpose(*arguments)
    monkeypatch.setattr(tabulated, "GROUP_BYTES", 1)
    # Powers of two: the three are the same sums, in the same order.
    for found in (together, panels_of(kernels).apply_transpose(*arguments)):
        assert torch.equal(found, torch.stack([found[0], 2 * found[0], -found[0]]))
        assert torch.equal(found, together)


def test_lazy_products_are_those_of_base_minus_update(form, dtype, kernels):
    D = held(*form, dtype)
    W0 = np.random.default_rng(30).standard_normal((FAN_OUT, FAN_IN)).astype(dtype)
    lazy = LazyWeights(1, Base.of_matrix(W0, CPU, getattr(torch, dtype)), kernels, Keep(), D.low_rank)
    W, size = W0 - D.D, np.abs(W0) + D.magnitude
    for inputs, outputs in BATCHES.values():
        support, values, h = on(inputs, dtype, 31)
        assert_within(lazy.apply(support, values, no_work()), h @ W.T, product_bound(size.T, h, lazy.rank, dtype))

        columns, first, g = on(outputs, dtype, 32)
        _, second, other = on(outputs, dtype, 33)
        got = lazy.apply_transpose(support_of(inputs), columns, torch.stack([first, second]), no_work())
        assert got.shape == (2, inputs.sum())
        for row, dense in zip(got, (g, other), strict=True):
            assert_within(row, (dense @ W)[inputs], product_bound(size, dense, lazy.rank, dtype)[inputs])


def integers(rows, columns, density, seed):
    generator = np.random.default_rng(seed)
    return np.where(generator.random((rows, columns)) < density, generator.integers(1, 9, (rows, columns)), 0)


def term_of(R, L, dtype="float32"):
    """A term with these dense factors, on the supports of what is not zero."""
    parts = [(support_of(factor != 0), torch.from_numpy(factor[factor != 0].astype(dtype))) for factor in (R, L)]
    return OuterProducts(*parts[0], *parts[1])


def dense_of(D):
    return D.materialize()[0].T


@pytest.mark.parametrize("densities", [(0.3, 0.3), (0.0, 0.5), (0.5, 0.0), (1.0, 1.0), (0.0, 0.0), (1.0, 0.2)])
def test_merged_terms_are_the_exact_sum_on_sorted_unions(densities, dtype, kernels):
    R = integers(5, FAN_IN, 0.5, 1)
    first, second = (integers(5, FAN_OUT, density, 2 + k) for k, density in enumerate(densities))
    merged = term_of(R, first, dtype).plus(term_of(R, second, dtype), kernels)
    found = LowRank(FAN_IN, FAN_OUT, (merged,))
    assert found.rank == 5
    np.testing.assert_array_equal(dense_of(found), (first + second).T @ R)
    np.testing.assert_array_equal(merged.left.densify(merged.left_values).numpy(), first + second)
    union = (first != 0) | (second != 0)
    assert merged.left.sample_of_entry.tolist() == union.nonzero()[0].tolist()
    assert merged.left.entries == union.sum()
    for begin, end in pairwise(merged.left.offsets.tolist()):
        assert (np.diff(merged.left.units[begin:end].numpy()) > 0).all()


def test_only_terms_with_the_same_right_factors_are_merged(kernels):
    R, L = integers(4, FAN_IN, 0.5, 1), integers(4, FAN_OUT, 0.5, 2)
    other_values = R + (R > 0) * (np.arange(4) == 3)[:, None]
    other_units = np.roll(R, 1, axis=1)
    other_order, fewer = R[::-1].copy(), R[:3]
    D = LowRank(FAN_IN, FAN_OUT).with_term(term_of(R, L), kernels)
    expected = L.T @ R
    for rank, factors in ((8, other_values), (12, other_units), (16, other_order), (19, fewer)):
        D = D.with_term(term_of(factors, L[: len(factors)]), kernels)
        expected = expected + L[: len(factors)].T @ factors
        assert D.rank == rank
    for factors in (fewer, other_order, R, other_values, other_units):  # each finds its own, wherever it is
        D = D.with_term(term_of(factors, 2 * L[: len(factors)]), kernels)
        expected = expected + 2 * L[: len(factors)].T @ factors
        assert D.rank == 19
    assert len(D.terms) == 5
    np.testing.assert_array_equal(dense_of(D), expected)


def test_terms_of_the_same_units_and_values_in_other_samples_are_different(kernels):
    first, second = np.zeros((2, FAN_IN)), np.zeros((2, FAN_IN))
    first[0, 3], second[1, 3] = 1, 1
    L = np.ones((2, FAN_OUT))
    D = LowRank(FAN_IN, FAN_OUT).with_term(term_of(first, L), kernels)
    assert D.with_term(term_of(second, L), kernels).rank == 4


def digits(samples, seed=0):
    return load_problem("digits", samples, seed=seed)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layer", [1, 2])
def test_fixed_right_factors_keep_the_rank_at_the_number_of_samples(layer, method):
    problem = digits(8)
    network = random_network(64, [96, 96], dtype="float32")
    implementation = impl.factory(network, weights="lazy", maintenance="keep", trained_layers=(layer,))
    rate = {"gauss_newton": 0.1, "gradient_descent": 1e-3}[method]  # with a larger one gradient descent diverges
    for _ in range(100):
        report = implementation.step(problem.X, problem.y, method=method, learning_rate=rate, damping=1e-2)
        assert report.ranks[layer - 1] == 8
    assert np.abs(implementation.to_network().weights[layer - 1] - network.weights[layer - 1]).max() > 0


def test_layer_1_keeps_the_number_of_samples_while_others_train_too():
    problem = digits(8)
    implementation = impl.factory(random_network(64, [48, 48], dtype="float32"), weights="lazy", maintenance="keep")
    for iteration in range(1, 31):
        ranks = implementation.step(problem.X, problem.y, learning_rate=0.1, damping=1e-2).ranks
        assert ranks[0] == 8 < ranks[1] + 1 <= 8 * iteration + 1


def test_recurring_mini_batches_keep_the_rank_at_the_number_of_distinct_samples():
    problem = digits(12)
    implementation = impl.factory(
        random_network(64, [96, 96], dtype="float32"), weights="lazy", maintenance="keep", trained_layers=(1,)
    )
    for iteration in range(60):
        chosen = slice(4 * (iteration % 3), 4 * (iteration % 3) + 4)
        report = implementation.step(problem.X[chosen], problem.y[chosen], learning_rate=0.1, damping=1e-2)
        assert report.ranks == (min(4 * (iteration + 1), 12), 0)


def frobenius(matrix):
    return float(np.linalg.norm(matrix))


def truncation_bound(before, after, dtype):
    """Rounding of a recompression, in the Frobenius norm.

    Two Householder QR factorizations and an SVD in float64 are backward stable: each perturbs its argument by
    γ_{c·m·R} of its Frobenius norm with a small constant c (Higham, theorem 19.4), taken to be 10. The result is then
    rounded to the dtype, factor by factor: γ_2 of the product of their norms.
    """
    right, left = (factor.numpy() for factor in before.factors())
    size = frobenius(right) * frobenius(left)
    stable = Arithmetic("float64").gamma(3 * 10 * max(left.shape[0], right.shape[0]) * left.shape[1]) * size
    if after.dense is None:
        return stable
    new_right, new_left = (factor.double().numpy() for factor in (after.dense.right, after.dense.left))
    return stable + Arithmetic(dtype).gamma(2) * frobenius(new_right) * frobenius(new_left)


def decaying(dtype):
    """A D whose singular values fall by halves: every tolerance has a rank of its own."""
    terms = []
    for index in range(8):
        term, _, _ = sparse_term(random_mask(2, FAN_IN, 40 + index), random_mask(2, FAN_OUT, 60 + index), dtype, index)
        term = OuterProducts(term.right, term.right_values, term.left, term.left_values * 4.0**-index)
        terms.append(term)
    return LowRank(FAN_IN, FAN_OUT, tuple(terms))


@pytest.mark.parametrize("tolerance", [0.9, 0.3, 1e-1, 1e-2, 1e-3, 1e-5])
@pytest.mark.parametrize("make", [decaying, lambda dtype: held(*FORMS["random, and dense factors"], dtype).low_rank])
def test_recompression_has_the_least_rank_within_its_tolerance(make, tolerance, dtype):
    before = make(dtype)
    after = before.recompressed(tolerance, no_work(), 1)
    D, bound = dense_of(before), truncation_bound(before, after, dtype)
    assert frobenius(D - dense_of(after)) <= tolerance * frobenius(D) + bound
    sizes = np.linalg.svd(D, compute_uv=False)
    assert after.rank > 0
    assert np.sqrt((sizes[after.rank - 1 :] ** 2).sum()) > tolerance * frobenius(D) - bound
    assert after.rank <= before.rank
    again = after.recompressed(tolerance, no_work(), 1)
    assert again.rank <= after.rank


def test_tolerances_have_ranks_of_their_own():
    ranks = [decaying("float64").recompressed(tolerance, no_work(), 1).rank for tolerance in (0.9, 0.1, 1e-3, 1e-5)]
    assert ranks == sorted(set(ranks))


@pytest.mark.parametrize("terms", ["no terms", "zeros", "nothing active", "one empty side"])
def test_recompressing_zero_is_zero(terms, dtype):
    if terms == "no terms":
        D = LowRank(FAN_IN, FAN_OUT)
    elif terms == "zeros":
        term, _, _ = sparse_term(*TERMS["random"][0], dtype, 0)
        D = LowRank(FAN_IN, FAN_OUT).with_term(
            OuterProducts(term.right, term.right_values, term.left, 0.0 * term.left_values), kernels_named("torch")
        )
    else:
        D = held(TERMS[terms], 0, dtype).low_rank
    after = D.recompressed(1e-6, no_work(), 1)
    assert after.rank == 0
    assert not dense_of(after).any()


def test_recompression_bounds_the_rank_of_a_long_run():
    samples, growth, iterations, widths = 8, 2, 60, (48, 40)
    problem = digits(samples)
    policy = RecompressWhenGrown(growth=growth, tolerance=1e-3)
    network = random_network(64, widths, dtype="float32")
    implementation = impl.factory(network, weights="lazy", maintenance=policy)
    recompressions = 0
    for _ in range(iterations):
        report = implementation.step(problem.X, problem.y, learning_rate=0.1, damping=1e-2)
        recompressions += report.recompressions
        assert report.ranks[0] == samples  # one term, which has the least rank that it can
        assert report.ranks[1] < min(widths) + growth * samples < samples * iterations
    assert recompressions >= iterations // growth - 1


NETWORK = random_network(5, [12, 10, 9], activation=("shifted_relu", 0.0))


def batch(seed, samples=3):
    return load_problem("synthetic", samples, dimension=5, seed=seed)


def advance(implementation, count, first=0, method="gauss_newton"):
    """Trains on another batch in every step, the first of them again and again."""
    for index in range(first, first + count):
        problem = batch(0 if index % 2 else index)
        implementation.step(problem.X, problem.y, method=method, damping=1e-2, learning_rate=0.5)
    return implementation


def lazy(maintenance="keep", network=NETWORK, **options):
    return impl.factory(network, weights="lazy", maintenance=maintenance, **{"dtype": "float64"} | options)


def bits(implementation):
    return [weight.tobytes() for weight in implementation.to_network().weights]


def outputs(implementation):
    return implementation.forward(batch(77).X).tobytes()


def seen(implementation):
    return bits(implementation), outputs(implementation), implementation.ranks


def tables(implementation):
    return [weight.table for weight in implementation.weights]


def with_dense_factors(dtype="float64", **options):
    """Sparse terms on top of dense factors, as between two recompressions."""
    network = advance(lazy(dtype=dtype, **options), 3)
    network.recompress(1e-3)
    return advance(network, 2, first=3)


@pytest.mark.parametrize("kind", ["sparse", "dense and sparse"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_fold_keeps_the_weights_within_rounding(kind, shared, dtype, kernels):
    options = {"dtype": dtype, "kernels": kernels.name}
    implementation = advance(lazy(**options), 4) if kind == "sparse" else with_dense_factors(**options)
    if shared:
        implementation.fork()
    before, summands, tables_before = implementation.to_network(), implementation.summands(), tables(implementation)
    copies = [table.clone() for table in tables_before]
    work = implementation.fold()
    assert implementation.ranks == (0, 0, 0)
    arithmetic = Arithmetic(dtype)
    for layer, (weight, expected, held_as) in enumerate(
        zip(implementation.to_network().weights, before.weights, summands, strict=True), start=1
    ):
        assert np.abs(weight - expected).max() > 0 or dtype == "float64"
        # One product and one subtraction for every outer product, on this side; the same sum once more on the other.
        bound = Bounded(expected, arithmetic.gamma(held_as.terms + 1) * held_as.magnitude)
        assert_close(f"weights after a fold, layer {layer}", ("unit", "input"), weight, bound)
        assert work.layers[layer].multiply_adds > 0
    for now, was, copy in zip(tables(implementation), tables_before, copies, strict=True):
        in_place = not shared and kind == "sparse"
        assert (now is was) == in_place
        assert in_place or torch.equal(was, copy)
    for weight, table in zip(implementation.weights, tables(implementation), strict=True):
        twin = impl.factory(implementation.to_network(), dtype=dtype, kernels=kernels.name, weights="lazy")
        assert torch.equal(twin.weights[implementation.weights.index(weight)].table, table)
    assert twin.forward(batch(77).X).tobytes() == outputs(implementation)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("shared", [False, True])
def test_a_fold_of_integers_changes_neither_weights_nor_outputs(kernels, shared):
    case = Case(lattice=True, b=0.0, widths=(9, 12), samples=4, input_dimension=5, outputs=3, biases=True)
    implementation = lazy(network=case.network, kernels=kernels)
    implementation.step(case.X, case.y, method="gradient_descent", learning_rate=1.0)
    assert np.abs(implementation.forward(case.X)).max() < 2.0**50  # so that all sums of products are exact
    twin = implementation.fork() if shared else None
    before = implementation.to_network().weights, implementation.forward(case.X), implementation.active_sets(case.X)
    implementation.fold()
    for name, was, now in (
        ("weights", before[0], implementation.to_network().weights),
        ("forward", [before[1]], [implementation.forward(case.X)]),
        ("active sets", before[2], implementation.active_sets(case.X)),
    ):
        for expected, got in zip(was, now, strict=True):
            np.testing.assert_array_equal(got, expected, err_msg=name)
    if twin is not None:
        assert twin.ranks != implementation.ranks
        np.testing.assert_array_equal(twin.forward(case.X), before[1])


def test_a_fold_of_nothing_is_nothing():
    implementation = lazy()
    before = seen(implementation), tables(implementation)
    assert implementation.fold().multiply_adds == 0
    assert implementation.recompress().multiply_adds == 0
    assert seen(implementation) == before[0]
    assert all(now is was for now, was in zip(tables(implementation), before[1], strict=True))


CHANGES = {
    "steps": lambda network: advance(network, 3, first=10),
    "fold": lambda network: network.fold(),
    "recompress": lambda network: network.recompress(0.3),
    "fold, steps, fold": lambda network: (network.fold(), advance(network, 2, first=10), network.fold()),
    "undo": lambda network: (advance(network, 2, first=10), network.undo(network.iteration - 2)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("maintenance", "kernels"), [("fold", "torch"), ("recompress", "compiled")])
def test_a_fork_and_its_original_leave_each_other_alone(maintenance, change, kernels):
    for fork_changes in (False, True):
        original = advance(lazy(MAINTENANCE[maintenance], kernels=kernels), 2)
        fork = original.fork()
        assert seen(fork) == seen(original)
        assert all(a is b for a, b in zip(tables(original), tables(fork), strict=True))
        changing, resting = (fork, original) if fork_changes else (original, fork)
        before = seen(resting)
        CHANGES[change](changing)
        assert seen(resting) == before
        resting.fold()
        advance(resting, 1)


def test_a_fork_goes_on_as_its_original_would():
    original = advance(lazy(), 3)
    fork = original.fork()
    assert fork.iteration == 0
    assert seen(advance(fork, 3, first=3)) == seen(advance(original, 3, first=3))
    with pytest.raises(ArgumentError, match="iteration: expected one whose state is kept"):
        fork.undo(4)


@pytest.mark.parametrize(("dtype", "kernels"), list(zip(DTYPES, KERNELS, strict=True)))
@pytest.mark.parametrize("maintenance", ["keep", "recompress"])
def test_undo_returns_to_the_last_bit_and_training_then_repeats_itself(maintenance, dtype, kernels):
    implementation = lazy(MAINTENANCE[maintenance], dtype=dtype, kernels=kernels)
    trajectory = [seen(implementation)]
    for index in range(6):
        trajectory.append(seen(advance(implementation, 1, first=index)))
    assert len({state[1] for state in trajectory}) == 7
    for target in (6, 5, 3, 2, 0):
        implementation.undo(target)
        assert implementation.iteration == target
        assert seen(implementation) == trajectory[target]
    for index in range(6):
        assert seen(advance(implementation, 1, first=index)) == trajectory[index + 1]
    implementation.undo(2)
    implementation.recompress(0.5)
    implementation.undo(1)
    assert seen(implementation) == trajectory[1]


def refused_undo(implementation, iteration, kept):
    before = seen(implementation), implementation.iteration
    with pytest.raises(
        ArgumentError, match=rf"^iteration: expected one whose state is kept \({kept}\), got {iteration}$"
    ):
        implementation.undo(iteration)
    assert (seen(implementation), implementation.iteration) == before


def test_undo_refuses_what_is_not_kept(monkeypatch):
    implementation = advance(lazy(), 3)
    refused_undo(implementation, 4, "0, 1, 2, 3")
    for bad in (-1, 1.0, True, "1", None):
        with pytest.raises(ArgumentError, match=r"^iteration: expected a whole number of at least 0, got"):
            implementation.undo(bad)
    implementation.undo(1)
    refused_undo(implementation, 2, "0, 1")
    advance(implementation, 1)
    implementation.fold()
    refused_undo(implementation, 1, "2")
    advance(implementation, 1)
    refused_undo(implementation, 0, "2, 3")
    implementation.undo(2)
    monkeypatch.setattr(history, "KEPT_ITERATIONS", 3)
    advance(implementation, 4)
    refused_undo(implementation, 3, "4, 5, 6")


def test_a_fold_of_a_shared_base_can_be_undone():
    implementation = advance(lazy(), 2)
    implementation.fork()
    advance(implementation, 1, first=2)
    trained = seen(implementation)
    implementation.fold()
    advance(implementation, 1, first=3)
    implementation.undo(2)
    assert seen(advance(implementation, 1, first=2)) == trained


def test_eager_weights_refuse_what_only_lazy_ones_can_do():
    implementation = impl.factory(NETWORK)
    before = bits(implementation)
    for operation in (
        lambda: implementation.undo(0),
        implementation.fold,
        implementation.recompress,
        implementation.fork,
    ):
        with pytest.raises(ArgumentError, match=r"^weights: expected lazy"):
            operation()
    assert bits(implementation) == before
    assert implementation.ranks == ()


@pytest.mark.parametrize("tolerance", [0, 0.0, 1, 1.0, -1, -1e-9, np.nan, np.inf, "a", None, True])
def test_bad_tolerances_are_refused(tolerance):
    implementation = advance(lazy(), 1)
    before = seen(implementation)
    for attempt in (lambda: implementation.recompress(tolerance), lambda: RecompressWhenGrown(tolerance=tolerance)):
        with pytest.raises(ArgumentError, match=r"^tolerance: expected"):
            attempt()
    assert seen(implementation) == before


@pytest.mark.parametrize("growth", [0, -1, 1.5, "a", None])
def test_bad_growth_is_refused(growth):
    with pytest.raises(ArgumentError, match=r"^growth: expected a whole number of at least 1"):
        RecompressWhenGrown(growth=growth)


@pytest.mark.parametrize("name", ["", "Lazy", "sometimes", None, 3])
@pytest.mark.parametrize("argument", ["weights", "maintenance", "solver"])
def test_unknown_choices_are_refused(argument, name):
    with pytest.raises(ArgumentError, match=f"^{argument}: expected .*, got {name!r}"):
        impl.factory(NETWORK, **{"weights": "lazy"} | {argument: name})


SHALLOW = random_network(5, [11, 9], activation=("shifted_relu", 0.0))


def before_maintenance(maintenance, kernels):
    """A network whose next step folds or recompresses, where that is what its maintenance does."""
    network = lazy(MAINTENANCE[maintenance], SHALLOW, kernels=kernels)
    if maintenance == "keep":
        return advance(network, 1), 1
    for count in range(1, 20):
        twin = advance(lazy(MAINTENANCE[maintenance], SHALLOW, kernels=kernels), count)
        problem = batch(0 if count % 2 else count)
        report = twin.step(problem.X, problem.y, method="gradient_descent", learning_rate=0.5)
        if report.folds + report.recompressions > 0:
            return advance(network, count), count
    raise AssertionError("no maintenance fell due")


def fails_anywhere(implementation, operation):
    """Lets each of the operations that torch dispatches fail in turn; returns how many places were tried.

    A state is immutable but for the table of its base: where both are what they were, so are the weights.
    """
    states, iteration = [weight.state for weight in implementation.weights], implementation.iteration
    contents, kept = [table.clone() for table in tables(implementation)], dict(implementation._history._states)
    before = bits(implementation)
    for k in range(1, 4000):
        try:
            with AllocationFails(k) as failing:
                operation(implementation)
        except MemoryError:
            assert [weight.state for weight in implementation.weights] == states, f"after operation {k} failed"
            assert all(map(torch.equal, tables(implementation), contents)), f"after operation {k} failed"
            assert (implementation.iteration, implementation._history._states) == (iteration, kept)
            assert all(state.restorable for states in kept.values() for state in states)
            assert k % 50 or bits(implementation) == before
        else:
            assert failing.left > 0
            return k
    raise AssertionError("never done")


@pytest.mark.parametrize(
    ("maintenance", "kernels"),
    [("fold", "compiled"), ("fold", "torch"), ("recompress", "compiled"), ("keep", "compiled")],
)
def test_a_failure_anywhere_in_a_step_with_maintenance_changes_nothing(maintenance, kernels):
    implementation, count = before_maintenance(maintenance, kernels)
    problem = batch(0 if count % 2 else count)
    reports = []

    def step(network):  # what a Gauss–Newton step does more is tried elsewhere, and long
        reports.append(network.step(problem.X, problem.y, method="gradient_descent", learning_rate=0.5))

    assert fails_anywhere(implementation, step) > 50
    (report,) = reports
    assert (report.folds > 0, report.recompressions > 0) == (maintenance == "fold", maintenance == "recompress")
    twin, _ = before_maintenance(maintenance, kernels)
    step(twin)
    assert seen(implementation) == seen(twin)
    assert seen(advance(implementation, 3, first=20)) == seen(advance(twin, 3, first=20))


@pytest.mark.parametrize(("operation", "kernels"), [("fold", "torch"), ("recompress", "compiled")])
def test_a_failure_anywhere_in_explicit_maintenance_changes_nothing(operation, kernels):
    implementation, twin = (with_dense_factors(network=SHALLOW, kernels=kernels) for _ in range(2))
    assert fails_anywhere(implementation, lambda network: getattr(network, operation)()) > 10
    getattr(twin, operation)()
    assert seen(implementation) == seen(twin)
    assert seen(advance(implementation, 2)) == seen(advance(twin, 2))


@pytest.mark.parametrize(("width", "kernels"), [(512, "compiled"), (512, "torch"), (1024, "compiled")])
@pytest.mark.parametrize("maintenance", ["keep", "recompress"])
def test_no_array_of_half_a_weight_matrix_is_made_by_steps_that_do_not_fold(maintenance, width, kernels):
    samples = 2
    data = digits(16 * samples)
    options = {"network": random_network(64, [width] * 2, dtype="float32"), "dtype": "float32", "kernels": kernels}
    policy = RecompressWhenGrown(growth=3) if maintenance == "recompress" else Keep()
    implementation = lazy(policy, **options)
    reports = []

    def several_steps():
        for _ in range(4):
            chosen = slice(samples * (len(reports) % 16), samples * (len(reports) % 16) + samples)
            reports.append(implementation.step(data.X[chosen], data.y[chosen], learning_rate=0.1, damping=1e-2))

    storages, numpy_peak = watched(implementation, several_steps)
    half_a_matrix = 4 * width**2 / 2
    assert 0 < storages.largest < half_a_matrix
    assert numpy_peak < half_a_matrix
    assert sum(report.folds for report in reports) == 0
    assert (sum(report.recompressions for report in reports[4:]) > 0) == (maintenance == "recompress")


@pytest.mark.parametrize("width", [512, 1024])
def test_nor_by_a_fold_in_place(width):
    data = digits(4)
    network = random_network(64, [width] * 2, dtype="float32")
    implementation = lazy(network=network, dtype="float32", kernels="compiled")
    before = tables(implementation)

    def step_and_fold():
        implementation.step(data.X, data.y, learning_rate=0.1, damping=1e-2)
        assert min(implementation.ranks) > 0
        implementation.fold()

    storages, numpy_peak = watched(implementation, step_and_fold)
    assert 0 < storages.largest < 4 * width**2 / 2
    assert numpy_peak < 4 * width**2 / 2
    assert all(now is was for now, was in zip(tables(implementation), before, strict=True))


def test_the_watch_sees_the_copy_that_a_fold_of_a_shared_base_makes():
    data = digits(4)
    network = random_network(64, [512] * 2, dtype="float32")
    implementation = lazy(network=network, dtype="float32", kernels="compiled")

    def step_and_fold():
        implementation.fork()
        implementation.step(data.X, data.y, learning_rate=0.1, damping=1e-2)
        implementation.fold()

    storages, numpy_peak = watched(implementation, step_and_fold)
    assert max(storages.largest, numpy_peak) >= 4 * 512**2


# Products and factorizations of a high rank take long whatever the width: less wide networks keep the test short.
WIDTHS = {"fold": (512, 724, 1024, 1448, 2048), "keep": (512, 724, 1024), "recompress": (256, 362, 512)}


@pytest.mark.parametrize("maintenance", MAINTENANCE)
def test_amortized_work_is_subquadratic(maintenance):
    widths = WIDTHS[maintenance]
    command = [sys.executable, "-m", "tests.impl.lazy_work", maintenance, *map(str, widths)]
    alone = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # counts do not depend on threads
    done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    work = np.array([one["work"] for one in found], float)
    exponent = work_exponent(np.array(widths, float), work)
    print(f"work of m × m layers over {ITERATIONS} steps, {maintenance}: m^{exponent:.3f}")
    assert exponent <= 1.80
    for one in found:
        assert len(one["steps"]) == ITERATIONS
        folds, recompressions, ranks = (list(column) for column in zip(*one["steps"], strict=True))
        assert (sum(folds) > 0, sum(recompressions) > 0) == (maintenance == "fold", maintenance == "recompress")
        assert ranks[-1] == one["ranks"]
        before = [0] * DEPTH
        for folded, truncated, now in zip(folds, recompressions, ranks, strict=True):
            empty = sum(rank == 0 for rank in now)
            appended = [was + SAMPLES for was in before]
            assert folded == empty  # every layer has an update, which only a fold removes
            if not truncated:
                # A recurring mini-batch has the same right factors in layer 1, and there alone.
                assert all(
                    new in (0, old) or (new, layer) == (was, 0)
                    for layer, (new, old, was) in enumerate(zip(now, appended, before, strict=True))
                )
            else:
                assert truncated >= sum(new < old for new, old in zip(now, appended, strict=True)) > 0
            before = now
