"""All sets of kernels against dense NumPy, on random and ragged supports.

The tolerance is that of a sum in any order: γ_k Σ|a||b| with k terms; k is below 200 here, so 400 roundings do.
"""

from copy import deepcopy

import numpy as np
import pytest
import torch

from impl.kernels import portable, tabulated
from impl.kernels.factors import Factors
from impl.support import Support
from reference.contract import ArgumentError
from tests.impl.kernel_choices import ON_CPU, ON_CUDA, Placed

ROUNDINGS = {torch.float32: 400 * 2.0**-24, torch.float64: 400 * 2.0**-53}

#: Masks (samples, units) of the two sides of a table.
SUPPORTS = {
    "random": (np.random.default_rng(0).random((7, 40)) < 0.3, np.random.default_rng(1).random((7, 31)) < 0.4),
    "ragged": (
        np.arange(40)[None] < np.array([0, 1, 40, 0, 5, 17, 0])[:, None],
        np.arange(31)[None] >= 31 - np.array([3, 0, 31, 0, 1, 8, 30])[:, None],
    ),
    "one entry": (np.eye(3, 9, 4, dtype=bool), np.eye(3, 8, dtype=bool)),
    "nothing active": (np.zeros((3, 9), bool), np.zeros((3, 8), bool)),
    "one side empty": (np.ones((2, 9), bool), np.zeros((2, 8), bool)),
    "everything active": (np.ones((5, 33), bool), np.ones((5, 29), bool)),
    "one sample, one unit": (np.ones((1, 1), bool), np.ones((1, 1), bool)),
    "the same units in every sample": (np.tile(np.arange(20) % 3 == 0, (6, 1)), np.tile(np.arange(9) % 2 == 0, (6, 1))),
    "more rows than a block of the compiled kernel": (
        np.random.default_rng(2).random((3, 700)) < 0.05,
        np.random.default_rng(3).random((3, 12)) < 0.5,
    ),
}


@pytest.fixture(params=SUPPORTS)
def masks(request):
    return SUPPORTS[request.param]


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def dtype(request):
    return request.param


@pytest.fixture(params=[*ON_CPU, *ON_CUDA])
def placed(request):
    """Kernels on a device."""
    return Placed(*request.param)


BLOCKWISE = [*ON_CPU, *ON_CUDA, pytest.param(1, id="torch by one"), pytest.param(7, id="torch by seven")]


@pytest.fixture(params=BLOCKWISE)
def blockwise(request, monkeypatch):
    """The same, and the portable kernels with blocks taken in small parts."""
    if isinstance(request.param, int):
        monkeypatch.setattr(portable, "CHUNK", request.param)
        return Placed("torch", "cpu")
    return Placed(*request.param)


def support_of(mask):
    return Support.of_positions(torch.from_numpy(np.flatnonzero(mask)), *mask.shape)


def numbers(dtype, *shape, seed=9):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def dense(mask, values):
    result = np.zeros(mask.shape)
    result[mask] = values.double().numpy()
    return result


def assert_rounded(got, expected, magnitude, dtype):
    assert got.shape == expected.shape
    assert (np.abs(got.double().cpu().numpy() - expected) <= ROUNDINGS[dtype] * magnitude).all()


def test_select_finds_what_is_strictly_above_the_threshold(placed, masks, dtype):
    mask, _ = masks
    z = torch.where(torch.from_numpy(mask), 1.0 + numbers(dtype, *mask.shape).abs(), 0.5)
    z[~torch.from_numpy(mask)] = torch.tensor([0.5, 0.1, -3.0], dtype=dtype).repeat(mask.size)[: (~mask).sum()]
    support, values = placed.kernels.select(placed.put(z), 0.5)
    expected = support_of(mask)
    for name in ("offsets", "sample_of_entry", "units"):
        assert torch.equal(getattr(support, name).cpu(), getattr(expected, name))
        assert getattr(support, name).dtype == torch.int32
    assert torch.equal(support.host_offsets, expected.offsets) and not support.host_offsets.is_cuda
    assert support.width == mask.shape[1]
    assert torch.equal(values.cpu(), z[torch.from_numpy(mask)])


def test_a_threshold_is_rounded_to_the_dtype(placed, dtype):
    """So z = τ is inactive, whatever the digits of τ."""
    z = torch.tensor([[0.1, float(np.nextafter(np.array(0.1).astype(str(dtype)[6:]), 1))]], dtype=dtype)
    support, _ = placed.kernels.select(placed.put(z), 0.1)
    assert support.units.tolist() == [1]


@pytest.mark.parametrize("fan_out", [1, 2, 37, 64, 130])
def test_gather_is_the_dense_product(placed, masks, dtype, fan_out):
    mask, _ = masks
    values, table = numbers(dtype, int(mask.sum())), numbers(dtype, mask.shape[1], fan_out, seed=10)
    got = placed.kernels.gather(*map(placed.put, (support_of(mask), values, table)))
    h, T = dense(mask, values), table.double().numpy()
    assert_rounded(got, h @ T, np.abs(h) @ np.abs(T), dtype)


@pytest.mark.parametrize("outputs", [1, 3])
def test_gather_restricted_is_the_dense_product_at_the_rows_named(blockwise, masks, dtype, outputs):
    rows, columns = masks
    values = numbers(dtype, outputs, int(columns.sum()))
    table = numbers(dtype, rows.shape[1], columns.shape[1], seed=11)
    arguments = support_of(rows), support_of(columns), values, table
    got = blockwise.kernels.gather_restricted(*map(blockwise.put, arguments))
    T = table.double().numpy()
    assert got.shape == (outputs, rows.sum())
    for output in range(outputs):
        g = dense(columns, values[output])
        assert_rounded(got[output], (g @ T.T)[rows], (np.abs(g) @ np.abs(T).T)[rows], dtype)


def planned(placed, masks, dtype, vectors=1):
    rows, columns = masks
    table = placed.put(numbers(dtype, rows.shape[1], columns.shape[1], seed=12))
    row_values = numbers(dtype, int(rows.sum()), vectors)
    column_values = numbers(dtype, int(columns.sum()), vectors, seed=13)
    factors = support_of(rows), row_values, support_of(columns), column_values
    update = placed.kernels.plan_update(*map(placed.put, factors), table)
    left = np.concatenate([dense(rows, vector) for vector in row_values.T])  # each sample once for every vector
    right = np.concatenate([dense(columns, vector) for vector in column_values.T])
    return table, update, left, right


@pytest.mark.parametrize("vectors", [1, 2, 7])
def test_an_update_subtracts_the_outer_products(blockwise, masks, dtype, vectors):
    table, update, left, right = planned(blockwise, masks, dtype, vectors)
    before = table.double().cpu().numpy().copy()
    update.apply()
    assert_rounded(table, before - left.T @ right, np.abs(before) + np.abs(left).T @ np.abs(right), dtype)
    untouched = ~(masks[0].T.astype(int) @ masks[1].astype(int)).astype(bool)
    np.testing.assert_array_equal(table.double().cpu().numpy()[untouched], before[untouched])


@pytest.mark.parametrize("blockwise", BLOCKWISE[1:], indirect=True)  # compiled ones cannot fail once they have begun
def test_an_update_is_reverted_to_the_last_bit(blockwise, masks, dtype):
    table, update, _, _ = planned(blockwise, masks, dtype)
    before = table.clone()
    update.revert()  # before it is applied it does no harm
    update.apply()
    update.revert()
    assert torch.equal(table, before)
    update.revert()  # nor does it twice
    assert torch.equal(table, before)
    update.apply()
    assert torch.equal(table, before) == (not (masks[0] & masks[1].any(1)[:, None]).any())


@pytest.mark.parametrize("after", [0, 1, 2, 5])
def test_an_update_broken_off_after_some_blocks_is_reverted_to_the_last_bit(after, monkeypatch):
    monkeypatch.setattr(portable, "CHUNK", 16)
    table, update, _, _ = planned(Placed("torch", "cpu"), SUPPORTS["random"], torch.float64)
    before = table.clone()
    multiply = torch.matmul
    calls = []

    def failing(a, b):
        calls.append(None)
        if len(calls) > after:
            raise MemoryError("planted")
        return multiply(a, b)

    monkeypatch.setattr(torch, "matmul", failing)
    with pytest.raises(MemoryError, match="planted"):
        update.apply()
    assert torch.equal(table, before) == (after == 0)
    update.revert()
    assert torch.equal(table, before)


def test_no_part_of_a_block_is_larger_than_the_chunk(monkeypatch):
    monkeypatch.setattr(portable, "CHUNK", 50)
    rows, columns = SUPPORTS["everything active"]
    for parts in (portable._blocks, portable._parts):
        sizes = [part.positions.numel() for part in parts(support_of(rows), support_of(columns))]
        assert sum(sizes) == rows.sum() * columns.shape[1]
        assert max(sizes) <= 50


def test_a_support_orders_its_entries_by_sample_and_by_unit():
    mask = SUPPORTS["ragged"][0]
    support = support_of(mask)
    assert support.counts.tolist() == mask.sum(axis=1).tolist()
    order = support.by_unit
    units = support.units[order.entry.long()]
    assert (units.diff() >= 0).all()
    for unit in range(mask.shape[1]):
        entries = order.entry[order.offsets[unit] : order.offsets[unit + 1]]
        assert support.sample_of_entry[entries.long()].tolist() == np.flatnonzero(mask[:, unit]).tolist()
    values = numbers(torch.float64, 2, support.entries)
    np.testing.assert_array_equal(support.densify(values)[:, 1].numpy(), dense(mask, values[1]))
    other = support_of(SUPPORTS["ragged"][1])
    assert support.pairs_with(other) == int((mask.sum(axis=1) * SUPPORTS["ragged"][1].sum(axis=1)).sum())


@pytest.mark.parametrize("tabulating", [ON_CPU[1], ON_CPU[2], *ON_CUDA])
def test_a_table_holds_nothing_of_the_one_before(tabulating):
    placed = Placed(*tabulating)
    wide, narrow = (placed.put(Support.of_positions(torch.tensor(at), 2, 5)) for at in ([0, 3, 4, 6, 9], [1, 7]))
    placed.kernels.tabulate(wide, placed.put(torch.ones(3, 5)))
    table = placed.kernels.tabulate(narrow, placed.put(torch.tensor([[2.0, 3.0]])))
    assert table.tolist() == [[0, 0], [2, 0], [0, 3], [0, 0], [0, 0]]
    assert int(placed.kernels.tabulate(wide, placed.put(torch.zeros(3, 5))).count_nonzero()) == 0


def grown(placed, dtype, masks, seed=20):
    """Factors of a vector on each of the masks, and the vectors as dense arrays."""
    factors, vectors = Factors(*masks[0].shape, placed.put(torch.zeros(1, dtype=dtype))), []
    for term, mask in enumerate(masks):
        support, values = placed.put(support_of(mask)), numbers(dtype, int(mask.sum()), seed=seed + term)
        factors.reserve(placed.kernels.unions(factors, support, factors, support).longest_left, term + 1)
        placed.kernels.insert(factors, support, placed.put(values))
        vectors.append(dense(mask, values))
    return factors, np.stack(vectors, axis=1)  # (samples, t, m)


SHARED = np.random.default_rng(4).random((4, 3, 60)) < np.array([0.1, 0.5, 0.0, 1.0])[:, None, None]


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("group_bytes", [tabulated.GROUP_BYTES, 1], ids=["together", "one by one"])
def test_products_with_vectors_side_by_side(placed, dtype, outputs, group_bytes, monkeypatch):
    monkeypatch.setattr(tabulated, "GROUP_BYTES", group_bytes)
    mask = np.random.default_rng(5).random((5, 60)) < 0.4
    support, values = support_of(mask), numbers(dtype, outputs, int(mask.sum()))
    h = np.stack([dense(mask, value) for value in values])  # (outputs, n, m)
    for terms in range(1, len(SHARED) + 1):
        factors, vectors = grown(placed, dtype, SHARED[:terms])
        inner = placed.kernels.project(factors, placed.put(support), placed.put(values))
        expected = np.einsum("jta,oia->jtoi", vectors, h).reshape(3, terms, -1)
        bound = np.einsum("jta,oia->jtoi", np.abs(vectors), np.abs(h)).reshape(3, terms, -1)
        assert_rounded(inner, expected, bound, dtype)

        given = placed.put(numbers(dtype, 3, terms, 5 * outputs, seed=30))
        coefficients = given.double().cpu().numpy()
        everywhere = np.einsum("jta,jtx->ax", vectors, coefficients)
        bound = np.einsum("jta,jtx->ax", np.abs(vectors), np.abs(coefficients))
        out = placed.put(torch.ones(60, 5 * outputs, dtype=dtype))
        placed.kernels.spread(factors, given, out, anew=True)
        assert_rounded(out, everywhere, bound, dtype)
        placed.kernels.spread(factors, given, out, anew=False)
        assert_rounded(out, 2 * everywhere, 3 * bound, dtype)

        found = placed.kernels.collect(factors, given, placed.put(support))
        for output in range(outputs):
            at = slice(5 * output, 5 * (output + 1))
            assert_rounded(found[output], everywhere[:, at].T[mask], bound[:, at].T[mask], dtype)


def test_unions_are_measured_before_they_come_about(placed, dtype):
    (right, _), (left, _) = grown(placed, dtype, SHARED[:2]), grown(placed, dtype, SHARED[:1])
    before, more = np.stack([SHARED[0] | SHARED[1], SHARED[0]]), np.stack([SHARED[1], SHARED[1]])
    supports = [placed.put(support_of(mask)) for mask in more]
    sizes = (before | more).sum(axis=2)
    assert placed.kernels.unions(right, supports[0], left, supports[1]) == (
        *sizes.sum(axis=1),
        *sizes.max(axis=1),
        (sizes[0] * sizes[1]).sum(),
    )


def test_updates_that_do_not_fit_the_lists_are_refused():
    pytest.importorskip("numba")
    from impl.kernels import compiled

    factors = Factors(1, 8, torch.zeros(1))
    factors.values = torch.zeros(1).expand(1, 2**31, 64)  # takes no memory
    with pytest.raises(ArgumentError, match="X: expected fewer samples"):
        compiled.by_unit(factors)


def test_vectors_that_come_later_are_met_like_the_first(placed):
    """Where the union grows, and where it does not."""
    kernels, masks = placed.kernels, [np.eye(2, 6, at, dtype=bool) for at in (0, 0, 2)]
    factors = Factors(2, 6, placed.put(torch.zeros(1)))
    support, ones = placed.put(support_of(np.ones((1, 6), bool))), placed.put(torch.ones(1, 6))
    for term, mask in enumerate(masks):
        factors.reserve(term // 2 + 1, term + 1)
        kernels.insert(factors, placed.put(support_of(mask)), placed.put(torch.tensor([1.0, 2.0])))
        assert kernels.project(factors, support, ones)[:, :, 0].tolist() == [[1.0] * (term + 1), [2.0] * (term + 1)]
    twin = deepcopy(factors)
    twin.values += 1.0  # on the union of both units, and beyond it, where nobody looks
    assert kernels.project(twin, support, ones)[:, 0, 0].tolist() == [3.0, 4.0]


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("block", [slice(0, 7), slice(0, 1), slice(2, 6), slice(6, 7)], ids=str)
def test_inner_products_are_those_of_the_dense_vectors(placed, dtype, outputs, block):
    for mask in (SUPPORTS["random"][0], SUPPORTS["ragged"][0]):
        assert_inner_products(placed, dtype, mask, outputs, block)


# Some 50 pairs of entries have their unit in common, of almost 50 000.
FEW_MEETINGS = np.random.default_rng(4).random((12, 900)) < 0.03


@pytest.mark.parametrize("outputs", [1, 3])
def test_inner_products_of_samples_that_have_few_units_in_common(placed, dtype, outputs):
    assert_inner_products(placed, dtype, FEW_MEETINGS, outputs, slice(0, 12))


def assert_inner_products(placed, dtype, mask, outputs, block):
    values = numbers(dtype, outputs, int(mask.sum()))
    v = np.stack([dense(mask, value) for value in values], axis=1)  # (n, outputs, m)
    vectors = [placed.put(values), placed.put(values[:1])]
    found, less = placed.kernels.inner_products(placed.put(support_of(mask)), vectors, block)
    torch.testing.assert_close(less, found[::outputs, ::outputs], rtol=1e-12, atol=1e-12)
    assert found.dtype == torch.float64
    rows, columns = v.reshape(-1, v.shape[2]), v[block].reshape(-1, v.shape[2])
    assert_rounded(found, rows @ columns.T, np.abs(rows) @ np.abs(columns).T, torch.float64)


def test_meetings_are_the_pairs_of_entries_with_a_unit_in_common():
    loops = pytest.importorskip("impl.kernels.meeting_loops")
    support = support_of(FEW_MEETINGS)
    lists = support.units.numpy().view(np.uint32), support.width
    samples, units = np.nonzero(FEW_MEETINGS)
    pairs = {(e, f) for e, f in np.argwhere(units[:, None] == units) if samples[f] < samples[e]}
    meetings, count = loops.list_meetings(*lists, 2 * len(pairs))
    assert count == len(pairs) > 0
    assert set(map(tuple, meetings[:, :count].T.astype(int))) == pairs
    assert loops.list_meetings(*lists, len(pairs) - 1)[1] == -1
