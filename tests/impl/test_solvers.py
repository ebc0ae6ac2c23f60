"""The solvers on Gram matrices of real Jacobians: near-duplicate digits, singular ones, and ones that are not kept."""

import math
import re
from functools import cache

import numpy as np
import pytest
import scipy.linalg
import torch

import impl
from impl.gauss_newton import GaussNewtonSystem
from impl.gram import gram_product
from impl.jacobian import JacobianFactors
from impl.loss import LOSSES_BY_NAME
from impl.sketch import SKETCHES
from impl.solvers import SOLVERS, CholeskySolver, ConjugateGradientSolver, SketchedConjugateGradientSolver
from impl.work import WorkMeter
from reference import ArgumentError, SolveError, load_problem, random_network
from tests.impl.test_nothing_quadratic import NewStorages

EPS = np.finfo(np.float64).eps
ITERATIVE = {"cg": ConjugateGradientSolver, "sketched-cg": SketchedConjugateGradientSolver}
# With s = 8n rows, the limit of the condition number after preconditioning, for Gaussian sketches as n grows.
LIMIT = ((1 + math.sqrt(1 / 8)) / (1 - math.sqrt(1 / 8))) ** 2


@pytest.fixture(params=ITERATIVE)
def iterative(request):
    return ITERATIVE[request.param]


def meter():
    return WorkMeter(torch.device("cpu"))


def near_duplicates(samples, noise, seed=0):
    """Digits, and copies of them with noise of the given size in random directions."""
    problem = load_problem("digits", samples // 2, seed=seed)
    directions = np.random.default_rng((seed, 1)).standard_normal(problem.X.shape)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    X = np.concatenate([problem.X, problem.X + noise * directions])
    return X / np.linalg.norm(X, axis=1, keepdims=True), np.concatenate([problem.y, problem.y])


def spread_noise(samples, seed):
    """Log-uniform over 1e-4 … 1e-1, so that the small eigenvalues spread."""
    return 10 ** np.random.default_rng((seed, 2)).uniform(-4, -1, (samples // 2, 1))


@cache
def network_of(width, outputs=1):
    return random_network(64, [width, width], outputs=outputs)


def factors_of(X, width, outputs=1):
    implementation = impl.factory(network_of(width, outputs), dtype="float64")
    trace = implementation._trace(torch.tensor(X))
    factors = JacobianFactors(trace.supports, trace.hidden, implementation._left(trace), (1, 2))
    return factors, trace.outputs, implementation._kernels


def system_of(X, y, width, relative_damping, loss="squared"):
    """The system of a step at λ = relative_damping·‖G‖₂, its right-hand side, and G."""
    factors, outputs, kernels = factors_of(X, width, y.shape[1])
    curvature = LOSSES_BY_NAME[loss].curvature(outputs, torch.tensor(y))
    gram = impl.gauss_newton.gram_matrix(factors, kernels, meter()).numpy()
    damping = float(relative_damping * np.linalg.norm(gram, 2))
    return GaussNewtonSystem(factors, curvature, damping, kernels, meter()), curvature.whitened.reshape(-1), gram


# The preconditioner.


def sketched_root(system, sketch, seed):
    sketches = {
        layer: SKETCHES[sketch](8 * system.rows, *widths, seed=seed + layer, device="cpu")
        for layer, widths in system.layer_widths().items()
    }
    return system.sketched_root(sketches).numpy()


def preconditioned_condition(A, root, damping):
    """κ(R⁻ᵀ A R⁻¹), R from the QR factorization of [S Jᵀ B; √λ I], all by NumPy and SciPy but the sketch itself."""
    R = np.linalg.qr(np.vstack([root, math.sqrt(damping) * np.eye(len(A))]), mode="r")
    halfway = scipy.linalg.solve_triangular(R, A, trans="T")
    whole = scipy.linalg.solve_triangular(R, halfway.T, trans="T")
    values = np.linalg.eigvalsh((whole + whole.T) / 2)
    return values[-1] / values[0]


SIZES = [(32, 512), (64, 1024)]  # at 64 and 512 two samples are dead, and G is singular


@cache
def gram_and_roots(samples, width):
    """G of near-duplicates, and ten seeds' sketches of Jᵀ."""
    system, _, gram = system_of(*near_duplicates(samples, 1e-4), width, 0.0)
    assert np.diagonal(gram).all()
    assert np.linalg.cond(gram) >= 1e6
    return gram, [sketched_root(system, "tensor_srht", seed) for seed in range(10)]


@pytest.mark.parametrize(("samples", "width"), SIZES)
def test_a_sketch_of_8n_rows_brings_near_duplicates_to_a_condition_number_of_4(samples, width):
    gram, roots = gram_and_roots(samples, width)
    damping = 1e-6 * np.linalg.norm(gram, 2)
    A = gram + damping * np.eye(samples)
    assert np.linalg.cond(A) > 9e5  # the most there is at λ = 1e-6·‖G‖
    conditions = [preconditioned_condition(A, root, damping) for root in roots]
    print(f"n = {samples}, m = {width}, κ(G) = {np.linalg.cond(gram):.1e}, λ = 1e-6·‖G‖: {np.round(conditions, 2)}")
    assert max(conditions) <= 4


@pytest.mark.parametrize(("samples", "width"), SIZES)
def test_without_damping_all_directions_count_and_the_limit_is_that_of_theory(samples, width):
    """A slack of 1.3 over the limit for the finite size, as for random supports in test_sketch.py."""
    gram, roots = gram_and_roots(samples, width)
    conditions = [preconditioned_condition(gram, root, 0.0) for root in roots]
    print(f"n = {samples}, m = {width}, κ(G) = {np.linalg.cond(gram):.1e}, λ = 0: {np.round(conditions, 2)}")
    assert max(conditions) <= 1.3 * LIMIT


@pytest.mark.parametrize(("samples", "width", "seeds"), [(32, 512, 3), (64, 512, 2)])
def test_sketched_cg_needs_at_most_a_third_of_the_iterations_of_cg(samples, width, seeds):
    """Where plain cg ran out of iterations it would need more still: its count is then a lower bound."""
    counts = []
    for seed in range(seeds):
        system, right, _ = system_of(*near_duplicates(samples, spread_noise(samples, seed), seed), width, 1e-6)
        plain = ConjugateGradientSolver().solve(system, right, meter())
        sketched = SketchedConjugateGradientSolver(seed=seed).solve(system, right, meter())
        assert sketched.solver == "sketched-cg" and not sketched.notes
        counts.append((plain.report.iterations, sketched.report.iterations, plain.solver))
    print(f"n = {samples}, m = {width}: plain, sketched, and what solved where plain cg ran out: {counts}")
    assert all(sketched <= plain / 3 for plain, sketched, _ in counts)


# What is reported.


@pytest.mark.parametrize("loss", ["squared", "softmax_cross_entropy"])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-12])
def test_the_reported_figures_are_those_of_matrix_and_solution(iterative, tolerance, loss):
    """Ritz values lie within the spectrum, so that their ratio is at most κ, and is near it once cg has converged.

    κ(R)² is off by no more than the condition number after preconditioning, whose exact value is at most 1.3·LIMIT.
    """
    X, y = near_duplicates(16, 1e-2)
    if loss == "softmax_cross_entropy":
        y = np.eye(3)[np.arange(16) % 3]
    system, right, _ = system_of(X, y, 512, 1e-3, loss)
    solution = iterative(tolerance=tolerance).solve(system, right, meter())
    report, A, x, b = solution.report, system.matrix.numpy(), solution.values.numpy(), right.numpy()
    assert solution.solver == iterative().name and not solution.notes
    assert 0 < report.iterations <= 2 * len(b) + 100
    assert report.tolerance == tolerance
    assert report.backward_error <= tolerance

    residual, scale = np.linalg.norm(b - A @ x), np.linalg.norm(A, 2) * np.linalg.norm(x) + np.linalg.norm(b)
    rounding = len(b) * EPS
    assert residual / scale <= report.backward_error + rounding
    assert report.backward_error <= 1.1 * residual / scale + rounding  # the power iteration's ‖A‖ is a lower estimate
    assert 0.9 * np.linalg.norm(A, 2) <= system.norm <= (1 + rounding) * np.linalg.norm(A, 2)

    exact = np.linalg.cond(A)
    if iterative is ConjugateGradientSolver:
        assert report.condition_before == report.condition_after <= (1 + 1e-6) * exact
        assert report.condition_before >= exact / 2 or tolerance > 1e-6
    else:
        after = preconditioned_condition(A, sketched_root(system, "tensor_srht", 0), system.damping)
        assert after <= 1.3 * LIMIT
        assert exact / after <= report.condition_before <= exact * after
        assert 1 <= report.condition_after <= (1 + 1e-6) * after
        assert report.condition_after >= after / 1.5 or tolerance > 1e-6


def test_a_step_reports_its_solve(iterative):
    X, y = near_duplicates(16, 1e-2)
    implementation = impl.factory(network_of(512), dtype="float64", solver=iterative(tolerance=1e-9))
    report = implementation.step(X, y, damping=1.0)
    assert report.solver == iterative().name and not report.notes
    assert report.solve.iterations > 0
    assert report.solve.tolerance == 1e-9 >= report.solve.backward_error
    assert report.solve.condition_before > 10
    assert (report.solve.condition_after == report.solve.condition_before) == (report.solver == "cg")


# Misses.


def bits(implementation):
    return [weight.tobytes() for weight in implementation.to_network().weights]


def stepped(solver, X, y, steps=1, width=512, dtype="float64", **options):
    implementation = impl.factory(network_of(width), dtype=dtype, solver=solver)
    reports = [implementation.step(X, y, **options) for _ in range(steps)]
    return implementation, reports


def test_a_missed_tolerance_falls_back_to_cholesky_and_says_so(iterative):
    X, y = near_duplicates(16, 1e-3)
    solver = iterative(tolerance=1e-10, max_iterations=1, on_miss="fallback")
    implementation, (report,) = stepped(solver, X, y, damping=1e-3)
    direct, _ = stepped("cholesky", X, y, damping=1e-3)
    assert bits(implementation) == bits(direct)
    assert report.solver == "cholesky"
    assert len(report.notes) == 1
    assert re.fullmatch(
        rf"{solver.name} missed tolerance 1e-10 \(backward error \S+ after 1 iterations\): solved by cholesky",
        report.notes[0],
    )
    assert report.solve.iterations == 1
    assert report.solve.backward_error > report.solve.tolerance == 1e-10


def test_a_missed_tolerance_may_be_an_error_that_changes_nothing(iterative):
    X, y = near_duplicates(16, 1e-3)
    solver = iterative(tolerance=1e-10, max_iterations=1, on_miss="error")
    implementation = impl.factory(network_of(512), dtype="float64", solver=solver)
    before = bits(implementation)
    with pytest.raises(SolveError, match=rf"^solve: expected {solver.name} to reach tolerance 1e-10, got .*unchanged"):
        implementation.step(X, y, damping=1e-3)
    assert bits(implementation) == before


@pytest.mark.parametrize("sketch", SKETCHES)
def test_a_singular_sketch_falls_back_or_is_an_error(sketch):
    X, y = near_duplicates(16, 1e-1)
    solver = SketchedConjugateGradientSolver(sketch=sketch, rows=15)
    implementation, (report,) = stepped(solver, X, y, damping=0.0)
    assert bits(implementation) == bits(stepped("cholesky", X, y, damping=0.0)[0])
    expected = f"{solver.name} missed tolerance 1e-12 (the sketch of 15 rows is singular): solved by cholesky"
    assert report.notes == (expected,)
    assert report.solve.iterations == 0
    strict = SketchedConjugateGradientSolver(sketch=sketch, rows=15, on_miss="error")
    implementation = impl.factory(network_of(512), dtype="float64", solver=strict)
    with pytest.raises(SolveError, match="the sketch of 15 rows is singular"):
        implementation.step(X, y, damping=0.0)
    assert bits(implementation) == bits(impl.factory(network_of(512), dtype="float64"))


@pytest.mark.parametrize("sketch", SKETCHES)
def test_with_damping_a_sketch_of_few_rows_still_preconditions(sketch):
    X, y = near_duplicates(16, 1e-1)
    solver = SketchedConjugateGradientSolver(sketch=sketch, rows=15)
    _, (report,) = stepped(solver, X, y, damping=1.0)
    assert report.solver == solver.name and not report.notes


# Arguments.


@pytest.mark.parametrize("sketch", SKETCHES)
@pytest.mark.parametrize("width", [64, 48])
def test_more_rows_than_the_smallest_layer_has_weights_are_refused(sketch, width):
    """Also where TensorSRHT would pad the widths 48 to 64 and find room for as many."""
    smallest = width * min(width, 64)
    problem = load_problem("digits", 4)
    for rows, refused in ((smallest, False), (smallest + 1, True)):
        solver = SketchedConjugateGradientSolver(sketch=sketch, rows=rows)
        implementation = impl.factory(network_of(width), solver=solver)
        before = bits(implementation)
        if refused:
            message = f"rows: expected a whole number of at least 1 and at most {smallest}, got {rows}"
            with pytest.raises(ArgumentError, match=f"^{message}$"):
                implementation.step(problem.X, problem.y, damping=1.0)
            assert bits(implementation) == before
        else:
            assert implementation.step(problem.X, problem.y, damping=1.0).solver == solver.name


@pytest.mark.parametrize("value", [0, 0.0, 1, 1.0, -1, math.nan, math.inf, "x", "0.1", True, None, [0.1]])
def test_tolerances_that_promise_nothing_are_refused(iterative, value):
    with pytest.raises(ArgumentError, match=r"^tolerance: expected ") as caught:
        iterative(tolerance=value)
    assert caught.value.argument == "tolerance"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_iterations": 0}, "max_iterations: expected a whole number of at least 1, got 0"),
        ({"max_iterations": 1.5}, "max_iterations: expected a whole number of at least 1, got 1.5"),
        ({"max_iterations": True}, "max_iterations: expected a whole number of at least 1, got True"),
        ({"on_miss": "ignore"}, "on_miss: expected one of fallback, error, got 'ignore'"),
        ({"on_miss": None}, "on_miss: expected one of fallback, error, got None"),
    ],
)
def test_other_options_of_iterative_solvers_are_checked(iterative, options, message):
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        iterative(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sketch": "gaussian"}, "sketch: expected one of tensor_srht, tensor_sketch, got 'gaussian'"),
        ({"sketch": None}, "sketch: expected one of tensor_srht, tensor_sketch, got None"),
        ({"rows": 0}, "rows: expected a whole number of at least 1, got 0"),
        ({"rows": 2.0}, "rows: expected a whole number of at least 1, got 2.0"),
        ({"seed": -1}, "seed: expected a whole number of at least 0, got -1"),
    ],
)
def test_the_options_of_the_sketch_are_checked(options, message):
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        SketchedConjugateGradientSolver(**options)


@pytest.mark.parametrize("solver", ["lu", "", None, 3, ["cg"]])
def test_a_solver_that_is_not_known_is_refused(solver):
    message = f"solver: expected a solver, or one of {', '.join(SOLVERS)}, got {solver!r}"
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        impl.factory(network_of(64), solver=solver)


# Singular systems.


def awkward(name):
    problem = load_problem("digits", 12)
    X, y = problem.X, problem.y
    match name:
        case "duplicates":
            X[6:], y[6:] = X[:6], y[:6]
        case "duplicates with contrary targets":
            X[6:], y[6:] = X[:6], -y[:6]
        case "dead samples":
            X[2] = X[5] = 0.0
        case "all samples dead":
            X[:] = 0.0
    return X, y


AWKWARD = ("duplicates", "duplicates with contrary targets", "dead samples", "all samples dead", "plain")


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", AWKWARD)
def test_every_solver_survives_singular_systems_without_damping(name, dtype, solver):
    X, y = awkward(name)
    implementation, reports = stepped(solver, X, y, steps=3, dtype=dtype, damping=0.0)
    assert all(np.isfinite(weight).all() for weight in implementation.to_network().weights)
    assert all(report.solver == solver or report.notes for report in reports)  # what stood in is said
    if name == "all samples dead":
        assert bits(implementation) == bits(impl.factory(network_of(512), dtype=dtype))
    else:
        assert reports[-1].loss < reports[0].loss


@pytest.mark.parametrize("tolerance", [1e-3, 1e-12])
@pytest.mark.parametrize("name", ["duplicates with contrary targets", "dead samples", "all samples dead"])
def test_cg_does_not_pass_by_a_solution_so_large_that_any_residual_is_small_beside_it(name, tolerance):
    """The right-hand side has a part in the null space of G, along which cg used to go without end."""
    X, y = awkward(name)
    implementation, (report,) = stepped(ConjugateGradientSolver(tolerance=tolerance), X, y, damping=0.0)
    direct, _ = stepped("cholesky", X, y, damping=0.0)
    assert bits(implementation) == bits(direct)
    assert report.solver == "eigenvectors"
    assert "the rest of the right-hand side where the matrix is singular to rounding" in report.notes[0]
    assert "directions left out" in report.notes[1]


def update_bound(gram, damping, coefficients, tolerance):
    """How far the updates of two solves with (G + λI) q = r may be apart in the Frobenius norm.

    A backward error of ε moves q by at most 2κε‖q‖ to first order in κε, and updates by ‖J‖ = √‖G‖ times that. The
    direct solve has an error of its own, a few n·c roundings.
    """
    matrix = gram + damping * np.eye(len(gram))
    relative = 2 * np.linalg.cond(matrix) * (tolerance + 10 * len(gram) * EPS)
    assert relative < 0.1
    return math.sqrt(np.linalg.norm(gram, 2)) * relative * np.linalg.norm(coefficients)


def distance(implementation, other):
    pairs = zip(implementation.to_network().weights, other.to_network().weights, strict=True)
    return math.sqrt(sum(np.linalg.norm(a - b) ** 2 for a, b in pairs))


@pytest.mark.parametrize("tolerance", [1e-6, 1e-12])
@pytest.mark.parametrize("name", AWKWARD)
def test_a_damped_step_is_cholesky_s_within_the_tolerance(iterative, name, tolerance):
    X, y = awkward(name)
    direct = impl.factory(network_of(512), dtype="float64")
    gram, residual = direct.gram(X), (direct.forward(X) - y).reshape(-1)
    damping = 1e-2 * max(np.linalg.norm(gram, 2), 1.0)
    q = np.linalg.solve(gram + damping * np.eye(len(gram)), residual)
    direct.step(X, y, damping=damping)
    implementation, (report,) = stepped(iterative(tolerance=tolerance), X, y, damping=damping)
    assert report.solver == iterative().name
    assert distance(implementation, direct) <= update_bound(gram, damping, q, tolerance)


# Without keeping G.


@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax_cross_entropy", "huber"])
def test_products_without_a_kept_gram_matrix_are_those_with_it(monkeypatch, loss):
    """Both sum the same products in different orders: at most 4·n·c roundings of sums of absolute values."""
    generator = np.random.default_rng(0)
    X, c = load_problem("digits", 12).X, 3
    labels = generator.integers(c, size=12)
    y = np.eye(c)[labels] if loss == "softmax_cross_entropy" else np.where(generator.random((12, c)) < 0.5, -1.0, 1.0)
    factors, outputs, kernels = factors_of(X, 512, c)
    curvature = LOSSES_BY_NAME[loss].curvature(outputs, torch.tensor(y))
    kept = GaussNewtonSystem(factors, curvature, 0.5, kernels, meter())
    monkeypatch.setattr("impl.gauss_newton.GRAM_BYTES", 0)
    monkeypatch.setattr("impl.gram.TABLE_BYTES", 5 * 8 * 512 * c)  # blocks of five samples: 5 + 5 + 2
    free = GaussNewtonSystem(factors, curvature, 0.5, kernels, meter())
    assert kept._gram is not None and free._gram is None

    v = generator.standard_normal(12 * c)
    vector, G = torch.tensor(v), kept._gram.numpy()
    B = curvature.times_root(torch.eye(12 * c, dtype=torch.float64)).numpy()
    sums = np.abs(G) @ np.abs(v)
    roundings = 4 * len(v) * EPS
    for product in (
        gram_product(factors, vector, kernels, meter()),
        free.gram_product(vector.view(12, c)),
        kept.gram_product(vector.view(12, c)),
    ):
        assert (np.abs(product.numpy() - G @ v) <= roundings * sums).all()
    sums = np.abs(B).T @ np.abs(G) @ np.abs(B) @ np.abs(v) + 0.5 * np.abs(v)
    A = B.T @ G @ B + 0.5 * np.eye(12 * c)
    for system in (kept, free):
        assert (np.abs(system.product(vector).numpy() - A @ v) <= roundings * sums).all()
        np.testing.assert_allclose(system.matrix.numpy(), A, rtol=0, atol=roundings * np.abs(A).max())


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_step_without_a_kept_gram_matrix_is_the_step_with_it(monkeypatch, solver):
    X, y = near_duplicates(16, 1e-2)
    kept = impl.factory(network_of(512), dtype="float64", solver=solver)
    gram, residual = kept.gram(X), (kept.forward(X) - y).reshape(-1)
    q = np.linalg.solve(gram + np.eye(16), residual)
    kept.step(X, y, damping=1.0)
    monkeypatch.setattr("impl.gauss_newton.GRAM_BYTES", 0)
    monkeypatch.setattr("impl.gram.TABLE_BYTES", 5 * 8 * 512)
    free, (report,) = stepped(solver, X, y, damping=1.0)
    assert report.solver == solver
    bound = 2 * update_bound(gram, 1.0, q, SOLVERS[solver].tolerance)  # both are off
    assert distance(free, kept) <= bound


@pytest.mark.parametrize("bytes_kept", [0, 1 << 30])
def test_matrix_free_cg_allocates_no_matrix_of_its_size(monkeypatch, bytes_kept):
    """The control keeps G, and is seen to."""
    samples, width = 256, 64
    problem = load_problem("digits", samples)
    monkeypatch.setattr("impl.gauss_newton.GRAM_BYTES", bytes_kept)
    monkeypatch.setattr("impl.gram.TABLE_BYTES", 32 * width * 8)  # blocks of 32 samples, an eighth of G
    solver = ConjugateGradientSolver(tolerance=1e-2, on_miss="error")
    implementation = impl.factory(network_of(width), dtype="float64", solver=solver)
    damping = 0.1 * np.linalg.norm(implementation.gram(problem.X), 2)
    with NewStorages(implementation) as storages:
        report = implementation.step(problem.X, problem.y, damping=damping)
    assert report.solver == "cg"
    assert (storages.largest >= 8 * samples**2) == (bytes_kept > 0)
    assert bytes_kept or storages.largest <= 8 * samples**2 / 2


# Determinism.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_two_runs_take_the_same_steps_to_the_bit(solver, dtype):
    X, y = near_duplicates(16, 1e-2)
    runs = [stepped(solver, X, y, steps=3, dtype=dtype, learning_rate=0.5, damping=1e-2) for _ in range(2)]
    assert bits(runs[0][0]) == bits(runs[1][0])
    assert [report.solve.iterations for report in runs[0][1]] == [report.solve.iterations for report in runs[1][1]]
    assert runs[0][1][-1].loss == runs[1][1][-1].loss


def test_another_seed_is_another_preconditioner_of_the_same_system():
    X, y = near_duplicates(16, 1e-2)
    system, right, _ = system_of(X, y, 512, 1e-4)
    direct = CholeskySolver().solve(system, right, meter()).values.numpy()
    solutions = [SketchedConjugateGradientSolver(seed=seed).solve(system, right, meter()) for seed in (0, 1)]
    assert solutions[0].report.condition_before != solutions[1].report.condition_before
    for solution in solutions:
        np.testing.assert_allclose(
            solution.values.numpy(), direct, atol=2e4 * 2e-12 * np.linalg.norm(direct)
        )  # κ = 1e4
