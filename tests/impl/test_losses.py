"""The losses of the implementation against the oracle's: value, gradient, curvature by a root, and whole steps."""

import re

import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.datasets import load_digits

import impl
import reference.loss
from impl.curvature import BlockCurvature, DiagonalCurvature, UnitCurvature
from impl.gauss_newton import gauss_newton_coefficients
from impl.loss import LOSSES_BY_NAME
from impl.solvers import CholeskySolver, ConjugateGradientSolver
from impl.work import WorkMeter
from reference import LOSSES, ArgumentError, random_network
from reference.step import gauss_newton

EPS = np.finfo(np.float64).eps
SOLVERS = {"cholesky": CholeskySolver(), "cg": ConjugateGradientSolver()}


@pytest.fixture(params=LOSSES)
def loss(request):
    return request.param


def drawn(loss, samples, outputs, size=1.0, seed=0):
    """Outputs of a size, and targets of the loss."""
    generator = np.random.default_rng(seed)
    f = size * generator.standard_normal((samples, outputs))
    if loss == "softmax_cross_entropy":
        return f, np.eye(outputs)[generator.integers(outputs, size=samples)]
    if loss == "logistic":
        return f, generator.choice([-1.0, 1.0], (samples, outputs))
    return f, generator.standard_normal((samples, outputs))


def outputs_of(loss):
    return (2, 3, 10) if loss == "softmax_cross_entropy" else (1, 3)


def in_torch(f, y, dtype="float64"):
    return (torch.tensor(each, dtype=getattr(torch, dtype)) for each in (f, y))


def rounding(f):
    """Both sides take exponentials of differences of outputs: an absolute error of ε·|f| there is a relative one after.

    What they multiply is at most 1, and a few operations follow.
    """
    return 16 * EPS * (1 + np.abs(f).max())


# Value, gradient, curvature.


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_value_and_gradient_are_the_oracle_s(loss, dtype, size):
    for outputs in outputs_of(loss):
        f, y = in_torch(*drawn(loss, 20, outputs, size), dtype)
        f64, y64 = f.double().numpy(), y.double().numpy()
        value, gradient = LOSSES_BY_NAME[loss].value(f, y), LOSSES_BY_NAME[loss].gradient(f, y)
        expected = reference.loss.value(loss, f64, y64)
        assert value == pytest.approx(expected, rel=1e-14 * f64.size, abs=rounding(f64) * f64.size)
        assert gradient.dtype == torch.float64
        np.testing.assert_allclose(
            gradient.numpy(), reference.loss.gradient(loss, f64, y64), rtol=EPS, atol=rounding(f64)
        )


@pytest.mark.parametrize("size", [1e-3, 1.0, 10.0, 60.0, 1e3, 1e6])
def test_the_root_squares_to_the_oracle_s_hessian_and_r_is_given_by_it(loss, size):
    for outputs in outputs_of(loss):
        f, y = drawn(loss, 20, outputs, size)
        curvature = LOSSES_BY_NAME[loss].curvature(*in_torch(f, y))
        B = curvature.times_root(torch.eye(f.size, dtype=torch.float64)).numpy()
        H = scipy.linalg.block_diag(*reference.loss.hessian(loss, f, y))
        np.testing.assert_allclose(B @ B.T, H, atol=rounding(f))
        rest = 0.0 if curvature.rest is None else curvature.rest.numpy()
        r = (B @ curvature.whitened.numpy().reshape(-1)).reshape(f.shape) + rest
        np.testing.assert_allclose(r, reference.loss.gradient(loss, f, y), rtol=4 * EPS, atol=rounding(f))


def test_what_is_whitened_stays_of_a_size_that_a_tolerance_can_tell(loss):
    """An iterative solver stops by the norm of s: a sample that is wrong for certain must not hide the others in it."""
    for size in (1.0, 1e3, 1e6):
        f, y = drawn(loss, 50, outputs_of(loss)[-1], size)
        curvature = LOSSES_BY_NAME[loss].curvature(*in_torch(f, y))
        assert curvature.whitened.abs().max() <= max(1 / np.sqrt(EPS), np.abs(f - y).max() * (loss == "squared"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("squared", UnitCurvature),
        ("huber", DiagonalCurvature),
        ("logistic", DiagonalCurvature),
        ("softmax_cross_entropy", BlockCurvature),
    ],
)
def test_both_products_with_the_root_are_by_the_same_blocks(name, kind):
    f, y = drawn(name, 4, 3)
    curvature = LOSSES_BY_NAME[name].curvature(*in_torch(f, y))
    assert type(curvature) is kind
    unit = torch.eye(12, dtype=torch.float64)
    B = curvature.times_root(unit)
    np.testing.assert_array_equal(torch.stack([curvature.expand(row).reshape(-1) for row in unit]).T.numpy(), B.numpy())
    blocks = np.kron(np.eye(4), np.ones((3, 3))) if kind is BlockCurvature else np.eye(12)
    assert not B.numpy()[blocks == 0].any()
    M = torch.tensor(np.random.default_rng(1).standard_normal((5, 12)))
    np.testing.assert_allclose(curvature.times_root(M).numpy(), M.numpy() @ B.numpy(), atol=1e-14)


# The coefficients of a step.


class Written:
    """A system from a Gram matrix that is given."""

    smallest_layer = 10**6

    def __init__(self, gram, curvature, damping):
        self.gram, self.curvature, self.damping = torch.tensor(gram), curvature, damping
        self.rows = len(gram)
        unit = torch.eye(self.rows, dtype=torch.float64)
        self.matrix = curvature.times_root(curvature.times_root(self.gram).T) + damping * unit
        self.norm = float(torch.linalg.matrix_norm(self.matrix, 2))

    def product(self, vector):
        return self.matrix @ vector

    def gram_product(self, coefficients):
        return self.gram @ coefficients.reshape(-1)


def both_coefficients(loss, f, y, damping, solver="cholesky"):
    """q of the implementation and of the oracle, for a random well-conditioned G; and the former's notes."""
    J = np.random.default_rng(7).standard_normal((f.size, 10 * f.size))
    G = J @ J.T / J.shape[1]
    assert np.linalg.cond(G) < 10
    curvature = LOSSES_BY_NAME[loss].curvature(*in_torch(f, y))
    system = Written(G, curvature, damping)
    got = gauss_newton_coefficients(system, curvature, SOLVERS[solver], WorkMeter(torch.device("cpu")))
    r, H = reference.loss.gradient(loss, f, y), reference.loss.hessian(loss, f, y)
    return got.values.numpy(), gauss_newton(G, r, H, 1.0, damping), got.notes


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("damping", [0.0, 1e-3, 1.0])
def test_the_coefficients_are_the_oracle_s(loss, damping, solver):
    """Curvatures of outputs of size 1 are above 1e-2, so that all condition numbers are below 1e5."""
    accuracy = 1e5 * (1e-12 if solver == "cg" else 20 * EPS)
    for outputs in outputs_of(loss):
        f, y = drawn(loss, 5, outputs, seed=3)
        got, expected, _ = both_coefficients(loss, f, y, damping, solver)
        np.testing.assert_allclose(got, expected, rtol=0, atol=accuracy * np.abs(expected).max())


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("outputs", [1, 3])
def test_huber_outputs_beyond_the_edge_move_by_damping_alone(outputs, solver):
    f, y = drawn("huber", 5, outputs, size=4.0)
    beyond = int((np.abs(f - y) > 1).sum())
    assert 0 < beyond < f.size
    got, expected, notes = both_coefficients("huber", f, y, 0.5, solver)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)  # cg: κ < 100 at a tolerance of 1e-12
    assert notes == (f"{beyond} outputs without curvature move by r/λ",)


@pytest.mark.parametrize("outputs", [1, 3])
def test_without_damping_huber_outputs_beyond_the_edge_are_left_out(outputs):
    f, y = drawn("huber", 5, outputs, size=4.0)
    beyond = np.abs(f - y) > 1
    got, expected, notes = both_coefficients("huber", f, y, 0.0)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)  # κ < 10
    assert not got[beyond].any()
    assert notes[0] == f"{beyond.sum()} outputs without curvature, and no damping: left out"


def confidently_wrong(loss, margin):
    """Six samples; the outputs of the second one miss their targets by a margin."""
    f, y = drawn(loss, 6, 3, seed=5)
    f[1] = margin * y[1]
    return f, y


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("damping", [1e-2, 1.0])
@pytest.mark.parametrize("margin", [-30.0, -36.0, -37.0, -60.0, -300.0, -1e3, -1e6])
@pytest.mark.parametrize("loss", ["logistic", "softmax_cross_entropy"])
def test_a_confidently_wrong_sample_leaves_all_coefficients_right(loss, margin, damping, solver):
    """Direct: κ < 1e3. By cg: its tolerance of 1e-12 is beside s, which is at most 1/√ε = 7e7 (hence also -36, -37)."""
    got, expected, _ = both_coefficients(loss, *confidently_wrong(loss, margin), damping, solver)
    accuracy = 1e-12 * 1e8 if solver == "cg" else 1e-11
    np.testing.assert_allclose(got, expected, rtol=0, atol=accuracy * np.abs(expected).max())


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("margin", [-60.0, -300.0, -1e3, -1e6])
@pytest.mark.parametrize("loss", ["logistic", "softmax_cross_entropy"])
def test_without_damping_a_sample_wrong_beyond_rounding_is_left_out(loss, margin, solver):
    f, y = confidently_wrong(loss, margin)
    got, expected, notes = both_coefficients(loss, f, y, 0.0, solver)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)
    assert re.fullmatch("[1-3] outputs without curvature, and no damping: left out", notes[0])


# Targets.


def built(outputs=3, dtype="float64", factory=impl.factory):
    return factory(random_network(6, [20, 16], outputs=outputs, activation=("shifted_relu", 0.2)), dtype=dtype)


X = np.random.default_rng(0).standard_normal((4, 6))


@pytest.mark.parametrize("method", ["gauss_newton", "gradient_descent"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_class_numbers_and_one_hot_rows_give_the_same_step(method, dtype):
    results = []
    for y in ([2, 0, 1, 2], np.array([2.0, 0.0, 1.0, 2.0]), np.eye(3)[[2, 0, 1, 2]]):
        implementation = built(dtype=dtype)
        options = {"loss": "softmax_cross_entropy", "method": method, "learning_rate": 0.1}
        gradient = implementation.gradient(X, y, "softmax_cross_entropy")
        risk = implementation.step(X, y, **options).loss
        results.append((risk, [W.tobytes() for W in (*gradient, *implementation.to_network().weights)]))
    assert results[0] == results[1] == results[2]


FULL = np.full((4, 3), 0.5)
ONES = np.ones((4, 3))
HOT = np.eye(3)[[0, 1, 2, 0]]


def changed(array, index, value):
    array = np.array(array, dtype=float)
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        *((loss, None, "an array of shape (4, 3), got None") for loss in LOSSES),
        *((loss, "labels", "an array of real numbers, got dtype ") for loss in LOSSES),
        *((loss, [[1.0, 2.0], [3.0]], "an array of shape (4, 3), got list (") for loss in LOSSES),
        *((loss, HOT + 1j, "an array of real numbers, got dtype complex128") for loss in LOSSES),
        *((loss, HOT[:3], "shape (4, 3), got shape (3, 3)") for loss in LOSSES),
        *((loss, HOT[:, :1], "shape (4, 3), got shape (4, 1)") for loss in LOSSES),
        *((loss, changed(HOT, (2, 1), np.nan), "values finite in float64, got nan at index (2, 1)") for loss in LOSSES),
        *((loss, np.ones(4), "shape (4, 3), got shape (4,)") for loss in LOSSES[:3]),
        *(
            (
                "logistic",
                changed(ONES, (1, 2), value),
                f"labels −1 or 1, as the logistic loss takes them, got {value} at",
            )
            for value in (0.0, 2.0, -0.5, 1e300)
        ),
        *(
            (
                "softmax_cross_entropy",
                changed([0, 1, 2, 0], 3, value),
                f"class numbers 0 … 2, got {value} at index (3,)",
            )
            for value in (-1.0, 3.0, 0.5, 1e300)
        ),
        ("softmax_cross_entropy", [0, 1, 2], "shape (4), got shape (3,)"),
        ("softmax_cross_entropy", [0, 1, 2, np.inf], "values finite in float64, got inf"),
        *(
            ("softmax_cross_entropy", y, "rows with a single one among zeros, or class numbers, got ")
            for y in (FULL, ONES, 0 * HOT, changed(HOT, (1, 0), 1.0), -HOT, 2 * HOT, changed(HOT, (0, 0), 0.99))
        ),
    ],
)
def test_targets_outside_a_loss_s_domain_are_refused(loss, y, message):
    implementation = built()
    before = [W.tobytes() for W in implementation.to_network().weights]
    for call in (implementation.step, implementation.gradient):
        with pytest.raises(ArgumentError, match=f"^{re.escape('y: expected ' + message)}") as caught:
            call(X, y, loss=loss)
        assert caught.value.argument == "y"
    assert [W.tobytes() for W in implementation.to_network().weights] == before


@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_targets_that_overflow_the_dtype_are_refused(loss):
    with pytest.raises(ArgumentError, match=r"^y: expected values finite in float32, got inf"):
        built(dtype="float32").step(X, changed(ONES, (0, 0), 1e200), loss=loss)


def test_softmax_of_one_output_is_refused():
    with pytest.raises(ArgumentError, match=r"^loss: expected a loss for one output, since the network has one"):
        built(outputs=1).step(X, np.zeros(4), loss="softmax_cross_entropy")


# Mini-batches.


def digits(loss, samples):
    """Digits with the class labels that the loss takes: their numbers, or even and odd."""
    features, labels = load_digits(return_X_y=True)
    features = (features - features.mean(axis=0))[:samples]
    y = labels[:samples] if loss == "softmax_cross_entropy" else np.where(labels[:samples] % 2, -1.0, 1.0)
    return features / np.linalg.norm(features, axis=1, keepdims=True), y


def test_steps_on_recurring_batches_lower_every_loss_and_are_the_oracle_s(loss):
    """Condition numbers are below 1e4, twelve steps of rounding below 1e-10; a wrong step would be off by 1e-3.

    Beyond its edge the Huber loss has no curvature: there damping alone bounds the steps, so that it is larger.
    """
    X, y = digits(loss, 24)
    outputs = 10 if loss == "softmax_cross_entropy" else 1
    network = random_network(64, [64, 64], outputs=outputs, activation=("shifted_relu", 0.3), seed=1)
    implementation, oracle = impl.factory(network, dtype="float64"), reference.factory(network)
    options = {"loss": loss, "learning_rate": 0.5, "damping": 200.0 if loss == "huber" else 1.0}
    batches = [slice(0, 8), slice(8, 16), slice(16, 24)] * 4
    risks = []
    for batch in batches:
        reports = [each.step(X[batch], y[batch], **options) for each in (implementation, oracle)]
        assert reports[0].loss == pytest.approx(reports[1].loss, rel=1e-10)
        for got, expected in zip(implementation.to_network().weights, oracle.to_network().weights, strict=True):
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)
        risks.append(reports[0].loss)
    epochs = np.reshape(risks, (4, 3)).sum(axis=1)
    print(f"{loss}: risk by epoch {np.round(epochs, 3)}")
    assert (np.diff(epochs) < 0).all()
    assert epochs[-1] < 0.5 * epochs[0]
