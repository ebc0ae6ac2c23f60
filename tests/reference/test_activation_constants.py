"""The scale √c keeps the norm of a layer: by numerical quadrature, by the known figures, and by drawing layers."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from impl.activation import layer_activation
from reference import ACTIVATIONS, Activation, random_network
from reference import activation as phi
from reference.forward import forward

# From all units active to a tail of 5e-198.
PARAMETERS = [-10.0, -1.0, 0.0, 0.3, 1.0, 1.9, 4.0, 8.0, 30.0]


def second_moment(kind, b):
    """E φ(g)² / c for a standard normal g, as e^(−b²/2) times an integral that does not underflow."""
    shift = b if kind == "shifted_relu" else 0.0
    origin = max(b, 0.0)

    def integrand(g):
        return (g - shift) ** 2 * np.exp(-(g * g - origin * origin) / 2) / np.sqrt(2 * np.pi)

    pieces = np.linspace(b, max(b, 0.0) + 12.0, 40)
    total = sum(integrate.quad(integrand, low, high, epsabs=0, epsrel=1e-13)[0] for low, high in pairwise(pieces))
    return total, -origin * origin / 2


@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("b", PARAMETERS)
def test_twice_the_squared_scale_times_the_second_moment_is_one(kind, b):
    total, exponent = second_moment(kind, b)
    scale = phi.scale(Activation(kind, b), 64)
    # Q and p are off by b² roundings, as their exponent is; (1 + b²)Q − b·p loses a factor of b⁴/2 by cancellation.
    cancellation = 1e-11 + 2.0**-53 * b**6
    assert 2 * scale**2 * total * np.exp(exponent) == pytest.approx(1.0, rel=cancellation)


@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("b", PARAMETERS)
def test_the_implementation_has_the_same_constants_by_its_own_formula(kind, b):
    total, exponent = second_moment(kind, b)
    got = layer_activation(Activation(kind, b), 64, torch.float64)
    assert got.threshold == pytest.approx(b * np.sqrt(2 / 64), rel=1e-15)
    assert got.shift == (got.threshold if kind == "shifted_relu" else 0.0)
    assert 2 * got.scale**2 * total * np.exp(exponent) == pytest.approx(1.0, rel=1e-11 + 2.0**-53 * b**4)


@pytest.mark.parametrize(("width", "active"), [(4096, 140), (8192, 236), (16384, 400)])
def test_the_default_threshold_leaves_the_known_number_of_units(width, active):
    b = phi.threshold_parameter(Activation(), width)
    assert width * stats.norm.sf(b) == pytest.approx(active, abs=0.5)
    assert phi.threshold(Activation(), width) == pytest.approx(b * np.sqrt(2 / width), rel=1e-15)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_a_random_layer_keeps_the_norm_of_its_input_on_average(kind):
    # ‖h‖² is a sum of m independent φ(z)²; over 256 networks of 512 units its mean has a standard error estimated from
    # the draws themselves. Five of them: a wrong alarm for six seeds in ten million.
    x = np.full((1, 3), 3**-0.5)
    norms = [
        float((forward(random_network(3, (512,), activation=Activation(kind), seed=seed), x).hidden[1] ** 2).sum())
        for seed in range(256)
    ]
    error = np.std(norms, ddof=1) / np.sqrt(len(norms))
    assert error < 0.05
    assert abs(np.mean(norms) - 1.0) < 5 * error
