"""Networks trained elsewhere: the same function, the same numbers, the same gradient; whatever else is refused."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import impl
import reference
from impl import ShiftedReLU, ThresholdedIdentity
from reference import Activation, ArgumentError, Network, load_problem, random_network

TURNS = "module: expected Linear and ReLU, ShiftedReLU or ThresholdedIdentity in turns, got "
PARAMETERS = (
    "module: expected Linear with initialized, dense, floating-point Parameters "
    "(none computed, sparse, quantized or meta), got "
)
X = load_problem("synthetic", 12, dimension=6).X
ACTIVATIONS = {
    "relu": lambda width: nn.ReLU(),
    "inplace": lambda width: nn.ReLU(inplace=True),
    "shifted": lambda width: ShiftedReLU(width, 0.3),
    "shifted, default b": ShiftedReLU,
    "shifted, negative b": lambda width: ShiftedReLU(width, -0.7),
    "identity": lambda width: ThresholdedIdentity(width, 0.3),
    "identity, default b": ThresholdedIdentity,
}


def refused(message):
    return pytest.raises(ArgumentError, match=f"^{re.escape(message)}")


def dense(widths, activation=lambda width: nn.ReLU(), bias=True, dtype=torch.float64):
    """A random module, with large weights so that units fire; `bias` for all Linears, or one by one."""
    torch.manual_seed(0)
    biases = [bias] * (len(widths) - 1) if isinstance(bias, bool) else bias
    layers = []
    for fan_in, fan_out, has_bias in zip(widths[:-1], widths[1:], biases, strict=True):
        layers += [nn.Linear(fan_in, fan_out, bias=has_bias, dtype=dtype), activation(fan_out)]
    module = nn.Sequential(*layers[:-1])
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(3.0)
    return module


def outputs(module, samples=X, dtype=torch.float64):
    with torch.no_grad():
        return module(torch.tensor(samples, dtype=dtype)).numpy()


def arrays(network):
    return [*network.weights, *(network.biases or ()), network.readout, network.readout_bias]


def assert_identical(network, other):
    assert network.activation == other.activation
    assert (network.biases is None) == (other.biases is None)
    for mine, yours in zip(arrays(network), arrays(other), strict=True):
        if mine is None or yours is None:
            assert mine is yours
        else:
            assert mine.dtype == yours.dtype
            np.testing.assert_array_equal(mine, yours)


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False, "hidden", "some", "readout"])
@pytest.mark.parametrize("widths", [(6, 17, 1), (6, 17, 23, 9, 3)])
def test_the_network_computes_what_the_module_computes(activation, bias, widths):
    readout = len(widths) - 2
    some = {"hidden": range(readout), "some": [0] if readout > 1 else [], "readout": [readout]}
    biases = bias if isinstance(bias, bool) else [layer in some[bias] for layer in range(readout + 1)]
    module = dense(widths, activation, biases)
    network = impl.from_module(module)
    assert network.widths == widths[:-1] and network.outputs == widths[-1]
    expected = outputs(module)
    np.testing.assert_allclose(reference.factory(network).forward(X), expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(impl.factory(network, dtype="float64").forward(X), expected, rtol=1e-12, atol=1e-13)


def test_which_biases_the_network_has():
    assert impl.from_module(dense((6, 5, 4, 2), bias=False)).biases is None
    network = impl.from_module(dense((6, 5, 4, 2), bias=[False, True, False], dtype=torch.float32))
    np.testing.assert_array_equal(network.biases[0], np.zeros(5))
    assert network.biases[0].dtype == network.biases[1].dtype == np.float32
    assert network.biases[1].any() and network.readout_bias is None
    network = impl.from_module(dense((6, 5, 4, 2), bias=[False, False, True]))
    assert network.biases is None and network.readout_bias.shape == (2,)


def test_sequentials_may_be_nested_and_what_does_nothing_is_skipped():
    flat = dense((6, 8, 7, 2))
    first, relu, second, _, readout = flat
    nested = nn.Sequential(
        nn.Identity(),
        nn.Sequential(first, nn.Dropout(0.5), nn.Sequential(relu, nn.Identity())),
        nn.Sequential(),
        nn.Sequential(second, relu, nn.Dropout(1.0)),
        readout,
        nn.Dropout(0.3),
    ).eval()
    assert_identical(impl.from_module(nested), impl.from_module(flat))
    np.testing.assert_array_equal(outputs(nested), outputs(flat))


def test_dropout_that_never_drops_is_skipped_while_training():
    linear, relu, readout = dense((6, 8, 2))
    assert impl.from_module(nn.Sequential(linear, nn.Dropout(0.0), relu, readout).train()).widths == (6, 8)


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_there_and_back_a_module_is_the_same(activation, bias, dtype):
    module = dense((6, 17, 9, 2), activation, bias, dtype)
    drawn = torch.get_rng_state()
    back = impl.to_module(impl.from_module(module))
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not any(part.training for part in back.modules())
    assert [type(part) for part in back] == [type(part) for part in module]
    state, expected = back.state_dict(), module.state_dict()
    assert list(state) == list(expected)
    assert all(state[name].dtype == dtype and torch.equal(state[name], expected[name]) for name in expected)
    np.testing.assert_array_equal(outputs(back, dtype=dtype), outputs(module, dtype=dtype))


@pytest.mark.parametrize("activation", [("shifted_relu", 0.0), "shifted_relu", ("thresholded_identity", 0.4)])
@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("readout_bias", [None, np.array([0.5, -1.5])])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_there_and_back_a_network_is_the_same(activation, biases, readout_bias, dtype):
    network = random_network(6, (11, 13), outputs=2, activation=activation, biases=biases, dtype=dtype)
    network = replace(network, readout_bias=None if readout_bias is None else readout_bias.astype(dtype))
    module = impl.to_module(network)
    assert_identical(impl.from_module(module), network)
    for parameter in module.parameters():
        parameter.data.fill_(7.0)
    assert not any((array == 7.0).any() for array in arrays(network) if array is not None)


def test_a_network_of_two_dtypes_becomes_a_module_of_the_wider_one():
    network = random_network(6, (5,), dtype="float32")
    network = replace(network, readout=network.readout.astype("float64") / 3)
    module = impl.to_module(network)
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float64}
    np.testing.assert_allclose(outputs(module), reference.factory(network).forward(X), rtol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_the_gradient_by_autograd_is_the_oracle_s(activation):
    network = impl.from_module(dense((6, 17, 9, 2), activation))
    module = impl.to_module(network)
    y = load_problem("synthetic", 12, dimension=2, seed=1).X
    (0.5 * (module(torch.tensor(X)) - torch.tensor(y)) ** 2).sum().backward()
    gradients = [linear.weight.grad.numpy() for linear in module[:-1:2]]
    for mine, oracle in zip(gradients, reference.factory(network).gradient(X, y), strict=True):
        assert oracle.any()
        np.testing.assert_allclose(mine, oracle, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", ["shifted_relu", "thresholded_identity"])
@pytest.mark.parametrize("b", [1.0, 0.0, -1.0])
def test_a_unit_at_the_threshold_is_inactive_and_has_no_gradient(kind, b):
    at = b / 2  # τ for a width of 8, with no rounding
    width, above, below = 8, np.nextafter(at, np.inf), np.nextafter(at, -np.inf)
    network = Network(
        weights=[np.zeros((width, 1))],
        biases=[np.array([at, above, below, at, 1.0, -1.0, 2.0, at])],
        readout=np.arange(1.0, width + 1)[None],
        activation=(kind, b),
    )
    module = impl.to_module(network)
    module(torch.ones(1, 1, dtype=torch.float64)).sum().backward()
    oracle = reference.factory(network)
    np.testing.assert_array_equal(
        oracle.active_sets([[1.0]])[0][0, [0, 1, 2, 3, 7]], [False, True, False, False, False]
    )
    # With these targets the residual is 1, and the gradient that of the output.
    expected = oracle.gradient([[1.0]], oracle.forward([[1.0]]) - 1.0)[0]
    np.testing.assert_allclose(module[0].weight.grad.numpy(), expected, rtol=1e-14)
    np.testing.assert_array_equal(module[0].weight.grad.numpy()[[0, 2, 3, 7]], 0.0)
    np.testing.assert_allclose(outputs(module, [[1.0]]), oracle.forward([[1.0]]), rtol=1e-14)


@pytest.mark.parametrize("make", [ShiftedReLU, ThresholdedIdentity])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(), (3,), (2, 0), (2, 3, 4)])
def test_an_activation_takes_any_batch_axes_and_dtype(make, dtype, batch):
    phi = make(10)
    z = torch.randn(*batch, 10, generator=torch.Generator().manual_seed(0)).to(dtype)
    value = phi(z)
    assert value.shape == z.shape and value.dtype == dtype
    exact = phi(z.double())
    torch.testing.assert_close(value.double(), exact, rtol=4 * torch.finfo(dtype).eps, atol=4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("make", [ShiftedReLU, ThresholdedIdentity])
def test_an_activation_says_what_it_is_and_hides_no_nan(make):
    assert str(make(5, 0.25)) == f"{make.__name__}(width=5, b=0.25)"
    assert str(make(5)) == f"{make.__name__}(width=5, b=None)"
    assert list(make(5).parameters()) == []
    value = make(3, 0.0)(torch.tensor([torch.nan, torch.inf, -torch.inf]))
    assert value.isnan().tolist() == [True, False, False] and value[1] == torch.inf and value[2] == 0.0


@pytest.mark.parametrize("make", [ShiftedReLU, ThresholdedIdentity])
def test_what_an_activation_refuses(make):
    with refused("width: expected a whole number of at least 1, got 0"):
        make(0)
    with refused("width: expected a whole number of at least 1, got 2.0"):
        make(2.0)
    with refused("activation.b: expected a finite number of at least -1e+06 and at most 30, got 31"):
        make(4, 31)
    with refused("z: expected floating-point numbers, 4 on the last axis, got torch.float32 of shape (2, 3)"):
        make(4)(torch.zeros(2, 3))
    with refused("activation.b: expected a threshold whose scale is finite in torch.float16, got 10 (scale "):
        make(4, 10.0)(torch.zeros(2, 4, dtype=torch.float16))


def test_an_activation_can_be_trained_with():
    problem = load_problem("digits", 100)
    samples, targets = (torch.tensor(values, dtype=torch.float32) for values in (problem.X, problem.y))
    module = dense((64, 100, 1), ShiftedReLU, dtype=torch.float32)
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        losses.append(nn.functional.mse_loss(module(samples), targets))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.3 * losses[0]
    np.testing.assert_allclose(
        impl.factory(impl.from_module(module)).forward(problem.X),
        outputs(module, problem.X, torch.float32),
        atol=1e-5,
    )


@pytest.mark.parametrize("kind", ["shifted_relu", "thresholded_identity"])
def test_a_greater_shift_makes_the_network_sparser(kind):
    samples = load_problem("digits", 60).X
    module = dense((64, 120, 80, 1))
    before = 2.0
    for b in (-1e6, 0.0, 0.3, 0.6, 1.0):
        network = impl.from_module(module, activation=(kind, b))
        assert network.activation == Activation(kind, b)
        shares = impl.density(network, samples, dtype="float64")
        masks = impl.factory(network, dtype="float64").active_sets(samples)
        assert shares == tuple(mask.mean() for mask in masks)
        assert len(shares) == 2 and shares[0] < before
        before = shares[0]
        if b == -1e6:
            assert shares == (1.0, 1.0)
        oracle = reference.factory(replace(impl.from_module(module), activation=Activation(kind, b)))
        sparse = impl.factory(network, dtype="float64")
        np.testing.assert_allclose(sparse.forward(samples), oracle.forward(samples), rtol=1e-9, atol=1e-11)
        for mine, theirs in zip(masks, oracle.active_sets(samples), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_a_replaced_shift_is_another_function_and_keeps_the_weights():
    module = dense((6, 17, 2))
    own, shifted = impl.from_module(module), impl.from_module(module, activation="shifted_relu")
    assert own.activation == ("shifted_relu", 0.0) and shifted.activation == ("shifted_relu", None)
    assert_identical(replace(shifted, activation=own.activation), own)
    assert abs(reference.factory(shifted).forward(X) - outputs(module)).max() > 0.01


def test_density_is_that_of_the_dtype_it_is_asked_for():
    network = impl.from_module(dense((6, 17, 2)))
    assert impl.density(network, X) == tuple(mask.mean() for mask in impl.factory(network).active_sets(X))
    with refused("dtype: expected one of float32, float64, got 'float16'"):
        impl.density(network, X, dtype="float16")
    with refused("X: expected shape (≥1, 6), got shape (12, 5)"):
        impl.density(network, X[:, :5])
    with refused("network: expected a Network, got Sequential"):
        impl.density(dense((6, 17, 2)), X)


def test_the_counts_are_those_of_a_step():
    implementation = impl.factory(random_network(6, (20, 16)))
    counts = implementation.active_counts(X)
    for mine, reported in zip(counts, implementation.step(X, np.ones(12)[:, None]).active_counts, strict=True):
        np.testing.assert_array_equal(mine, reported)


def test_the_module_is_neither_changed_nor_shared():
    module = dense((6, 17, 9, 2)).train()
    module[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    network = impl.from_module(module)
    for array in arrays(network):
        array[...] = 7.0
    assert module.training and not module[0].weight.requires_grad and module[2].weight.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_without_a_loss(dtype):
    module = dense((6, 17, 2), dtype=dtype)
    network = impl.from_module(module)
    assert {array.dtype.name for array in arrays(network)} == {"float32"}
    np.testing.assert_array_equal(network.weights[0], module[0].weight.detach().float().numpy())


def test_weights_may_lie_in_memory_in_any_order():
    module = dense((6, 17, 2))
    expected = outputs(module)
    module[0].weight = nn.Parameter(module[0].weight.detach().T.contiguous().T)
    np.testing.assert_allclose(reference.factory(impl.from_module(module)).forward(X), expected, rtol=1e-12)


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Linear(nn.Module):
    pass


def with_parameter(name, value, index=0):
    module = dense((6, 8, 2), dtype=torch.float32)
    setattr(module[index], name, nn.Parameter(value, requires_grad=False))
    return module


def with_forward(index):
    module = dense((6, 8, 2))
    module[index].forward = lambda x: x
    return module


def changed(index, change):
    module = dense((6, 8, 2))
    change(module[index])
    return module


def shared():
    linear = nn.Linear(6, 6)
    return nn.Sequential(linear, nn.ReLU(), nn.Sequential(linear, nn.ReLU()), nn.Linear(6, 1))


def tied():
    module = dense((6, 6, 6, 1))
    module[2].weight = module[0].weight
    return module


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (None, TURNS.replace("Linear", "a Sequential of Linear", 1) + "NoneType"),
        (nn.Linear(6, 2), TURNS.replace("Linear", "a Sequential of Linear", 1) + "Linear"),
        (nn.ModuleList([nn.Linear(6, 2)]), TURNS.replace("Linear", "a Sequential of Linear", 1) + "ModuleList"),
        (nn.Sequential(), TURNS + "a Sequential without any"),
        (nn.Sequential(nn.Sequential(), nn.Identity()), TURNS + "a Sequential without any"),
        (nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Conv2d(1, 1, 1)), TURNS + "Conv2d at position 2"),
        (nn.Sequential(nn.LazyConv2d(1, 1)), TURNS + "LazyConv2d at position 0"),
        (nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 1)), TURNS + "GELU at position 1"),
        (nn.Sequential(nn.Linear(6, 8), nn.ReLU6(), nn.Linear(8, 1)), TURNS + "ReLU6 at position 1"),
        (nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU()), TURNS + "BatchNorm1d at position 1"),
        (
            nn.Sequential(nn.Linear(6, 8), nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh())), nn.Linear(8, 1)),
            TURNS + "Tanh at position 1.1.0",
        ),
        (nn.Sequential(Doubled(6, 8), nn.ReLU(), nn.Linear(8, 1)), TURNS + "Doubled at position 0"),
        (nn.Sequential(Linear(), nn.ReLU()), TURNS + f"{Linear.__module__}.Linear at position 0"),
        (with_forward(1), TURNS + "ReLU with a forward of its own at position 1"),
        (nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 1)), TURNS + "Linear at position 1, where an activation is due"),
        (nn.Sequential(nn.ReLU(), nn.Linear(6, 1)), TURNS + "ReLU at position 0, where a Linear is due"),
        (
            nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.ReLU(), nn.Linear(8, 1)),
            TURNS + "ReLU at position 2, where a Linear is due",
        ),
        (
            nn.Sequential(nn.Linear(6, 8), ShiftedReLU(8)),
            "module: expected a Linear, the readout, at the end, got ShiftedReLU at position 1",
        ),
        (
            nn.Sequential(nn.Identity(), nn.Linear(6, 8)),
            "module: expected a hidden layer before the readout, got a lone Linear at position 1",
        ),
        (
            nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1)),
            "module: expected Dropout in evaluation mode (call eval()), got Dropout at position 2 in training mode",
        ),
        (nn.Sequential(nn.Linear(6, 8), nn.AlphaDropout(0.5)).eval(), TURNS + "AlphaDropout at position 1"),
        (
            nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(9, 1)),
            "module: expected Linear at position 2 of width 8, as given by ReLU at position 1, got width 9",
        ),
        (
            nn.Sequential(nn.Linear(6, 8), ShiftedReLU(9), nn.Linear(8, 1)),
            "module: expected ShiftedReLU at position 1 of width 8, as given by Linear at position 0, got width 9",
        ),
        (
            nn.Sequential(nn.Linear(6, 8), ThresholdedIdentity(7), nn.Linear(7, 1)),
            "module: expected ThresholdedIdentity at position 1 of width 8, as given by Linear at position 0, "
            "got width 7",
        ),
        (
            nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), ShiftedReLU(8, 0.5), nn.Linear(8, 1)),
            "module: expected activations of one kind and one b, "
            "got ReLU() at position 1 and ShiftedReLU(width=8, b=0.5) at position 3",
        ),
        (
            nn.Sequential(nn.Linear(6, 8), ShiftedReLU(8), nn.Linear(8, 8), ShiftedReLU(8, 0.5), nn.Linear(8, 1)),
            "module: expected activations of one kind and one b, "
            "got ShiftedReLU(width=8, b=None) at position 1 and ShiftedReLU(width=8, b=0.5) at position 3",
        ),
        (
            nn.Sequential(nn.Linear(6, 8), ShiftedReLU(8), nn.Linear(8, 8), ThresholdedIdentity(8), nn.Linear(8, 1)),
            "module: expected activations of one kind and one b, "
            "got ShiftedReLU(width=8, b=None) at position 1 and ThresholdedIdentity(width=8, b=None) at position 3",
        ),
        (shared(), "module: expected Linears that share no parameter, got Linear at position 2.0 sharing one with "),
        (tied(), "module: expected Linears that share no parameter, got Linear at position 2 sharing one with "),
        (
            nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 1)),
            PARAMETERS + "a UninitializedParameter that is no plain Parameter as weight of LazyLinear at position 0",
        ),
        (
            nn.Sequential(nn.Linear(6, 8), nn.ReLU(), parametrizations.weight_norm(nn.Linear(8, 1))),
            PARAMETERS + "a Tensor that is no plain Parameter as weight of ParametrizedLinear at position 2",
        ),
        (
            changed(2, lambda linear: prune.l1_unstructured(linear, "weight", 0.5)),
            PARAMETERS + "a Tensor that is no plain Parameter as weight of Linear at position 2",
        ),
        (
            changed(1, lambda relu: relu.register_forward_hook(lambda *_: None)),
            "module: expected modules without forward hooks, which may change what they compute, "
            "got a hook on ReLU at position 1",
        ),
        (
            with_parameter("weight", torch.ones(8, 6).to_sparse()),
            PARAMETERS + "a Parameter of torch.float32, torch.sparse_coo, shape (8, 6) on cpu as weight of Linear at ",
        ),
        (
            with_parameter("weight", torch.ones(8, 6, dtype=torch.int8)),
            PARAMETERS + "a Parameter of torch.int8, torch.strided, shape (8, 6) on cpu as weight of Linear at ",
        ),
        (
            with_parameter("weight", torch.ones(8, 6, dtype=torch.complex64)),
            PARAMETERS + "a Parameter of torch.complex64, torch.strided, shape (8, 6) on cpu as weight of Linear at ",
        ),
        (
            with_parameter("weight", torch.ones(48)),
            PARAMETERS + "a Parameter of torch.float32, torch.strided, shape (48,) on cpu as weight of Linear at ",
        ),
        (
            with_parameter("weight", torch.ones(8, 0)),
            PARAMETERS + "a Parameter of torch.float32, torch.strided, shape (8, 0) on cpu as weight of Linear at ",
        ),
        (
            nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1, device="meta")),
            PARAMETERS + "a Parameter of torch.float32, torch.strided, shape (1, 8) on meta as weight of Linear at "
            "position 2",
        ),
        (
            with_parameter("bias", torch.ones(7)),
            "module: expected a bias of shape (8,), got shape (7,) in Linear at position 0",
        ),
        (
            with_parameter("weight", torch.full((2, 8), torch.nan), 2),
            "module: expected finite parameters, got nan at index (0, 0) of the weight of Linear at position 2",
        ),
        (
            with_parameter("bias", torch.tensor([0.0, -torch.inf]), 2),
            "module: expected finite parameters, got -inf at index (1,) of the bias of Linear at position 2",
        ),
    ],
)
def test_what_no_network_computes_is_refused(module, message):
    with refused(message) as caught:
        impl.from_module(module)
    assert caught.value.argument == "module"


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        ("relu", "activation.kind: expected one of shifted_relu, thresholded_identity, got 'relu'"),
        (0.5, "activation: expected an Activation, a pair (kind, b) or a kind, got 0.5"),
        (("shifted_relu", 31), "activation.b: expected a finite number of at least -1e+06 and at most 30, got 31"),
    ],
)
def test_a_replacement_that_is_no_activation_is_refused(activation, message):
    with refused(message):
        impl.from_module(dense((6, 8, 2)), activation=activation)


def test_only_a_network_becomes_a_module():
    with refused("network: expected a Network, got Sequential"):
        impl.to_module(dense((6, 8, 2)))
