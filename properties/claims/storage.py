"""Properties of weights that are stored in a narrower dtype: rounded once, and by what rule, and never again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

import reference
from properties.cases.case import Case
from properties.cases.storage import TIE, stored
from properties.cases.strategies import NAMED_CASES, NAMED_LATTICE_CASES, cases, lattice_cases
from properties.runner.compare import Mismatch, assert_identical
from properties.runner.registry import register
from properties.runner.subject import Subject
from reference.contract import Capabilities, Network

#: Lower halves of a float32: on a bfloat16, next to it, next to a tie between two of them, and on it.
LOWER = np.array([0, 1, TIE - 1, TIE, TIE + 1, 0xFFFF], np.uint32)

#: Numbers below the least normal one: in bfloat16 there are 127 of them, the least one 2⁻¹³³.
SUBNORMAL = np.array([2.0**-127, 1.5 * 2.0**-133, 2.5 * 2.0**-133, 2.0**-133, 2.0**-134, 2.0**-149], np.float32)

#: The bits of the least float32 that rounds to infinity: halfway from the largest bfloat16 to 2¹²⁸.
BEYOND = np.uint32(0x7F7F8000)

CORNERS = {name: NAMED_CASES[name] for name in ("four layers", "float32", "one unit", "three outputs")}


def _kept_whole(subject: Subject) -> str:
    return "" if subject.capabilities.storage else "the implementation stores weights in the dtype that it computes in"


def few_cases(capabilities: Capabilities) -> st.SearchStrategy[Case]:
    """Cases of one layer, for what is said of single weights."""
    return cases(capabilities).map(lambda case: replace(case, widths=case.widths[:1], trained=None))


@register("to_network", strategy=cases, examples=CORNERS, weight=0.5, unless=_kept_whole)
def weights_are_stored_to_nearest_and_ties_to_even(subject: Subject, case: Case) -> None:
    """Bit for bit, next to ties and on them, subnormal numbers and signed zeros included."""
    generator = np.random.default_rng((case.seed, 21))
    weights = []
    for weight in case.network.weights:
        bits = weight.view(np.uint32) | generator.choice(LOWER, weight.shape)
        given = bits.view(np.float32).copy()
        small = generator.random(weight.shape) < 0.25
        given[small] = generator.choice(SUBNORMAL, int(small.sum())) * generator.choice([-1, 1], int(small.sum()))
        weights.append(given.astype(np.float32))
    implementation = subject.build(case, replace(case.network, weights=weights))
    for layer, (got, given) in enumerate(zip(implementation.to_network().weights, weights, strict=True), start=1):
        expected = stored(given, case.storage)
        assert_identical(f"weights as stored, layer {layer}", ("unit", "input"), got, expected)


@register(
    "forward",
    "active_sets",
    "jacobian_factors",
    strategy=lattice_cases,
    examples=NAMED_LATTICE_CASES,
    unless=_kept_whole,
)
def evaluations_are_of_the_stored_weights(subject: Subject, case: Case) -> None:
    """Weights within half a unit of small integers are these integers: all sums are exact, and z = τ is inactive.

    The weights that are given would put units on either side of a threshold that the stored ones meet.
    """
    network = _near(case.network, np.random.default_rng((case.seed, 22)))
    implementation, oracle = subject.build(case, network), reference.factory(case.network)
    masks = zip(implementation.active_sets(case.X), oracle.active_sets(case.X), strict=True)
    for layer, (mask, expected) in enumerate(masks, start=1):
        what = f"active_sets of the stored weights, layer {layer}"
        assert_identical(what, ("sample", "unit"), np.asarray(mask), np.asarray(expected))
    outputs, expected_outputs = implementation.forward(case.X), oracle.forward(case.X)
    assert_identical("forward of the stored weights", ("sample", "output"), outputs, expected_outputs)
    factors = zip(implementation.jacobian_factors(case.X), oracle.jacobian_factors(case.X), strict=True)
    for layer, ((left, right), (expected_left, expected_right)) in enumerate(factors, start=1):
        what = f"factor of the stored weights, layer {layer}"
        assert_identical(f"left {what}", ("sample", "output", "unit"), left, expected_left)
        assert_identical(f"right {what}", ("sample", "unit"), right, expected_right)


@register("to_network", strategy=few_cases, examples=CORNERS, weight=0.1, unless=_kept_whole)
def weights_beyond_the_range_of_the_storage_are_refused(subject: Subject, case: Case) -> None:
    """A float32 that rounds to infinity is a ValueError that names the weights; the one before it is a number."""
    generator = np.random.default_rng((case.seed, 23))
    for sign in (1.0, -1.0):
        for bits, finite in ((BEYOND - np.uint32(1), True), (BEYOND, False), (np.uint32(0x7F7FFFFF), False)):
            layer = int(generator.integers(case.network.depth))
            weights = [weight.copy() for weight in case.network.weights]
            at = generator.integers(weights[layer].size)
            weights[layer].flat[at] = sign * bits.view(np.float32)
            given = replace(case.network, weights=weights)
            value = weights[layer].flat[at]
            try:
                built = subject.factory(given, device=subject.device, dtype=case.dtype)
            except ValueError as error:
                if finite or "weights" not in str(error):
                    raise Mismatch(f"factory, a weight of {value!r}: got {error}") from error
                continue
            if not finite:
                raise Mismatch(f"factory, a weight of {value!r}: expected a ValueError naming weights, got none")
            got, expected = built.to_network().weights[layer], stored(weights[layer], case.storage)
            assert_identical(f"weights as stored, layer {layer + 1}", ("unit", "input"), got, expected)


def _near(network: Network, generator: np.random.Generator) -> Network:
    """Weights that round to those of a network whose last digit is even: at most half a unit above or below."""
    weights = []
    for weight in network.weights:
        bits = weight.view(np.uint32).astype(np.int64)
        off = generator.choice([0, 1, int(TIE) - 1, int(TIE)], weight.shape)
        below = (generator.random(weight.shape) < 0.5) & (weight != 0.0)  # there is nothing below the bits of a zero
        weights.append(np.where(below, bits - off, bits + off).astype(np.uint32).view(np.float32))
    return replace(network, weights=weights)
