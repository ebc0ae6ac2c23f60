"""Properties of numbers beyond the dtype's range: they are errors, infinities or NaN, and never plausible numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from properties.cases.case import Case
from properties.cases.strategies import NAMED_CASES, cases
from properties.claims.steps import part, take, with_batch
from properties.runner.compare import Mismatch
from properties.runner.registry import needs_methods, register
from properties.runner.subject import Subject
from properties.tolerances.rounding import UNIT_ROUNDOFF
from reference import Reference
from reference.contract import Network
from reference.contract.shapes import Float
from reference.forward import forward

CORNERS = {
    name: NAMED_CASES[name]
    for name in ("one sample", "all units active", "float32", "float32 thresholded identity", "odd and unequal widths")
}

#: Binary exponents of the inputs: in the last ones first squares, then sums of products leave the range.
EXPONENTS = {"float32": (0, 40, 70, 120, 126), "float64": (0, 200, 520, 700, 1020)}

#: Rounding of a quotient of two sums of positive terms is far below this factor.
ROUNDING = 2.0


@register("forward", strategy=cases, examples=CORNERS, weight=0.2)
def outputs_beyond_the_range_of_the_dtype_are_no_numbers(subject: Subject, case: Case) -> None:
    """An output too large for the dtype is an error, an infinity or NaN: not a number, which would seem right.

    Judged where only the readout overflows: in a layer a partial sum may reach −∞, which an activation takes to 0.
    """
    largest = float(np.finfo(case.dtype).max)
    large = replace(case.network, readout=np.ldexp(case.network.readout, 20))
    for scaled in _scaled(with_batch(case, case.X, case.y, large)):
        with np.errstate(over="ignore", invalid="ignore"):
            expected = np.abs(Reference(scaled.network, ()).forward(scaled.X))
        beyond = ~(expected <= 4.0 * largest)
        if not beyond.any() or not _layers_stay_below(0.25 * largest, scaled.network, scaled.X):
            continue
        try:
            got = np.asarray(subject.build(scaled).forward(scaled.X))
        except ArithmeticError:
            continue
        wrong = beyond & (np.abs(got) <= largest)
        if wrong.any():
            sample, output = (int(i) for i in np.argwhere(wrong)[0])
            raise Mismatch(
                f"forward: sample {sample}, output {output} is beyond the range of {case.dtype}, "
                f"but got {got[sample, output]:.17g}"
            )


@register(
    "step",
    "to_network",
    strategy=cases,
    examples=CORNERS,
    weight=0.2,
    unless=needs_methods("gauss_newton"),
)
def a_damped_step_is_bounded_whatever_the_scale(subject: Subject, case: Case) -> None:
    """‖ΔW‖_F ≤ η|r|/(2√λ) for one sample, one output and the squared loss.

    With σ = ‖J‖ it is η|r|·σ/(σ² + λ). So a Gram matrix that overflows and is taken for something else shows.
    """
    one = replace(case, outputs=1, loss="squared")
    for scaled in _scaled(part(one, slice(0, 1))):
        implementation = subject.build(scaled)
        before = implementation.to_network()
        try:
            take(implementation, scaled, "gauss_newton", learning_rate=1.0, damping=1.0)
        except ArithmeticError:
            continue
        r = np.abs(Reference(scaled.network, ()).forward(scaled.X) - scaled.y).max()
        after = implementation.to_network()
        for layer, (new, old) in enumerate(zip(after.weights, before.weights, strict=True), start=1):
            moved, size = _norm(new.astype(np.float64) - old), _norm(old.astype(np.float64))
            bound = ROUNDING * 0.5 * float(r) + 2.0 * UNIT_ROUNDOFF[case.dtype] * size
            if not moved <= bound:
                raise Mismatch(
                    f"weights after gauss_newton, layer {layer}: at damping 1 they move by at most {bound:.6g}, "
                    f"got {moved:.6g}"
                )


def _layers_stay_below(largest: float, network: Network, X: Float[np.ndarray, "n d"]) -> bool:
    """Whether no hidden value and no partial sum of a preactivation can exceed it, in any order of summation."""
    trace = forward(network, X.astype(np.float64))
    sums = [np.abs(h) @ np.abs(W.T) for h, W in zip(trace.hidden, network.weights, strict=False)]
    biases = [np.abs(bias).max() for bias in network.biases or ()]
    return max(np.max(numbers, initial=0.0) for numbers in (*sums, *biases, *trace.hidden)) < largest


def _scaled(case: Case) -> Iterator[Case]:
    """The case with inputs of growing magnitude, as long as these are finite."""
    size = float(np.abs(case.X).max())
    for exponent in EXPONENTS[case.dtype]:
        X = np.ldexp(case.X / (size or 1.0), exponent).astype(case.dtype)
        yield with_batch(case, X, case.y, case.network)


def _norm(matrix: np.ndarray) -> float:
    """The Frobenius norm, of numbers whose squares overflow, too."""
    size = float(np.abs(matrix).max())
    return size * float(np.linalg.norm(matrix / size)) if 0.0 < size < np.inf else size
