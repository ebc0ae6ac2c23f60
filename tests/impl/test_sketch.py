"""The sketches: equal to the explicit matrix, drawn as they should be, unbiased, and subspace embeddings.

Statistical tests draw a fixed number of samples with fixed seeds. Each states the rate at which it would fail a correct
sketch if the seeds were fresh, and shows on planted faults that it would not pass a wrong one.
"""

import math
from functools import cache

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch

import impl
from impl.sketch import SKETCHES, TensorSketch, TensorSRHT, blocks, hadamard_transform, padded_length
from impl.support import Support
from impl.work import WorkMeter
from reference import random_network
from reference.contract import ArgumentError

# The rate at which one statistical test fails a correct sketch.
FALSE_ALARM = 1e-6

CPU = torch.device("cpu")
random = np.random.default_rng

#: Masks (samples, units) of the left and the right factor; no width is a power of two where the name does not say so.
MASKS = {
    "random": (random(0).random((5, 13)) < 0.4, random(1).random((5, 11)) < 0.5),
    "ragged": (
        np.arange(7)[None] < np.array([0, 1, 7, 0, 5, 3])[:, None],
        np.arange(10)[None] >= 10 - np.array([3, 0, 10, 0, 1, 8])[:, None],
    ),
    "nothing active": (np.zeros((3, 5), bool), np.zeros((3, 6), bool)),
    "one sample, one unit": (np.ones((1, 1), bool), np.ones((1, 1), bool)),
    "a long and a short side": (np.ones((2, 3), bool), random(2).random((2, 77)) < 0.3),
    "powers of two": (random(3).random((4, 8)) < 0.5, np.ones((4, 16), bool)),
}


@pytest.fixture(params=SKETCHES)
def kind(request):
    return SKETCHES[request.param]


class Factors:
    """Factors of n·c rows of a Jacobian: sparse, and the dense rows themselves.

    Attributes:
        arguments: Of `Sketch.apply`, up to the meter.
        rows: J, (n·c, m_ℓ·m_{ℓ−1}), float64.
    """

    def __init__(self, masks, outputs, dtype=torch.float64, seed=4):
        draws, (left, right) = random(seed), masks
        self.widths = left.shape[1], right.shape[1]
        left_values = torch.from_numpy(draws.standard_normal((outputs, left.sum()))).to(dtype)
        right_values = torch.from_numpy(draws.standard_normal(right.sum())).to(dtype)
        self.arguments = support_of(left), left_values, support_of(right), right_values
        g = self.arguments[0].densify(left_values.double()).numpy()  # (n, c, m_ℓ)
        h = self.arguments[2].densify(right_values.double()).numpy()  # (n, m_{ℓ−1})
        self.rows = np.einsum("ioa,if->ioaf", g, h).reshape(-1, self.widths[0] * self.widths[1])

    def sketched(self, sketch):
        """S Jᵀ."""
        return sketch.apply(*self.arguments, WorkMeter(CPU), 1).numpy()


def support_of(mask):
    return Support.of_positions(torch.from_numpy(np.flatnonzero(mask)), *mask.shape)


def explicit(sketch, widths):
    """S, (s, m_ℓ·m_{ℓ−1}), from the definition and the drawn numbers."""
    draws = {name: value.numpy() for name, value in vars(sketch).items() if isinstance(value, torch.Tensor)}
    signs = draws["left_signs"], draws["right_signs"]
    if isinstance(sketch, TensorSRHT):
        positions = draws["left_positions"], draws["right_positions"]
        left, right = (
            scipy.linalg.hadamard(padded_length(width))[position, :width] * sign
            for width, position, sign in zip(widths, positions, signs, strict=True)
        )
        S = np.einsum("ja,jf->jaf", left, right) / math.sqrt(sketch.rows)
    else:
        bucket = (draws["left_buckets"][:, None] + draws["right_buckets"][None]) % sketch.rows
        S = (bucket == np.arange(sketch.rows)[:, None, None]) * np.outer(*signs)
    return S.reshape(sketch.rows, -1)


# The transform.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("length", [2**bits for bits in range(9)])
def test_the_transform_is_the_product_with_the_hadamard_matrix(length, dtype):
    values = torch.from_numpy(random(5).standard_normal((2, 3, length))).to(dtype)
    got = hadamard_transform(values)
    H = scipy.linalg.hadamard(length).astype(float)
    assert got.dtype == dtype
    assert got.shape == values.shape
    # γ_k Σ|v| for sums of k = length terms in any order.
    bound = length * torch.finfo(dtype).eps * np.abs(values.double().numpy()).sum(axis=-1, keepdims=True)
    assert (np.abs(got.double().numpy() - values.double().numpy() @ H) <= bound).all()


@pytest.mark.parametrize("exponent", [9, 12, 13, 18])
def test_the_transform_is_an_involution_up_to_the_length(exponent):
    length = 2**exponent
    values = torch.from_numpy(random(6).integers(-9, 10, (2, length))).double()
    once = hadamard_transform(values)
    assert torch.equal(hadamard_transform(once), length * values)  # integers: nothing is rounded
    # The rows 0, 1 and length/2 of H, which pin the order at lengths too large for the matrix.
    assert torch.equal(once[:, 0], values.sum(dim=1))
    assert torch.equal(once[:, 1], values[:, ::2].sum(dim=1) - values[:, 1::2].sum(dim=1))
    assert torch.equal(once[:, length // 2], values[:, : length // 2].sum(1) - values[:, length // 2 :].sum(1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_the_transform_takes_every_floating_dtype(dtype):
    signs = torch.from_numpy(random(13).integers(0, 2, (3, 128)) * 2 - 1)  # sums that every dtype holds exactly
    got = hadamard_transform(signs.to(dtype))
    assert got.dtype == dtype
    assert torch.equal(got.double(), hadamard_transform(signs.double()))


def test_the_transform_keeps_its_argument_and_takes_any_batch():
    values = torch.from_numpy(random(7).standard_normal((4, 6, 32)))
    before = values.clone()
    whole = hadamard_transform(values.transpose(0, 1))
    assert torch.equal(values, before)
    torch.testing.assert_close(whole[2, 3], hadamard_transform(values[3, 2]), rtol=0, atol=1e-13)
    assert hadamard_transform(values[:0]).shape == (0, 6, 32)


@pytest.mark.parametrize("length", [0, 3, 12, 255])
def test_the_transform_refuses_a_length_that_is_no_power_of_two(length):
    with pytest.raises(ArgumentError, match=f"length: expected a power of two, got {length}"):
        hadamard_transform(torch.zeros(2, length))


def test_the_padded_length_is_the_least_power_of_two_that_is_enough():
    expected = [min(2**bits for bits in range(12) if 2**bits >= m) for m in range(1, 1100)]
    assert [padded_length(m) for m in range(1, 1100)] == expected


# The sketches are what they are defined to be.


@pytest.mark.parametrize("table_bytes", [blocks.TABLE_BYTES, 1, 2000], ids=["one block", "one sample", "some samples"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("masks", MASKS)
def test_a_sketch_is_the_product_with_its_explicit_matrix(kind, masks, outputs, dtype, table_bytes, monkeypatch):
    monkeypatch.setattr(blocks, "TABLE_BYTES", table_bytes)
    factors = Factors(MASKS[masks], outputs, dtype)
    for rows in {1, min(9, math.prod(factors.widths)), math.prod(factors.widths)}:
        sketch = kind(rows, *factors.widths, seed=8, device="cpu")
        got = sketch.apply(*factors.arguments, WorkMeter(CPU), 1)
        assert got.dtype == torch.float64  # and rounded as such, from the float32 factors too
        assert got.shape == (rows, len(factors.rows))
        # Every sum is over products of factors, bounded by ‖g‖₁·‖h‖₁; transforms of these lengths take < 100 roundings.
        bound = 100 * 2.0**-53 * np.abs(factors.rows).sum(axis=1)
        assert (np.abs(got.numpy() - explicit(sketch, factors.widths) @ factors.rows.T) <= bound).all()


def test_blocks_are_as_many_samples_as_fit_the_table_and_at_least_one(monkeypatch):
    monkeypatch.setattr(blocks, "TABLE_BYTES", 8 * 20)
    left, right = (support_of(mask) for mask in MASKS["ragged"])
    for numbers, lengths in ((10, [2, 2, 2]), (5, [4, 2]), (7, [2, 2, 2]), (21, [1] * 6), (1, [6])):
        parts = list(blocks.sample_blocks(left, right, numbers))
        assert [part[0].stop - part[0].start for part in parts] == lengths
        for support, which in ((left, 1), (right, 2)):
            entries = np.concatenate([np.arange(support.entries)[part[which].entries] for part in parts])
            assert entries.tolist() == list(range(support.entries))


def test_the_same_seed_gives_the_same_sketch_and_another_seed_another(kind):
    first, again, other = (kind(20, 13, 11, seed=seed, device="cpu") for seed in (3, 3, 4))
    tensors = [name for name, value in vars(first).items() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 4
    for name in tensors:
        assert torch.equal(getattr(first, name), getattr(again, name))
        assert not torch.equal(getattr(first, name), getattr(other, name))


def test_the_names_are_those_under_which_the_sketches_are_chosen():
    assert {name: kind.name for name, kind in SKETCHES.items()} == {name: name for name in SKETCHES}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 0}, "rows: expected a whole number of at least 1 and at most"),
        ({"rows": 2.0}, "rows: expected a whole number"),
        ({"rows": True}, "rows: expected a whole number"),
        ({"left_width": 0}, "left_width: expected a whole number of at least 1"),
        ({"right_width": "5"}, "right_width: expected a whole number of at least 1"),
        ({"seed": -1}, "seed: expected a whole number of at least 0"),
        ({"seed": 2**32}, "seed: expected a whole number of at least 0 and at most 4294967295"),
        ({"seed": None}, "seed: expected a whole number"),
    ],
)
def test_arguments_outside_their_domain_are_refused_by_name(kind, changes, message):
    arguments = {"rows": 4, "left_width": 6, "right_width": 5, "seed": 0, "device": "cpu"}
    kind(**arguments)
    with pytest.raises(ArgumentError, match=message):
        kind(**(arguments | changes))


@pytest.mark.parametrize(("kind", "most"), [(TensorSRHT, 8 * 8), (TensorSketch, 6 * 5)])
def test_a_sketch_larger_than_what_it_sketches_is_refused(kind, most):
    assert kind(most, 6, 5, seed=0, device="cpu").rows == most
    with pytest.raises(ArgumentError, match=f"rows: expected .* at most {most}, got {most + 1}"):
        kind(most + 1, 6, 5, seed=0, device="cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_counts_are_those_of_the_index_sizes(dtype):
    n, c, s = 5, 3, 12
    factors = Factors(MASKS["random"], c, dtype)  # widths 13 and 11, both padded to 16
    left, right = c * factors.arguments[0].entries, factors.arguments[2].entries
    value = torch.finfo(dtype).bits // 8
    counted = {}
    for name, kind in SKETCHES.items():
        work = WorkMeter(CPU)
        with work.phase("sketch"):
            kind(s, *factors.widths, seed=1, device="cpu").apply(*factors.arguments, work, 2)
        assert set(work.phases["sketch"].layers) == {2}
        counted[name] = work.phases["sketch"].layers[2]
    srht, tensor = counted["tensor_srht"], counted["tensor_sketch"]
    assert srht.multiply_adds == left + right + (n * c + n) * (16 * 4 + s)
    assert srht.bytes == (left + right) * (value + 4 + 8) + 8 * ((n * c + n) * (3 * 16 + 2 * s) + 3 * n * c * s)
    fourier, spectrum = round(2.5 * s * math.log2(s)), s // 2 + 1
    assert tensor.multiply_adds == left + right + (2 * n * c + n) * fourier + 4 * n * c * spectrum
    tables, transforms = n * c + n, 2 * n * c + n
    assert tensor.bytes == (left + right) * (value + 4 + 8 + 8 + 16) + 8 * s * (tables + 2 * transforms) + (
        3 * 16 * n * c * spectrum
    )


# What is drawn is drawn independently and uniformly. With the definition, which the tests above hold apply to, this is
# the whole law of a sketch. Norms alone would not do: over the signs even tied positions p = q leave them unbiased.


def chi_square(codes, cells):
    """The p-value of uniform cells; with 30 or more expected in each, the χ² law holds well enough."""
    counts = np.bincount(codes, minlength=cells)
    assert counts.sum() >= 30 * cells
    return scipy.stats.chisquare(counts).pvalue


def bits(signs):
    return (signs.numpy() > 0).astype(int)


def drawn_codes(sketches):
    """Of all sketches what is drawn for both sides, coded jointly, and how many codes there are."""
    if isinstance(sketches[0], TensorSRHT):  # widths padded to 8
        yield np.concatenate([(8 * s.left_positions + s.right_positions).numpy() for s in sketches]), 64
        joint = [
            1 * bits(s.left_signs[:-1]) + 2 * bits(s.left_signs[1:]) + 4 * bits(s.right_signs[1:]) for s in sketches
        ]
        yield np.concatenate(joint), 8
    else:  # four rows
        buckets = [(4 * s.left_buckets + s.right_buckets).numpy() for s in sketches]
        signs = [bits(s.left_signs) + 2 * bits(s.right_signs) for s in sketches]
        yield np.concatenate([4 * b + sign for b, sign in zip(buckets, signs, strict=True)]), 64


def many(kind, seeds=400):
    return [kind(60 if kind is TensorSRHT else 4, 8, 8, seed=seed, device="cpu") for seed in range(seeds)]


def test_positions_buckets_and_signs_are_independent_and_uniform(kind):
    """χ² tests, each with a false-alarm rate of 1e-6."""
    for codes, cells in drawn_codes(many(kind)):
        assert chi_square(codes, cells) > FALSE_ALARM


@pytest.mark.parametrize(
    ("kind", "copied", "source"),
    [
        (TensorSRHT, "right_positions", "left_positions"),
        (TensorSRHT, "right_signs", "left_signs"),
        (TensorSketch, "right_buckets", "left_buckets"),
        (TensorSketch, "right_signs", "left_signs"),
    ],
)
def test_planted_draws_that_are_tied_are_found(kind, copied, source):
    """At most half of the cells can occur, so that χ² is at least the number of draws: the miss rate is zero."""
    sketches = many(kind)
    for sketch in sketches:
        setattr(sketch, copied, getattr(sketch, source))
    assert min(chi_square(codes, cells) for codes, cells in drawn_codes(sketches)) < FALSE_ALARM


@pytest.mark.parametrize("side", ["left_signs", "right_signs"])
def test_planted_missing_signs_are_found(kind, side):
    """Likewise half of the cells cannot occur: the miss rate is zero."""
    sketches = many(kind)
    for sketch in sketches:
        setattr(sketch, side, torch.ones(8, dtype=torch.float64))
    assert min(chi_square(codes, cells) for codes, cells in drawn_codes(sketches)) < FALSE_ALARM


# Norms and inner products are unbiased: E⟨S v, S w⟩ = ⟨v, w⟩.

DRAWS, ROWS = 500, 16
LIMIT = scipy.stats.norm.isf(FALSE_ALARM / 2)


def deviation(products, v, w):
    """|mean of ⟨S v, S w⟩ − ⟨v, w⟩| in units of a bound on its standard deviation over DRAWS sketches of ROWS rows.

    For both sketches the variance of ⟨S v, S w⟩ is at most 9‖v‖²‖w‖²/s. TensorSRHT: given the signs it is a mean of s
    independent terms y_j·z_j, where y and z are Rademacher chaoses of degree 2, so E y²z² ≤ √(E y⁴·E z⁴) ≤ 9‖v‖²‖w‖² by
    hypercontractivity; and the mean given the signs is ⟨v, w⟩. TensorSketch: the error is a sum over pairs of
    coordinates that differ and share a bucket, which happens with probability 1/s; its second moment is at most 1/s
    times that of the chaoses of |v| and |w|.
    """
    assert len(products) == DRAWS
    return abs(np.mean(products) - v @ w) / math.sqrt(9 / (ROWS * DRAWS) * (v @ v) * (w @ w))


def inner_products(kind, factors, coefficients, change=lambda sketch: None):
    """⟨S v, S v⟩ and ⟨S v, S w⟩ of DRAWS sketches, where the coefficients (n·c, 2) combine the rows to v and w."""
    results = []
    for seed in range(DRAWS):
        sketch = kind(ROWS, *factors.widths, seed=seed, device="cpu")
        change(sketch)
        v, w = (factors.sketched(sketch) @ coefficients).T
        results.append((v @ v, v @ w))
    return np.transpose(results)


@cache
def sampled(kind):
    """Two vectors v and w, sums of several outer products, and their inner products after DRAWS sketches."""
    factors, coefficients = Factors(MASKS["random"], 3), random(9).standard_normal((15, 2))
    return *(coefficients.T @ factors.rows), *inner_products(kind, factors, coefficients)


def test_norms_and_inner_products_are_unbiased(kind):
    """z-tests with a bounded variance: each fails a correct sketch with a rate of 1e-6 (normal approximation)."""
    v, w, norms, products = sampled(kind)
    assert deviation(norms, v, v) < LIMIT
    assert deviation(products, v, w) < LIMIT
    assert LIMIT * math.sqrt(9 / (ROWS * DRAWS)) < 0.17  # what can hide: a sixth of ‖v‖·‖w‖


@pytest.mark.parametrize("factor", [ROWS, 1 / ROWS, 2, 13 * 11 / 256])
def test_a_planted_wrong_scale_is_found(kind, factor):
    """1/√s dropped or taken twice, √2, the padding taken for the width.

    Such a fault is missed only where the unscaled mean is off by 0.41‖v‖² or more, 12 standard deviations: a miss rate
    of 1e-33 by the normal approximation, of 0.7% for certain (Chebyshev).
    """
    v, _, norms, _ = sampled(kind)
    assert deviation(factor * norms, v, v) > LIMIT


def test_planted_missing_signs_of_a_tensor_sketch_bias_the_norms():
    """For v of all ones S v sums to m_ℓ·m_{ℓ−1}, so ‖S v‖² is at least ‖v‖²·m_ℓ·m_{ℓ−1}/s: the miss rate is zero."""
    factors = Factors((np.ones((1, 6), bool), np.ones((1, 7), bool)), 1)
    for values in (factors.arguments[1], factors.arguments[3]):
        values.fill_(1.0)

    def without_signs(sketch):
        sketch.left_signs, sketch.right_signs = torch.ones_like(sketch.left_signs), torch.ones_like(sketch.right_signs)

    v = np.ones(42)
    norms, _ = inner_products(TensorSketch, factors, np.ones((1, 2)), without_signs)
    assert deviation(norms, v, v) > LIMIT


# With s = 8n rows a sketch embeds the space that n rows of a Jacobian span: preconditioned by R of S Jᵀ = Q R, the Gram
# matrix has a condition number of about ((1 + √(n/s))/(1 − √(n/s)))², the limit for Gaussian sketches as n grows.

SPAN, TRIALS = 32, 40
SLACK = 1.3  # over that limit; at n = 32, 596 and 598 of 600 other trials were within it
PROBABILITY, NEEDED = 0.97, 31


def well_conditioned(kind, change=lambda sketch: None):
    """In how many of TRIALS Jacobians and seeds the condition number is within the slack."""
    ratio = math.sqrt(1 / 8)
    limit = ((1 + ratio) / (1 - ratio)) ** 2
    count = 0
    for seed in range(TRIALS):
        masks = random((10, seed)).random((SPAN, 60)) < 0.4, random((11, seed)).random((SPAN, 50)) < 0.4
        factors = Factors(masks, 1, seed=(12, seed))
        sketch = kind(8 * SPAN, *factors.widths, seed=seed, device="cpu")
        change(sketch)
        R = np.linalg.qr(factors.sketched(sketch), mode="r")
        preconditioned = scipy.linalg.solve_triangular(R, factors.rows, trans="T")  # R⁻ᵀ J
        count += np.linalg.cond(preconditioned @ preconditioned.T) <= SLACK * limit
    return count


def test_a_sketch_of_8n_rows_embeds_the_span_of_n_rows(kind):
    """A binomial test: fails with a rate below 1e-6 where a trial is within the slack with a probability of 0.97."""
    assert scipy.stats.binom.cdf(NEEDED - 1, TRIALS, PROBABILITY) < FALSE_ALARM
    assert well_conditioned(kind) >= NEEDED


def tie_positions(sketch):
    sketch.right_positions = sketch.left_positions


def use_few_buckets(sketch):
    sketch.left_buckets, sketch.right_buckets = sketch.left_buckets % 32, sketch.right_buckets % 32


@pytest.mark.parametrize(("kind", "fault"), [(TensorSRHT, tie_positions), (TensorSketch, use_few_buckets)])
def test_a_planted_sketch_of_fewer_rows_than_it_seems_embeds_no_such_span(kind, fault):
    """At most 64 rows differ, or are not zero: 2n, for which the limit is 7.7 times as large.

    Where a trial is within the slack with a probability of at most 0.2, the miss rate is below 1e-12.
    """
    assert scipy.stats.binom.sf(NEEDED - 1, TRIALS, 0.2) < 1e-12
    assert well_conditioned(kind, fault) < NEEDED


# The sketch of a network's whole Jacobian.


@pytest.mark.parametrize("trained_layers", [None, (1, 3), (2,)])
def test_the_sketched_jacobian_is_the_sum_over_the_trained_layers(kind, trained_layers):
    network = random_network(6, (9, 7, 8), outputs=2, activation=("shifted_relu", 0.1), seed=3)
    implementation = impl.factory(network, dtype="float64", trained_layers=trained_layers)
    X = random(20).standard_normal((4, 6))
    expected, bound = np.zeros((20, 8)), 0.0
    for layer, (g, h) in enumerate(implementation.jacobian_factors(X), start=1):
        if layer in (trained_layers or (1, 2, 3)):
            rows = np.einsum("ioa,if->ioaf", g, h).reshape(8, -1)
            widths = g.shape[2], h.shape[1]
            expected += explicit(kind(20, *widths, seed=5 + layer, device="cpu"), widths) @ rows.T
            bound = bound + 100 * 2.0**-53 * np.abs(rows).sum(axis=1)
    got = implementation.sketched_jacobian(X, sketch=kind.name, rows=20, seed=5)
    assert (np.abs(got - expected) <= bound).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sketch": "gaussian"}, "sketch: expected one of tensor_srht, tensor_sketch"),
        ({"rows": 0}, "rows: expected a whole number of at least 1 and at most 54, got 0"),
        ({"rows": 55}, "rows: expected a whole number of at least 1 and at most 54, got 55"),
        ({"seed": 2**31}, "seed: expected a whole number of at least 0 and at most 2147483647"),
        ({"X": np.zeros((1, 5))}, "X: expected shape"),
    ],
)
def test_the_sketched_jacobian_refuses_bad_arguments_by_name(changes, message):
    implementation = impl.factory(random_network(6, (9, 8), seed=3))
    arguments = {"X": np.ones((2, 6)), "sketch": "tensor_srht", "rows": 5, "seed": 0} | changes
    with pytest.raises(ArgumentError, match=message):
        implementation.sketched_jacobian(arguments.pop("X"), **arguments)


# Devices.


@pytest.mark.cuda
@pytest.mark.parametrize("masks", MASKS)
def test_a_cuda_device_gives_the_same_sketch_up_to_rounding(kind, masks):
    factors = Factors(MASKS[masks], 3)
    rows = min(9, math.prod(factors.widths))
    here, there = (kind(rows, *factors.widths, seed=8, device=device) for device in ("cpu", "cuda"))
    for name, value in vars(here).items():
        if isinstance(value, torch.Tensor):
            assert getattr(there, name).is_cuda
            assert torch.equal(getattr(there, name).cpu(), value)
    moved = [
        part.cuda()
        if isinstance(part, torch.Tensor)
        else Support(part.offsets.cuda(), part.sample_of_entry.cuda(), part.units.cuda(), part.width)
        for part in factors.arguments
    ]
    got = there.apply(*moved, WorkMeter(torch.device("cuda")), 1)
    assert got.is_cuda
    bound = 200 * 2.0**-53 * np.abs(factors.rows).sum(axis=1)
    assert (np.abs(got.cpu().numpy() - factors.sketched(here)) <= bound).all()
