"""Weights that live on a device enter a factory without the host, and with the same checks."""

import numpy as np
import pytest
import torch

import impl
import reference
from benchmarks.rivals import dense
from properties.examples import numpy_dense
from reference import ArgumentError, random_network
from reference.contract import Network, is_device_array

FACTORIES = [impl.factory, dense.factory]
CHOICES = [{}, {"weights": "lazy"}, {"forward": "certified"}]


class OnDevice:
    """A matrix that NumPy cannot read; it lies on the CPU all the same, as there may be no other device."""

    def __init__(self, values):
        self.values, self.taken = values, 0
        self.shape, self.nbytes = tuple(values.shape), values.nbytes

    def __dlpack__(self, **options):
        self.taken += 1
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


def on_device(network, device="cpu"):
    weights = [OnDevice(torch.from_numpy(weight.copy()).to(device)) for weight in network.weights]
    return Network(weights=weights, readout=network.readout, activation=network.activation)


def with_entry(value, dtype=torch.float64, row=3):
    weight = torch.full((5, 4), 0.5, dtype=dtype)
    weight[row, 2] = value
    return Network(weights=[OnDevice(weight)], readout=np.ones((1, 5)))


def test_arrays_of_numpy_and_of_torch_on_the_host_are_read_as_before():
    for host in (np.ones((2, 3)), torch.ones(2, 3), [[1.0, 2.0]]):
        assert not is_device_array(host)
        assert isinstance(Network(weights=[host], readout=np.ones((1, len(host)))).weights[0], np.ndarray)
    assert is_device_array(OnDevice(torch.ones(2, 3)))
    assert not is_device_array(torch.ones(2, 3, device="meta"))


def test_a_network_checks_their_shapes_and_does_not_look_at_them():
    network = on_device(random_network(3, [4, 5]))
    assert network.widths == (3, 4, 5) and network.depth == 2
    assert not any(weight.taken for weight in network.weights)
    with pytest.raises(ArgumentError, match=r"weights\[1\] \(layer 2\): expected shape \(≥1, 4\), got shape \(5, 3\)"):
        Network(weights=[OnDevice(torch.ones(4, 3)), OnDevice(torch.ones(5, 3))], readout=np.ones((1, 5)))
    with pytest.raises(ArgumentError, match=r"weights\[0\] \(layer 1\): expected shape \(≥1, ≥1\), got shape \(4,\)"):
        Network(weights=[OnDevice(torch.ones(4))], readout=np.ones((1, 4)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("drawn", ["float32", "float64"])
@pytest.mark.parametrize(
    ("factory", "options"), [*((impl.factory, options) for options in CHOICES), (dense.factory, {})]
)
def test_the_weights_are_those_of_the_same_network_on_the_host_to_the_bit(factory, options, drawn, dtype):
    network = random_network(6, [30, 20], dtype=drawn, seed=1)
    device = on_device(network)
    built = [factory(each, dtype=dtype, **options).to_network() for each in (network, device)]
    for expected, got in zip(built[0].weights, built[1].weights, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert [weight.taken for weight in device.weights] == [1, 1]  # a layer at a time, once


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_step_leaves_the_device_s_arrays_alone(factory):
    network = on_device(random_network(6, [30, 20], dtype="float32"))
    before = [weight.values.clone() for weight in network.weights]
    factory(network).step(np.eye(6)[:4], np.ones((4, 1)))
    for weight, old in zip(network.weights, before, strict=True):
        assert torch.equal(weight.values, old)


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_entries_that_are_not_finite_in_the_dtype_are_refused(factory, value):
    with pytest.raises(ArgumentError, match=r"weights\[0\]: expected values finite in float32, .* at index \(3, 2\)"):
        factory(with_entry(value), dtype="float32")


def test_the_check_goes_through_all_of_a_matrix_in_parts(monkeypatch):
    monkeypatch.setattr("impl.weights.source._CHUNK", 8)
    for row in range(5):
        with pytest.raises(ArgumentError, match=rf"nan at index \({row}, 2\)"):
            impl.factory(with_entry(float("nan"), row=row))


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("dtype", [torch.bool, torch.complex64])
def test_other_than_real_numbers_are_refused(factory, dtype):
    with pytest.raises(ArgumentError, match=r"weights\[0\]: expected an array of real numbers, got dtype torch"):
        factory(with_entry(1, dtype))


@pytest.mark.parametrize("factory", FACTORIES)
def test_what_torch_cannot_take_is_refused(factory):
    class Broken(OnDevice):
        def __dlpack__(self, **options):
            raise BufferError("no stream")

    network = Network(weights=[Broken(torch.ones(5, 4))], readout=np.ones((1, 5)))
    with pytest.raises(ArgumentError, match=r"weights\[0\]: expected an array that torch takes by DLPack, got Broken"):
        factory(network)


@pytest.mark.parametrize("factory", [reference.factory, numpy_dense.factory])
def test_who_computes_on_the_host_refuses_them(factory):
    with pytest.raises(ArgumentError):
        factory(on_device(random_network(3, [4])))


def test_the_oracle_says_why():
    with pytest.raises(ArgumentError, match="network: expected weights that NumPy can read, got weights on a device"):
        reference.factory(on_device(random_network(3, [4])))


@pytest.mark.cuda
@pytest.mark.parametrize("factory", FACTORIES)
def test_tensors_on_cuda_enter_as_they_are(factory):
    network = random_network(6, [30, 20], dtype="float32", seed=1)
    weights = [torch.from_numpy(weight).cuda() for weight in network.weights]
    device = Network(weights=weights, readout=network.readout, activation=network.activation)
    built = [factory(each, device="cuda").to_network() for each in (network, device)]
    for expected, got in zip(built[0].weights, built[1].weights, strict=True):
        np.testing.assert_array_equal(got, expected)
