"""How often an iteration makes the host wait for the device: where the algorithm must decide, and nowhere else."""

import numpy as np
import pytest
import torch

import impl
from reference import Activation, random_network
from tests.impl.kernel_choices import needs_interpreter
from tests.impl.waiting import Waits, counted_on_cuda

WIDTHS = [40, 36, 32]


def budget(layers):
    """The waits of a Gauss–Newton step with eager weights, Cholesky and the squared loss.

    - each layer's number of active units, without which their arrays cannot be allocated, and the bound on its
      new weights, which may overflow;
    - the number of inputs that are not zero, and how many each sample has;
    - whether the forward pass, the Gram matrix and the coefficients are finite, whether Cholesky may be trusted;
    - the loss, for the report.
    """
    return 2 * layers + 2 + 4 + 1


def built(device, kernels, layers, **options):
    network = random_network(6, WIDTHS[:layers], activation=Activation("shifted_relu", 0.3), dtype="float32", seed=2)
    return impl.factory(network, device=device, kernels=kernels, **options)


def batch(seed=0):
    generator = np.random.default_rng(seed)
    return generator.standard_normal((5, 6)), generator.standard_normal((5, 1))


@pytest.fixture
def launches_apart(monkeypatch):
    """What the interpreter does within a launch is no doing of the host."""
    from impl.kernels.triton import kernels, update  # where triton is not installed there are none

    launch = kernels.launch

    def apart(*arguments, **sizes):
        with torch._C.DisableTorchFunction():
            launch(*arguments, **sizes)

    monkeypatch.setattr(kernels, "launch", apart)
    monkeypatch.setattr(update, "launch", apart)


@needs_interpreter
@pytest.mark.parametrize("layers", [1, 3])
def test_a_step_waits_for_sizes_and_for_decisions_only(layers, launches_apart):
    implementation = built("cpu", "triton", layers)
    with Waits() as waits:
        implementation.step(*batch(), damping=0.1)
    assert waits.calls.total() == budget(layers) + layers, waits.calls  # the CPU looks for overflows layer by layer
    assert waits.calls["nonzero"] == 1
    assert waits.calls["cpu"] == layers + 1  # the offsets of every support


@needs_interpreter
def test_an_iteration_of_conjugate_gradients_waits_twice(launches_apart):
    counts = {}
    for most in (1, 3):
        solver = impl.solvers.ConjugateGradientSolver(max_iterations=most, tolerance=1e-15)
        implementation = built("cpu", "triton", 1, solver=solver)
        with Waits() as waits:
            implementation.step(*batch(), damping=0.1)
        counts[most] = waits.calls.total()
    assert counts[3] - counts[1] == 2 * 2


def test_the_watch_sees_what_waits_and_lets_pass_what_does_not():
    device = torch.device("cpu")
    numbers, chosen = torch.arange(4, device=device), torch.tensor([True, False, True, True], device=device)
    with Waits() as waits:
        numbers[chosen]
        torch.nonzero(numbers)
        bool(numbers.sum() > 3)
        (numbers * 2).tolist()
        numbers.repeat_interleave(numbers)
        assert waits.calls.total() == 5
        numbers.repeat_interleave(numbers, output_size=6)
        numbers[numbers]
        here = numbers.cpu()  # one more
        (here * 2).tolist()
        int(torch.tensor([3, 4]).sum())
        bool((here.to(device) > 2).any())  # and another: it is the device's again
    assert waits.calls.total() == 7


@pytest.mark.cuda
@pytest.mark.parametrize("layers", [1, 3])
def test_a_step_on_cuda_waits_no_oftener(layers):
    implementation = built("cuda", "auto", layers)
    implementation.step(*batch(), damping=0.1)  # compiles and loads
    torch.cuda.synchronize()
    with counted_on_cuda() as waits:
        implementation.step(*batch(), damping=0.1)
    assert 0 < len(waits) <= budget(layers), waits
