"""Statistical properties of the numbers of a random initialization (reference/README.md, section 1).

Nearly all laws are exact: under the null hypothesis the weights are independent normal numbers, so that sums are
normal, sums of squares χ², counts binomial. A generator's rounding to float32 is far below what the tests resolve.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from properties.cases.case import Case
from properties.runner.compare import Mismatch, assert_identical
from properties.runner.subject import Subject
from properties.statistics import pvalues
from properties.statistics.budget import ALPHA, Design, assert_probable, statistical
from properties.statistics.drawn import drawn_network, first_seed, without_initialization
from properties.statistics.sample import Sample
from reference.contract import Network
from reference.contract.shapes import Float

#: Layers of unequal fan-in and fan-out, and two of equal shape.
LAYERS = Sample(input_dimension=128, widths=(256, 256, 256), b=None)
SMALLEST = 128 * 256  # weights of a layer

SIGNS = Sample(input_dimension=1, widths=(1, 4096), b=None)

#: How many correlations each of the two properties about independence looks at.
PAIRS = 10


def _normal_limit(alpha: float) -> float:
    return float(-special.ndtri(alpha / 2))


def _missed_variance(factor: float, alpha: float) -> float:
    """How often a variance that is larger by a factor passes."""
    return float(special.chdtr(SMALLEST, special.chdtri(SMALLEST, alpha / 2) / factor))


@statistical(
    Design(
        null="the weights of a layer have mean 0",
        assumes="independent normal weights of the right variance",
        draws=f"one network, at least {SMALLEST} weights a layer",
        alternative="a mean of 0.06 standard deviations or more",
        beta=float(special.ndtr(_normal_limit(ALPHA / 3) - 0.06 * math.sqrt(SMALLEST))),
    ),
    examples={"three layers": LAYERS},
    unless=without_initialization,
)
def initial_weights_have_mean_zero(subject: Subject, case: Case) -> None:
    """The sum of a layer's weights, in units of its standard deviation."""
    layers = _standardized(drawn_network(subject, case))
    z = np.array([layer.sum() / math.sqrt(layer.size) for layer in layers])
    assert_probable(
        "mean of the initial weights",
        ("layer index",),
        pvalues.normal_p(z),
        ALPHA,
        lambda layer: f"{layers[layer].mean():.3g} standard deviations, {z[layer]:.3g} standard errors",
    )


@statistical(
    Design(
        null="the weights of layer ℓ have variance 2/m_ℓ",
        assumes="independent normal weights of mean 0",
        draws=f"one network, at least {SMALLEST} weights a layer",
        alternative="a variance larger by 9 % or more: 2/m_{ℓ−1}, 1/m_ℓ",
        beta=_missed_variance(1.09, ALPHA / 3),
    ),
    examples={"three layers": LAYERS},
    unless=without_initialization,
)
def initial_weights_have_variance_two_over_the_width(subject: Subject, case: Case) -> None:
    """The width is that of the layer itself, m_ℓ, not its fan-in."""
    layers = _standardized(drawn_network(subject, case))
    p = np.array([pvalues.chi_square_p(np.square(layer).sum(), layer.size) for layer in layers])
    assert_probable(
        "variance of the initial weights",
        ("layer index",),
        p,
        ALPHA,
        lambda layer: f"{np.square(layers[layer]).mean():.4g} times 2/m over {layers[layer].size} weights",
    )


@statistical(
    Design(
        null="the weights of a layer are normal",
        assumes="independent weights",
        draws=f"one network, at least {SMALLEST} weights a layer",
        alternative="a distribution function that is off by 0.032 or more somewhere: uniform weights (0.057), signs",
        beta=float(
            2 * np.exp(-2 * SMALLEST * max(0.032 - math.sqrt(math.log(2 * 3 / ALPHA) / (2 * SMALLEST)), 0.0) ** 2)
        ),
    ),
    examples={"three layers": LAYERS},
    unless=without_initialization,
)
def initial_weights_are_gaussian(subject: Subject, case: Case) -> None:
    """Kolmogorov's distance between the weights of a layer and N(0, 2/m_ℓ)."""
    p = np.array([pvalues.distribution_p(layer.ravel()) for layer in _standardized(drawn_network(subject, case))])
    assert_probable(
        "distribution of the initial weights",
        ("layer index",),
        p,
        ALPHA,
        lambda layer: "Kolmogorov's distance from N(0, 2/m) is too large",
    )


@statistical(
    Design(
        null="rows, columns, layers, triangles of a square layer and the readout are independent",
        assumes="normal weights of the right variance",
        draws=f"one network, at least {SMALLEST // 2} pairs of weights a comparison",
        alternative="a correlation of 0.09 or more: copies, symmetric layers, repeated blocks",
        beta=float(special.ndtr(_normal_limit(ALPHA / PAIRS) - 0.95 * 0.09 * math.sqrt(SMALLEST // 2)))
        + float(special.chdtr(SMALLEST // 2, 0.95**2 * (SMALLEST // 2))),
    ),
    examples={"three layers": LAYERS},
    unless=without_initialization,
)
def initial_weights_are_independent(subject: Subject, case: Case) -> None:
    """Inner products of disjoint parts of the network: normal, given one of the two."""
    network = drawn_network(subject, case)
    layers = _standardized(network)
    pairs = {}
    for number, layer in enumerate(layers, start=1):
        pairs[f"neighbouring rows of layer {number}"] = layer[::2], layer[1::2]
        pairs[f"neighbouring columns of layer {number}"] = layer[:, ::2], layer[:, 1::2]
    above = np.triu_indices(len(layers[2]), 1)
    pairs["the triangles of layer 2"] = layers[1][above], layers[1].T[above]
    pairs["the triangles of layer 3"] = layers[2][above], layers[2].T[above]
    pairs["layers 2 and 3"] = layers[1], layers[2]
    pairs["layer 3 and the readout"] = layers[2], np.repeat(network.readout[:1].T, layers[2].shape[1], axis=1)
    _check_correlations("correlation of initial weights", pairs)


@statistical(
    Design(
        null="networks of different seeds are independent",
        assumes="normal weights of the right variance",
        draws="networks of two neighbouring seeds and of one that differs in its highest bit",
        alternative="a correlation of 0.07 or more: a seed that is ignored or cut, layers that share seeds",
        beta=float(special.ndtr(_normal_limit(ALPHA / PAIRS) - 0.95 * 0.07 * math.sqrt(SMALLEST)))
        + float(special.chdtr(SMALLEST, 0.95**2 * SMALLEST)),
    ),
    examples={"three layers": LAYERS},
    unless=without_initialization,
)
def another_seed_gives_an_independent_network(subject: Subject, case: Case) -> None:
    """Layer by layer, and across layers of the same shape, which neighbouring seeds may share."""
    seed = first_seed(case)
    first, *others = (_standardized(drawn_network(subject, case, other)) for other in (seed, seed ^ 1, seed ^ 1 << 30))
    pairs = {}
    for name, other in zip(("neighbouring seeds", "seeds that differ in bit 30"), others, strict=True):
        for a, b in ((1, 1), (2, 2), (3, 3), (2, 3), (3, 2)):
            pairs[f"{name}, layers {a} and {b}"] = first[a - 1], other[b - 1]
    _check_correlations("correlation of networks", pairs)


@statistical(
    Design(
        null="the same seed gives the same bits, whatever was drawn before",
        assumes="nothing",
        draws="one network, twice",
        alternative="any difference",
        beta=0.0,
        alpha=0.0,
    ),
    examples={"three layers": LAYERS},
    unless=without_initialization,
)
def the_seed_determines_the_initial_network(subject: Subject, case: Case) -> None:
    """Weights and readout repeat to the last bit."""
    seed = first_seed(case)
    first = drawn_network(subject, case, seed)
    drawn_network(subject, case, seed ^ 1)
    again = drawn_network(subject, case, seed)
    for layer, (a, b) in enumerate(zip(first.weights, again.weights, strict=True), start=1):
        assert_identical(f"initial weights, layer {layer}", ("unit", "input"), b, a)
    assert_identical("initial readout", ("output", "unit"), again.readout, first.readout)


@statistical(
    Design(
        null="readout entries are ±1, with probability ½ each, and neighbours are independent",
        assumes="independent entries",
        draws="one network, 4096 signs",
        alternative="other numbers, for certain; a probability of 0.58 or more of +1, or 0.615 of equal neighbours",
        beta=max(pvalues.binomial_miss(4096, 0.5, ALPHA / 4, 0.58), pvalues.binomial_miss(2048, 0.5, ALPHA / 4, 0.615)),
    ),
    examples={"a wide last layer": SIGNS},
    unless=without_initialization,
)
def initial_readout_is_a_fair_sign(subject: Subject, case: Case) -> None:
    """Counts of +1, and of neighbours that agree."""
    readout = drawn_network(subject, case).readout
    if not (np.abs(readout) == 1).all():
        wrong = readout[np.abs(readout) != 1]
        raise Mismatch(f"initial readout: expected entries ±1, got {wrong[0]:.6g} and {wrong.size - 1} others")
    signs = readout[0]
    counts = np.array([(signs > 0).sum(), (signs[::2] == signs[1::2]).sum()])
    trials = np.array([signs.size, signs.size // 2])
    p = np.array([pvalues.binomial_p(count, int(n), 0.5) for count, n in zip(counts, trials, strict=True)])
    assert_probable(
        "signs of the initial readout",
        ("test",),
        p,
        ALPHA,
        lambda test: f"{counts[test]} of {trials[test]} {('are +1', 'pairs of neighbours agree')[test]}",
    )


def _standardized(network: Network) -> list[Float[np.ndarray, "_ _"]]:
    """Weights over √(2/m_ℓ), in float64."""
    return [weight.astype(np.float64) / math.sqrt(2 / len(weight)) for weight in network.weights]


def _check_correlations(what: str, pairs: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """⟨u, v⟩/‖v‖ is standard normal for standard normal u, independent of v."""
    names = list(pairs)
    z = np.array([float(np.vdot(u, v)) / float(np.linalg.norm(v)) for u, v in pairs.values()])
    assert_probable(
        what,
        ("comparison",),
        pvalues.normal_p(z),
        ALPHA,
        lambda index: f"{names[index]}: ⟨u, v⟩/‖v‖ is {z[index]:.3g}, and standard normal if they are independent",
    )
