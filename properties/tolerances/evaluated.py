"""All that an implementation says of one batch, number by number with bounds, to be held against itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from properties.cases.case import Case
from properties.runner.compare import Mismatch, assert_close, assert_identical, assert_masks
from properties.runner.subject import Subject
from properties.tolerances import bounds
from properties.tolerances.replay import replay
from properties.tolerances.rounding import Arithmetic, Bounded
from reference.contract import Implementation, Network
from reference.contract.shapes import Bool, Float, Int


@dataclass(frozen=True)
class Evaluated:
    """The implementation's own numbers, with bounds on how far each may be from the exact one.

    Attributes:
        masks: The active units of every layer, (n, m_ℓ).
        outputs: f, (n, c).
        left: g_ℓ, (n, c, m_ℓ); empty where the implementation has no factors.
        right: h_{ℓ−1}, (n, m_{ℓ−1}); likewise.
        gram: G, (n·c, n·c), None where the implementation has none.
    """

    masks: list[Bool[np.ndarray, "n _"]]
    outputs: Bounded
    left: list[Bounded]
    right: list[Bounded]
    gram: Bounded | None

    def at_samples(self, index: Int[np.ndarray, " k"]) -> Evaluated:
        """The same numbers for a choice of samples, in that order, with repetitions."""
        outputs = self.outputs.value.shape[1]
        rows = (index[:, None] * outputs + np.arange(outputs)).ravel()
        return Evaluated(
            [mask[index] for mask in self.masks],
            at(self.outputs, index),
            [at(left, index) for left in self.left],
            [at(right, index) for right in self.right],
            None if self.gram is None else at(self.gram, np.ix_(rows, rows)),
        )

    def at_outputs(self, order: Int[np.ndarray, " k"]) -> Evaluated:
        """The same numbers with the outputs in another order."""
        samples, outputs = self.outputs.value.shape
        rows = (np.arange(samples)[:, None] * outputs + order).ravel()
        return replace(
            self,
            outputs=at(self.outputs, np.s_[:, order]),
            left=[at(left, np.s_[:, order]) for left in self.left],
            gram=None if self.gram is None else at(self.gram, np.ix_(rows, rows)),
        )

    def at_units(self, layer: int, order: Int[np.ndarray, " k"]) -> Evaluated:
        """The same numbers for a choice of units of layer ℓ, in that order; ℓ = 0 are the inputs."""
        masks, left, right = list(self.masks), list(self.left), list(self.right)
        if layer > 0:
            masks[layer - 1] = masks[layer - 1][:, order]
        if layer > 0 and left:
            left[layer - 1] = at(left[layer - 1], np.s_[:, :, order])
        if layer < len(right):
            right[layer] = at(right[layer], np.s_[:, order])
        return replace(self, masks=masks, left=left, right=right)


def evaluate(
    subject: Subject,
    case: Case,
    network: Network | None = None,
    X: Float[np.ndarray, "n d"] | None = None,
    built: Implementation | None = None,
) -> Evaluated:
    """Evaluates a network in the case's dtype, by default the case's own, at its samples unless others are given.

    On the lattice nothing rounds, and bounds are zero; but in float32 the Gram matrix leaves the exact integers.
    """
    network, X = network or case.network, case.X if X is None else X
    implementation = built or subject.build(case, network)
    operations = subject.capabilities.operations
    masks = [np.asarray(mask) for mask in implementation.active_sets(X)]
    arithmetic = Arithmetic(case.dtype)
    usable = masks if [mask.shape for mask in masks] == [(len(X), width) for width in network.widths[1:]] else None
    oracle = replay(network, X.astype(np.float64), arithmetic, usable, subject.summands(implementation))
    assert_masks(masks, oracle)
    factors = implementation.jacobian_factors(X) if "jacobian_factors" in operations else []
    if factors and len(factors) != network.depth:
        raise Mismatch(f"jacobian_factors: expected {network.depth} pairs, got {len(factors)}")

    def bounded(got: np.ndarray, expected: Bounded, exact: bool = case.lattice) -> Bounded:
        value = np.asarray(got, np.float64)
        if value.shape != expected.value.shape:
            raise Mismatch(f"expected shape {expected.value.shape}, got {value.shape}")
        return Bounded(value, np.zeros_like(value) if exact else expected.error)

    gram = None
    if "gram" in operations:
        expected = bounds.gram(oracle, arithmetic, case.trained)
        gram = bounded(implementation.gram(X), expected, exact=case.lattice and case.dtype == "float64")
    return Evaluated(
        masks,
        bounded(implementation.forward(X), oracle.outputs),
        [bounded(left, bound) for (left, _), bound in zip(factors, oracle.left, strict=False)],
        [bounded(right, bound) for (_, right), bound in zip(factors, oracle.hidden, strict=False)],
        gram,
    )


def assert_same(got: Evaluated, expected: Evaluated, *, bitwise: bool = False) -> None:
    """Compares two evaluations that are equal but for rounding, or to the last bit.

    A sample whose masks differ somewhere is left out: each side's masks are legal already, and ambiguous units may be
    decided either way.

    Raises:
        Mismatch: naming the worst element.
    """
    if bitwise:
        got, expected = _unbounded(got), _unbounded(expected)
        for layer, (mask, other) in enumerate(zip(got.masks, expected.masks, strict=True), start=1):
            assert_identical(f"active_sets, layer {layer}", ("sample", "unit"), mask, other)
    pairs = zip(got.masks, expected.masks, strict=True)
    index = np.flatnonzero(np.all([(mask == other).all(axis=1) for mask, other in pairs], axis=0))
    got, expected = got.at_samples(index), expected.at_samples(index)
    _assert("forward", ("sample", "output"), got.outputs, expected.outputs)
    for layer, factors in enumerate(zip(got.left, expected.left, strict=True), start=1):
        _assert(f"left factor, layer {layer}", ("sample", "output", "unit"), *factors)
    for layer, factors in enumerate(zip(got.right, expected.right, strict=True), start=1):
        _assert(f"right factor, layer {layer}", ("sample", "unit"), *factors)
    if got.gram is not None and expected.gram is not None:
        _assert("gram", ("row", "column"), got.gram, expected.gram)


def at(a: Bounded, index: Any) -> Bounded:
    """The elements of a bounded array at an index."""
    return Bounded(a.value[index], a.error[index])


def _assert(what: str, axes: Sequence[str], got: Bounded, expected: Bounded) -> None:
    if got.error.any() or expected.error.any():
        assert_close(what, axes, got.value, Bounded(expected.value, got.error + expected.error))
    else:
        assert_identical(what, axes, got.value, expected.value)


def _unbounded(a: Evaluated) -> Evaluated:
    def bare(a: Bounded) -> Bounded:
        return Bounded(a.value, np.zeros_like(a.value))

    gram = None if a.gram is None else bare(a.gram)
    return Evaluated(a.masks, bare(a.outputs), [bare(g) for g in a.left], [bare(h) for h in a.right], gram)
