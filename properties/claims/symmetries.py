"""Properties of exact symmetries: a network and its batch are changed so that the results are known from those before.

Where sums may be taken in another order, the two results are compared within the sum of both bounds, and bit for bit
on integers. Scaling by powers of two commutes with rounding, and zero times anything is zero: there, on a CPU, results
are compared bit for bit whatever the numbers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from properties.cases.case import Case
from properties.cases.strategies import NAMED_CORNERS, NAMED_LATTICE_CASES, cases, symmetry_cases
from properties.runner.compare import Mismatch, assert_identical
from properties.runner.registry import register
from properties.runner.subject import Subject
from properties.tolerances.evaluated import Evaluated, assert_same, evaluate
from properties.tolerances.rounding import Bounded
from reference.contract import Network
from reference.contract.shapes import Float

#: Symmetries are also tried on integers.
NAMED_TIES = {name: NAMED_LATTICE_CASES[name] for name in ("ties", "ties with biases")}


@register("forward", "active_sets", strategy=symmetry_cases, examples=NAMED_CORNERS | NAMED_TIES, weight=0.3)
def permuting_hidden_units_permutes_factors_and_nothing_else(subject: Subject, case: Case) -> None:
    """Rows of W_ℓ and β_ℓ with the columns of W_{ℓ+1} or of the readout."""
    generator = np.random.default_rng((case.seed, 10))
    network, expected = case.network, evaluate(subject, case)
    for layer, width in enumerate(case.widths, start=1):
        order = generator.permutation(width)
        network = _with_units(network, layer, order)
        expected = expected.at_units(layer, order)
    assert_same(evaluate(subject, case, network), expected)


@register("forward", "active_sets", strategy=symmetry_cases, examples=NAMED_CORNERS | NAMED_TIES, weight=0.3)
def permuting_inputs_with_their_weights_changes_nothing(subject: Subject, case: Case) -> None:
    """Columns of X with the columns of W_1."""
    order = np.random.default_rng((case.seed, 11)).permutation(case.input_dimension)
    first, *others = case.network.weights
    network = replace(case.network, weights=[first[:, order], *others])
    assert_same(evaluate(subject, case, network, case.X[:, order]), evaluate(subject, case).at_units(0, order))


@register("forward", "active_sets", strategy=symmetry_cases, examples=NAMED_CORNERS | NAMED_TIES, weight=0.3)
def permuting_outputs_permutes_blocks_of_the_gram_matrix(subject: Subject, case: Case) -> None:
    """Rows of the readout."""
    order = np.random.default_rng((case.seed, 12)).permutation(case.outputs)
    bias = case.network.readout_bias
    network = replace(
        case.network, readout=case.network.readout[order], readout_bias=None if bias is None else bias[order]
    )
    assert_same(evaluate(subject, case, network), evaluate(subject, case).at_outputs(order))


@register("forward", "active_sets", strategy=symmetry_cases, examples=NAMED_CORNERS | NAMED_TIES, weight=0.3)
def results_do_not_depend_on_the_order_of_samples(subject: Subject, case: Case) -> None:
    """Permuted samples, permuted results."""
    _check_samples(subject, case, np.random.default_rng((case.seed, 13)).permutation(case.samples))


@register("forward", "active_sets", strategy=symmetry_cases, examples=NAMED_CORNERS | NAMED_TIES, weight=0.3)
def repeated_samples_have_repeated_results(subject: Subject, case: Case) -> None:
    """A batch with a sample twice: rows and Gram blocks twice."""
    again = np.random.default_rng((case.seed, 14)).integers(case.samples, size=2)
    _check_samples(subject, case, np.concatenate([again[:1], np.arange(case.samples), again]))


@register("forward", "active_sets", strategy=symmetry_cases, examples=NAMED_CORNERS | NAMED_TIES, weight=0.3)
def results_of_a_part_are_those_of_the_batch(subject: Subject, case: Case) -> None:
    """A batch in two parts, each by itself."""
    half = (case.samples + 1) // 2
    parts = [np.arange(half)] + ([np.arange(half, case.samples)] if case.samples > 1 else [])
    for part in parts:
        _check_samples(subject, case, part)


@register("forward", "active_sets", strategy=symmetry_cases, examples=NAMED_CORNERS | NAMED_TIES, weight=0.3)
def adding_dead_units_changes_nothing(subject: Subject, case: Case) -> None:
    """Units with weights of zero and no positive bias, whatever reads them; at τ = 0, where no width matters."""
    case = replace(case, b=0.0)
    generator = np.random.default_rng((case.seed, 15))
    network = case.network
    for layer in range(1, len(case.widths) + 1):
        network = _with_dead_units(network, layer, 2, generator)
    got = evaluate(subject, case, network)
    for layer, width in enumerate(case.widths, start=1):
        new = got.at_units(layer, np.arange(width, width + 2))
        what = f"dead units, layer {layer}"
        if new.masks[layer - 1].any():
            raise Mismatch(f"active_sets, {what}: expected inactive, got active")
        for factor in [*new.left[layer - 1 : layer], *new.right[layer : layer + 1]]:
            largest = np.abs(factor.value).reshape(-1, 2).max(axis=0)
            assert_identical(f"factors of {what}", ("unit",), largest, np.zeros(2))
        got = got.at_units(layer, np.arange(width))
    assert_same(got, evaluate(subject, case))


@register("forward", "active_sets", strategy=cases, examples=NAMED_CORNERS, weight=0.3)
def weights_out_of_inactive_units_change_nothing(subject: Subject, case: Case) -> None:
    """Columns of W_{ℓ+1} and of the readout at units that are inactive for the whole batch: h = 0 there."""
    generator = np.random.default_rng((case.seed, 16))
    expected = evaluate(subject, case)
    weights, readout = [weight.copy() for weight in case.network.weights], case.network.readout.copy()
    for layer, mask in enumerate(expected.masks):
        matrix = [*weights, readout][layer + 1]
        unused = ~mask.any(axis=0)
        matrix[:, unused] = generator.standard_normal((len(matrix), int(unused.sum())))
    network = replace(case.network, weights=weights, readout=readout)
    assert_same(evaluate(subject, case, network), expected, bitwise=_repeats(subject))


@register("forward", "active_sets", strategy=cases, examples=NAMED_CORNERS, weight=0.3)
def scaling_the_readout_scales_outputs_and_left_factors(subject: Subject, case: Case) -> None:
    """By a power of two, to the last bit."""
    size = 2.0 ** np.random.default_rng((case.seed, 17)).choice([-3, 5])
    bias = case.network.readout_bias
    network = replace(
        case.network,
        readout=_times(case.network.readout, size),
        readout_bias=None if bias is None else _times(bias, size),
    )
    expected = _scaled(evaluate(subject, case), outputs=size, left=size, right=1.0)
    assert_same(evaluate(subject, case, network), expected, bitwise=_repeats(subject))


@register("forward", "active_sets", strategy=cases, examples=NAMED_CORNERS, weight=0.3)
def the_network_is_positively_homogeneous_without_threshold(subject: Subject, case: Case) -> None:
    """b = 0: inputs and biases times a power of two, outputs and right factors times the same, to the last bit."""
    case = replace(case, b=0.0)
    size = 2.0 ** np.random.default_rng((case.seed, 18)).choice([-3, 5])
    biases, bias = case.network.biases, case.network.readout_bias
    network = replace(
        case.network,
        biases=None if biases is None else [_times(beta, size) for beta in biases],
        readout_bias=None if bias is None else _times(bias, size),
    )
    expected = _scaled(evaluate(subject, case), outputs=size, left=1.0, right=size)
    assert_same(evaluate(subject, case, network, _times(case.X, size)), expected, bitwise=_repeats(subject))


@register("forward", "active_sets", strategy=cases, examples=NAMED_CORNERS, weight=0.3)
def rescaling_a_unit_against_what_is_read_from_it_changes_nothing(subject: Subject, case: Case) -> None:
    """b = 0: a row of W_ℓ and its bias times a power of two, the column after it divided by it, to the last bit."""
    case = replace(case, b=0.0, trained=None)
    generator = np.random.default_rng((case.seed, 19))
    network, expected = case.network, replace(evaluate(subject, case), gram=None)
    for layer, width in enumerate(case.widths, start=1):
        sizes = 2.0 ** generator.integers(-2, 3, width)
        network = _with_rescaled_units(network, layer, sizes)
        left, right = list(expected.left), list(expected.right)
        if left:
            left[layer - 1] = _bounded_times(left[layer - 1], 1.0 / sizes)
        if layer < len(right):
            right[layer] = _bounded_times(right[layer], sizes)
        expected = replace(expected, left=left, right=right)
    got = replace(evaluate(subject, case, network), gram=None)
    assert_same(got, expected, bitwise=_repeats(subject))


def _check_samples(subject: Subject, case: Case, index: np.ndarray) -> None:
    implementation = subject.build(case)
    whole = evaluate(subject, case, built=implementation)
    assert_same(evaluate(subject, case, X=case.X[index], built=implementation), whole.at_samples(index))


def _repeats(subject: Subject) -> bool:
    """Whether the same operations give the same bits: on a CPU; other devices may add in any order."""
    return subject.device == "cpu"


def _with_units(network: Network, layer: int, order: np.ndarray) -> Network:
    weights = list(network.weights)
    weights[layer - 1] = weights[layer - 1][order]
    biases = None if network.biases is None else list(network.biases)
    if biases is not None:
        biases[layer - 1] = biases[layer - 1][order]
    if layer < len(weights):
        weights[layer] = weights[layer][:, order]
        return replace(network, weights=weights, biases=biases)
    return replace(network, weights=weights, biases=biases, readout=network.readout[:, order])


def _with_dead_units(network: Network, layer: int, units: int, generator: np.random.Generator) -> Network:
    def more_columns(matrix: np.ndarray) -> np.ndarray:
        return np.hstack([matrix, generator.integers(-2, 3, (len(matrix), units)).astype(matrix.dtype)])

    weights = list(network.weights)
    dtype = weights[layer - 1].dtype
    weights[layer - 1] = np.vstack([weights[layer - 1], np.zeros((units, weights[layer - 1].shape[1]), dtype)])
    biases = None if network.biases is None else list(network.biases)
    if biases is not None:
        biases[layer - 1] = np.concatenate([biases[layer - 1], -np.arange(units, dtype=dtype)])
    if layer < len(weights):
        weights[layer] = more_columns(weights[layer])
        return replace(network, weights=weights, biases=biases)
    return replace(network, weights=weights, biases=biases, readout=more_columns(network.readout))


def _with_rescaled_units(network: Network, layer: int, sizes: Float[np.ndarray, " m"]) -> Network:
    weights = list(network.weights)
    weights[layer - 1] = _times(weights[layer - 1], sizes[:, None])
    biases = None if network.biases is None else list(network.biases)
    if biases is not None:
        biases[layer - 1] = _times(biases[layer - 1], sizes)
    if layer < len(weights):
        weights[layer] = _times(weights[layer], 1.0 / sizes)
        return replace(network, weights=weights, biases=biases)
    return replace(network, weights=weights, biases=biases, readout=_times(network.readout, 1.0 / sizes))


def _times(array: np.ndarray, size: float | np.ndarray) -> np.ndarray:
    return (array * size).astype(array.dtype)


def _bounded_times(a: Bounded, size: float | np.ndarray) -> Bounded:
    return Bounded(size * a.value, size * a.error)


def _scaled(a: Evaluated, *, outputs: float, left: float, right: float) -> Evaluated:
    return Evaluated(
        a.masks,
        _bounded_times(a.outputs, outputs),
        [_bounded_times(g, left) for g in a.left],
        [_bounded_times(h, right) for h in a.right],
        None if a.gram is None else _bounded_times(a.gram, (left * right) ** 2),
    )
