"""An iteration allocates nothing of the size of a weight matrix: in torch, in NumPy, or in many small pieces."""

import tracemalloc
import weakref
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import impl
from impl import gram
from impl.kernels import portable
from reference import load_problem, random_network

KERNELS = ("compiled", "torch")
CHUNK, TABLE_BYTES = portable.CHUNK, gram.TABLE_BYTES
METHODS = ("gauss_newton", "gradient_descent")


class NewStorages(TorchDispatchMode):
    """Follows the storages of all tensors that come out of dispatched operations, from their first sight to their end.

    Attributes:
        largest: Bytes of the largest one.
        live: Bytes of those that are alive.
        peak: The most that were alive at once.
    """

    def __init__(self, implementation):
        super().__init__()
        self.largest = self.live = self.peak = 0
        own = [weight.table for weight in implementation.weights] + [implementation._readout.table]
        self._known = {tensor.untyped_storage().data_ptr() for tensor in own}
        self._bytes = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if hasattr(tensor, "untyped_storage"):
                self._follow(tensor.untyped_storage())
        return result

    def _follow(self, storage):
        address = storage.data_ptr()
        if not storage.nbytes() or address in self._known or address in self._bytes:
            return
        self._bytes[address] = storage.nbytes()
        weakref.finalize(storage, self._end, address)
        self.live += storage.nbytes()
        self.largest, self.peak = max(self.largest, storage.nbytes()), max(self.peak, self.live)

    def _end(self, address):
        self.live -= self._bytes.pop(address)


def watched(implementation, run):
    """Runs and returns what torch and NumPy allocated meanwhile: the storages, and NumPy's peak in bytes."""
    with NewStorages(implementation):
        run()  # once beforehand: compiling and importing are no part of an iteration
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        with NewStorages(implementation) as storages:
            run()
        return storages, tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("width", [512, 1024])
def test_no_array_of_half_a_weight_matrix_is_made_by_a_step(width, method, kernels):
    network = random_network(64, [width] * 3, dtype="float32")
    problem = load_problem("digits", 8)
    implementation = impl.factory(network, kernels=kernels)
    storages, numpy_peak = watched(
        implementation, lambda: implementation.step(problem.X, problem.y, method=method, learning_rate=1e-3)
    )
    half_a_matrix = 4 * width**2 / 2
    assert 0 < storages.largest < half_a_matrix
    assert numpy_peak < half_a_matrix


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("operation", ["forward", "gram"])
def test_nor_by_an_evaluation(operation, kernels):
    problem = load_problem("digits", 8)
    implementation = impl.factory(random_network(64, [512] * 3, dtype="float32"), kernels=kernels)
    storages, numpy_peak = watched(implementation, lambda: getattr(implementation, operation)(problem.X))
    assert 0 < storages.largest < 4 * 512**2 / 2
    assert numpy_peak < 4 * 512**2 / 2


def test_the_watch_sees_the_dense_gradient_and_the_dense_copy():
    problem = load_problem("digits", 8)
    implementation = impl.factory(random_network(64, [512] * 3, dtype="float32"))
    matrix = 4 * 512**2
    storages, _ = watched(implementation, lambda: implementation.gradient(problem.X, problem.y))
    assert storages.largest >= matrix
    _, numpy_peak = watched(implementation, implementation.to_network)
    assert numpy_peak >= 2 * matrix


def test_the_watch_follows_storages_to_their_end():
    implementation = impl.factory(random_network(3, [4]))
    with NewStorages(implementation) as storages:
        first = torch.ones(1000)
        second, view = first + 1, first[10:]
        assert storages.live == 8000
        del first
        assert storages.live == 8000
        del view, second
        assert storages.live == 0
    assert (storages.peak, storages.largest) == (8000, 4000)


def linear_terms(width, samples, entries, layers):
    """Bytes that a float32 step with one output may have alive at once, beside k × k blocks: linear in m.

    - 64 an entry of a support: sample, unit and order by unit (12), the sort's indices and keys (16), the hidden value,
      the left factor and what the update makes of them (16), the same in float64 for the Gram matrix (16), one over;
    - 12 a preactivation of one layer: its value, or in the Gram matrix the table of all samples in float64;
    - 12 a unit and layer: counts by unit, and offsets.
    """
    return 64 * entries + 4 * samples * width + min(8 * samples * width, TABLE_BYTES) + 12 * width * (layers + 1)


@pytest.mark.parametrize("kernels", KERNELS)
def test_the_peak_memory_of_a_step_is_linear_in_the_width_and_small_beside_a_matrix(kernels):
    width, samples, depth = 2048, 32, 3
    matrix = 4 * width**2
    problem = load_problem("digits", samples)
    implementation = impl.factory(random_network(64, [width] * depth, dtype="float32"), kernels=kernels)
    reports = []
    storages, numpy_peak = watched(implementation, lambda: reports.append(implementation.step(problem.X, problem.y)))
    peak = storages.peak + numpy_peak
    print(f"peak of a step, m = {width}, {kernels}: {peak / 1e6:.2f} MB, {100 * peak / matrix:.1f} % of a matrix")

    counts = [np.full(samples, problem.X.shape[1]), *reports[-1].active_counts]
    entries = int(sum(count.sum() for count in counts))
    bound = (
        linear_terms(width, samples, entries, depth) + 200 * samples**2 + 2**17
    )  # arrays of n × n, and Python's objects
    if kernels == "compiled":
        assert peak < 0.1 * matrix
    else:  # old values of the k × k blocks until the step stands, and a few arrays over one part of a block
        pairs = sum(int((fewer * more).sum()) for fewer, more in pairwise(counts))
        bound += 4 * pairs + 32 * min(CHUNK, max(int(count.max()) for count in counts) ** 2)
    assert 4 * samples * width < peak < bound
