"""Where the code changes its course for the sake of speed or memory, and that it does so where it says."""

import threading

import numpy as np
import pytest
import torch

import impl
from impl import gauss_newton, gram
from impl.jacobian import JacobianFactors
from impl.kernels import Factors, compiled, loops, select_kernels, tabulated
from impl.kernels.portable import TorchKernels
from impl.sketch.blocks import sample_blocks
from impl.solvers import conjugate_gradients
from impl.solvers.preconditioner import SketchedCholesky
from impl.support import Support
from impl.weights import RecompressWhenGrown, low_rank, panels
from impl.work import WorkMeter
from reference import random_network

CPU = torch.device("cpu")
COMPILED = select_kernels("compiled", CPU)


def network(**options):
    return impl.factory(random_network(5, [12, 9], outputs=2, activation=("shifted_relu", -0.5)), **options)


def batch(seed=0, samples=3):
    generator = np.random.default_rng(seed)
    return generator.standard_normal((samples, 5)), generator.standard_normal((samples, 2))


def support(counts, width):
    """The first units of every sample, as many as it is to have."""
    mask = torch.arange(width) < torch.tensor(counts)[:, None]
    return Support.of_positions(mask.view(-1).nonzero()[:, 0], *mask.shape)


@pytest.mark.parametrize("spare", [0, -1])
def test_a_gram_matrix_is_kept_up_to_its_bytes(spare, monkeypatch):
    X, y = batch()
    monkeypatch.setattr(gauss_newton, "GRAM_BYTES", 8 * (3 * 2) ** 2 + spare)
    report = network().step(X, y, damping=1.0)
    assert bool(report.work["gram"].layers) == (spare == 0)


def test_a_gram_matrix_is_kept_at_ordinary_sizes():
    assert network().step(*batch(samples=40), damping=1.0).work["gram"].layers


def test_a_gram_matrix_and_five_copies_are_to_fit_the_memory(monkeypatch):
    asked = []
    monkeypatch.setattr(gram, "affordable", lambda name, size: asked.append((name, size)))
    network().gram(batch()[0])
    assert asked == [("X", 6 * 8 * (3 * 2) ** 2)]


def test_small_batches_go_through_tables_in_one_piece(monkeypatch):
    X = batch(samples=40)[0]
    ours = network(dtype="float64")
    trace = ours._trace(ours._samples(X))
    factors = JacobianFactors(trace.supports, trace.hidden, ours._left(trace), [1, 2])
    work = WorkMeter(CPU)
    assert len(list(gram._column_blocks(factors, COMPILED, work))) == 1
    assert len(list(sample_blocks(trace.supports[0], trace.supports[1], 64))) == 1
    lazy = network(weights="lazy", maintenance="keep", kernels="torch")
    lazy.step(*batch(), damping=1.0)
    spreads, spread = [], TorchKernels.spread
    monkeypatch.setattr(TorchKernels, "spread", lambda *given, **how: spreads.append(given) or spread(*given, **how))
    lazy.weights[1].apply_transpose(
        trace.supports[1], trace.supports[2], torch.ones(2, trace.supports[2].entries), work
    )
    assert len(spreads) == 1


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_outputs_share_tables_of_a_bounded_size(outputs, monkeypatch):
    terms = low_rank.OuterProducts(support([2], 5), torch.ones(2), support([3], 8), torch.ones(3))
    D = low_rank.LowRank(5, 8, (terms,))
    monkeypatch.setattr(tabulated, "GROUP_BYTES", 4 * 5 * (outputs + 1) - 1)
    sizes = []
    spread = TorchKernels.spread
    monkeypatch.setattr(
        TorchKernels, "spread", lambda self, *rest, **how: sizes.append(rest[2].shape[1]) or spread(self, *rest, **how)
    )
    products = panels.Panels(1, 5, 8, TorchKernels())
    products.apply_transpose(D, support([4], 5), support([6], 8), torch.ones(5, 6), WorkMeter(CPU))
    assert sizes == [outputs] * (5 // outputs) + [5 % outputs] * (5 % outputs > 0)


def test_kernels_judge_by_their_multiply_adds_whether_threads_pay(monkeypatch):
    """An entry of lists that are merged costs as much as several."""
    said = []
    monkeypatch.setattr(compiled, "use_threads", lambda work: said.append(work) or 1)
    rows, columns = support([2, 0, 3], 7), support([1, 4, 5], 11)
    pairs = 2 * 1 + 3 * 5
    COMPILED.select(torch.ones(3, 7), 0.5)
    COMPILED.gather(rows, torch.ones(5), torch.ones(7, 11))
    COMPILED.gather_restricted(rows, columns, torch.ones(2, 10), torch.ones(7, 11))
    factors = Factors(3, 7, torch.ones(1))
    factors.reserve(3, 1)
    COMPILED.insert(factors, rows, torch.ones(5))
    COMPILED.project(factors, rows, torch.ones(2, 5))
    COMPILED.spread(factors, torch.ones(3, 1, 4), torch.zeros(7, 4), anew=False)
    COMPILED.collect(factors, torch.ones(3, 1, 6), rows)
    COMPILED.inner_products(rows, [torch.ones(2, 5)], slice(0, 2))
    COMPILED.plan_update(rows, torch.ones(5, 2), columns, torch.ones(10, 2), torch.ones(7, 11)).apply()
    merged = 5 * compiled.MERGING
    assert said == [3 * 7, 5 * 11, 2 * pairs, merged, 5 * 2, 5 * 4, 5 * 2, 5 * 2 * 2 * 2, 2 * pairs]


def test_a_thousand_multiply_adds_are_not_worth_a_second_thread(monkeypatch):
    used = []
    monkeypatch.setattr(compiled, "MOST_THREADS", 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(compiled.numba, "set_num_threads", used.append)
    monkeypatch.setattr(compiled, "_set", threading.local())
    assert [compiled.use_threads(work) for work in (1000, 2**30)] == used == [1, 2]


class Row:
    """A row of a table that tells whether it was copied."""

    def __init__(self, unit, copied):
        self.unit, self.copied = unit, copied

    def __getitem__(self, index):
        return 1.0

    def copy(self):
        """The row as it is."""
        self.copied.append(self.unit)
        return self


class Rows:
    """A table of such rows."""

    def __init__(self, table, copied):
        self.shape, self.copied = table.shape, copied

    def __getitem__(self, unit):
        return Row(int(unit), self.copied)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_is_read_whole_where_more_is_wanted_of_it_than_it_has_cache_lines(dtype, monkeypatch):
    kernel, copied = loops.gather_restricted, []

    def run(*arguments):
        kernel.py_func(*arguments[:6], Rows(arguments[6], copied), *arguments[7:])

    monkeypatch.setattr(loops, "gather_restricted", run)
    width = 80
    lines = width * dtype.itemsize // 64
    # Unit a is active in the samples from a on, and so are wanted the columns of those samples.
    rows, column_counts = support([1, 2, 3, 4, 5], 7), [3, 2, 2, lines - 3, 4]
    columns = support(column_counts, width)
    COMPILED.gather_restricted(
        rows, columns, torch.ones(1, columns.entries, dtype=dtype), torch.ones(7, width, dtype=dtype)
    )
    assert copied == [unit for unit in range(7) if sum(column_counts[unit:]) > lines]
    assert copied == [0, 1, 2, 3]


class Reads:
    """A table that notes whose rows are read."""

    def __init__(self, table, units):
        self.table, self.shape, self.units = table, table.shape, units

    def __getitem__(self, index):
        self.units.append(int(index[0]))
        return self.table[index]


def test_samples_share_the_rows_of_a_block_before_the_next(monkeypatch):
    kernel, units = loops.gather, []
    monkeypatch.setattr(loops, "BLOCK_ROWS", 8)
    monkeypatch.setattr(compiled, "NARROW", 0)
    monkeypatch.setattr(
        loops,
        "gather",
        lambda *arguments: kernel.py_func(*arguments[:3], Reads(arguments[3], units), *arguments[4:]),
    )
    out = COMPILED.gather(support([24, 24, 24], 24), torch.ones(72), torch.ones(24, 2))
    assert torch.equal(out, torch.full((3, 2), 24.0))
    assert units == [8 * block + unit for block in range(3) for _ in range(3) for unit in range(8)]
    units.clear()
    out = COMPILED.gather(support([4, 12, 6], 24), torch.ones(22), torch.ones(24, 2))
    assert out[:, 0].tolist() == [4.0, 12.0, 6.0]
    # Fours come with their block, and what is left of a sample with the last one.
    assert units == [*range(4), *range(8), *range(4), *range(8, 12), *range(4, 6)]


@pytest.mark.parametrize("growth", [2, 3])
def test_updates_are_recompressed_when_they_have_grown_by_that_multiple(growth):
    lazy = network(weights="lazy", maintenance=RecompressWhenGrown(growth=growth))
    found = [lazy.step(*batch(step), damping=1.0).recompressions for step in range(2 * growth)]
    assert found == 2 * ([0] * (growth - 1) + [2])  # both layers


def test_low_rank_updates_cost_what_carrying_them_along_counts():
    everywhere, full = support([5] * 3, 5), support([8] * 3, 8)
    terms = low_rank.OuterProducts(support([2, 5], 5), torch.ones(7), support([3, 1], 8), torch.ones(4))
    dense = low_rank.DenseFactors(torch.ones(5, 2), torch.ones(8, 2))
    for D in (low_rank.LowRank(5, 8, (terms, terms)), low_rank.LowRank(5, 8, (), dense)):
        work = WorkMeter(CPU)
        with work.phase("both"):
            products = panels.Panels(1, 5, 8, COMPILED)
            products.apply(D, everywhere, torch.ones(15), torch.zeros(8, 3), work)
            products.apply_transpose(D, everywhere, full, torch.ones(1, 24), work)
        assert (1 + len(D.terms) // 2) * D.cost(3) == work.phases["both"].multiply_adds  # of sparse terms it is half


def test_conjugate_gradients_stop_after_twice_the_rows_and_a_hundred():
    class OfSevenRows:
        rows = 7

    assert conjugate_gradients._most(None, OfSevenRows()) == 114
    assert conjugate_gradients._most(3, OfSevenRows()) == 3


class Diagonal:
    """A system with the eigenvalues 1 … 20."""

    rows, norm = 20, 20.0

    def product(self, vector):
        """A v."""
        return torch.arange(1.0, 21.0, dtype=torch.float64) * vector


@pytest.mark.parametrize("tolerance", np.geomspace(0.1, 1e-10, 19).tolist())
def test_conjugate_gradients_end_at_half_the_tolerance_relative_to_the_right_hand_side(tolerance):
    right, system = torch.ones(20, dtype=torch.float64), Diagonal()
    solver = conjugate_gradients.ConjugateGradientSolver(tolerance=tolerance)
    solution = solver.solve(system, right, WorkMeter(CPU))
    residual = torch.linalg.vector_norm(right - system.product(solution.values)) / torch.linalg.vector_norm(right)
    # The recurrence's residual differs from the true one by some hundred roundings.
    assert solution.solver == "cg" and residual <= 0.5 * tolerance + 1e-13


def test_a_sketch_with_as_many_rows_as_columns_preconditions_and_one_with_fewer_does_not():
    work = WorkMeter(CPU)
    root = torch.tensor([[2.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    vector = torch.tensor([1.0, -3.0], dtype=torch.float64)
    exact = torch.linalg.solve(root.T @ root, vector)
    # Of two triangular solves in float64, with a condition number below 8.
    assert torch.allclose(SketchedCholesky.of(root, 0.0, work).apply(vector, work), exact, rtol=1e-14)
    assert SketchedCholesky.of(root[:1], 0.0, work) is None
    assert SketchedCholesky.of(root[:1], 1.0, work) is not None
