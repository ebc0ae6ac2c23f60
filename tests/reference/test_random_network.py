"""The random initialization: W_ℓ entries N(0, 2/m_ℓ), readout entries ±1, determined by the seed.

Every statistic is compared with its distribution at five standard deviations, or at p > 1e-6: with a right generator a
wrong alarm for about one seed in a million; the seeds here are fixed, so it is either never or always.
"""

import numpy as np
import pytest
from scipy import stats

from reference import Activation, random_network

SIZES = (40, 300, 200)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_weights_are_normal_with_variance_two_over_the_width(dtype):
    network = random_network(SIZES[0], SIZES[1:], seed=11, dtype=dtype)
    for weight, width in zip(network.weights, SIZES[1:], strict=True):
        numbers = weight.astype(np.float64).ravel() / np.sqrt(2 / width)
        count = numbers.size
        assert abs(numbers.mean()) < 5 / np.sqrt(count)
        assert abs(numbers.var() - 1) < 5 * np.sqrt(2 / count)
        assert stats.kstest(numbers, "norm").pvalue > 1e-6


def test_rows_columns_and_layers_are_uncorrelated():
    network = random_network(200, (200, 200), seed=12)
    first, second = (weight * np.sqrt(200 / 2) for weight in network.weights)
    for a, b in ((first[:-1], first[1:]), (first[:, :-1], first[:, 1:]), (first, first.T), (first, second)):
        a, b = (a - np.diag(np.diag(a)), b - np.diag(np.diag(b))) if b is first.T else (a, b)  # noqa: PLW2901
        assert abs((a * b).sum()) < 5 * np.sqrt(2 * a.size)


def test_the_readout_is_a_balanced_sign():
    network = random_network(2, (4000,), outputs=3, seed=13)
    assert set(np.unique(network.readout)) == {-1.0, 1.0}
    assert network.readout.shape == (3, 4000)
    assert abs(network.readout.sum()) < 5 * np.sqrt(network.readout.size)
    assert abs(network.readout[0] @ network.readout[1]) < 5 * np.sqrt(4000)


def test_biases_are_drawn_only_where_they_are_asked_for():
    assert random_network(3, (5, 4)).biases is None
    biases = random_network(3, (5000, 4), biases=True, seed=14).biases
    assert [bias.shape for bias in biases] == [(5000,), (4,)]
    assert abs(biases[0].var() * 5000 / 2 - 1) < 5 * np.sqrt(2 / 5000)


def test_the_seed_determines_every_number():
    first, again, other = (random_network(3, (6, 5), biases=True, seed=seed) for seed in (1, 1, 2))
    for name in ("weights", "biases"):
        for a, b, c in zip(*(getattr(network, name) for network in (first, again, other)), strict=True):
            np.testing.assert_array_equal(a, b)
            assert not np.array_equal(a, c)
    np.testing.assert_array_equal(first.readout, again.readout)


def test_shapes_dtype_and_activation_are_those_asked_for():
    network = random_network(3, [6, 5], outputs=2, activation=("thresholded_identity", 0.5), dtype="float32")
    assert network.widths == (3, 6, 5)
    assert (network.depth, network.outputs) == (2, 2)
    assert network.activation == Activation("thresholded_identity", 0.5)
    assert {array.dtype.name for array in (*network.weights, network.readout)} == {"float32"}
