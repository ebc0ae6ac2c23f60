"""Properties of counted work: between what the masks demand of any algorithm, and a dense pass.

With k_{i,ℓ} nonzero elements of h_{i,ℓ} and the samples that differ, a first step from new weights multiplies at least

    forward   Σ_i k_{i,ℓ} k_{i,ℓ−1}    every active preactivation is an inner product with nonzero inputs
    backward  Σ_i k_{i,ℓ} k_{i,ℓ−1}    likewise g_{ℓ−1} on its support, down to the first trained layer
    gram      Σ_i c·k_{i,ℓ}            every element of a left factor enters, there or in the solve
    update    Σ_i k_{i,ℓ} k_{i,ℓ−1}    where updates are written in place

and a dense implementation n·m_ℓ·m_{ℓ−1} (times c backward), (nc)²·m_ℓ + n²·m_{ℓ−1} for the Gram matrix; elementwise
products come to that. Where all units are active the two sides meet: a counter that forgets samples, units or layers
shows there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from properties.cases.case import Case
from properties.cases.strategies import cases, within
from properties.claims.steps import part, take
from properties.runner.compare import Mismatch
from properties.runner.registry import register
from properties.runner.subject import Subject
from properties.tolerances.replay import Replay
from reference.contract import PHASES, Capabilities, LayerWork, StepReport

#: Elementwise products a value of a layer's inputs, outputs and left factors: bias, shift, scale, mask, and one over.
ELEMENTWISE = 5

#: Samples of about unit norm, so that the default threshold leaves few units active.
WIDE = {
    "default threshold, m = 256": Case(
        widths=(256, 256), input_dimension=16, magnitude=-2, b=None, samples=3, dtype="float32"
    )
}

NAMED = {
    "all units active": Case(widths=(48, 40, 44), b=-30.0, samples=4, input_dimension=9),
    "all units active, three outputs": Case(widths=(40, 36), b=-30.0, samples=3, outputs=3, dtype="float32"),
    "half of the units active": Case(widths=(40, 44, 36), b=0.0, samples=5, biases=True),
    "default threshold": Case(widths=(64, 60), b=None, samples=4),
    "one sample": Case(widths=(20, 24), b=0.0, samples=1),
    "dead samples": Case(widths=(20, 24), b=0.5, samples=4, zeros=2),
    "all samples dead": Case(widths=(6, 6), b=8.0, samples=3),
    "the last layer trained": Case(widths=(24, 20, 28), b=0.0, trained=(3,)),
    "thresholded identity": Case(widths=(40, 36), kind="thresholded_identity", b=0.25, samples=4),
}

#: Of a weight in a storage.
STORED_BYTES = {"bfloat16": 2}

Bounds = tuple[str, int, int, int]  # phase, layer, least and most multiply-adds


def _counts_nothing(subject: Subject) -> str:
    return "" if subject.capabilities.counts_work else "the implementation declares no counted work"


def squared_cases(capabilities: Capabilities) -> st.SearchStrategy[Case]:
    """With the squared loss no residual is zero, so that no sample may be left out."""
    return cases(capabilities).map(lambda case: replace(case, loss="squared"))


def wide_cases(capabilities: Capabilities) -> st.SearchStrategy[Case]:
    """The wide case with other numbers."""
    wide = within(WIDE["default threshold, m = 256"], capabilities)
    return st.nothing() if wide is None else st.builds(lambda seed: replace(wide, seed=seed), st.integers(0, 2**16))


@register("step", "active_sets", strategy=squared_cases, examples=NAMED, weight=0.3, unless=_counts_nothing)
def counted_multiply_adds_are_what_masks_demand_up_to_a_dense_pass(subject: Subject, case: Case) -> None:
    """By phase and layer; every phase of the method is there, and no phase or layer beside."""
    for method in subject.capabilities.methods:
        oracle, report = _first_step(subject, case, method)
        _check_names(report, len(case.widths), method)
        for phase, layer, least, most in _multiply_adds(case, oracle, method, bool(report.ranks)):
            counted = _work(report, phase, layer).multiply_adds
            elsewhere = _work(report, "solve", layer).multiply_adds if phase == "gram" else 0  # it may not be formed
            if not least - elsewhere <= counted <= most:
                raise Mismatch(
                    f"multiply-adds of {phase}, layer {layer}, {method}: expected {least} to {most}, got {counted}"
                )


@register("step", "active_sets", strategy=squared_cases, examples=NAMED, weight=0.2, unless=_counts_nothing)
def counted_bytes_are_at_least_those_of_the_weights_in_use(subject: Subject, case: Case) -> None:
    """A weight between two active units is read forward and backward, and written by an update in place."""
    size = np.dtype(case.dtype).itemsize
    held = size if case.storage is None else STORED_BYTES[case.storage]
    for method in subject.capabilities.methods:
        oracle, report = _first_step(subject, case, method)
        trained = case.trained or range(1, len(case.widths) + 1)
        for layer in range(1, len(case.widths) + 1):
            outputs, inputs = _nonzero(oracle, layer), _nonzero(oracle, layer - 1)
            used = int((outputs.T.astype(int) @ inputs.astype(int) > 0).sum()) * held
            for phase, moved in (
                ("forward", used),
                ("backward", used if layer > min(trained) else 0),
                (
                    "update",
                    0 if layer not in trained else size * int(outputs.any(axis=0).sum()) if report.ranks else used,
                ),
            ):
                counted = _work(report, phase, layer).bytes
                if counted < moved:
                    raise Mismatch(
                        f"bytes of {phase}, layer {layer}, {method}: expected at least {moved}, got {counted}"
                    )


@register("step", "active_sets", strategy=squared_cases, examples=NAMED, weight=0.2, unless=_counts_nothing)
def counted_work_adds_up_over_samples(subject: Subject, case: Case) -> None:
    """Forward, backward and update of a batch: the work of its parts, up to one sample's elementwise products."""
    if case.samples < 2:
        return
    cut = (case.samples + 1) // 2
    for method in subject.capabilities.methods:
        (whole, together), *parts = (
            _first_step(subject, part(case, chosen), method) for chosen in (slice(None), slice(cut), slice(cut, None))
        )
        masks = [np.vstack(both) for both in zip(*(oracle.masks for oracle, _ in parts), strict=True)]
        if any((a != b).any() for a, b in zip(whole.masks, masks, strict=True)):
            return
        if len(np.unique(case.X, axis=0)) < case.samples or together.folds:
            return  # who computes repeated samples once counts them once
        for phase in ("forward", "backward", "update"):
            for layer in range(1, len(case.widths) + 1):
                got = _work(together, phase, layer).multiply_adds
                expected = sum(_work(report, phase, layer).multiply_adds for _, report in parts)
                if abs(got - expected) > _elementwise(case, layer) // case.samples:
                    raise Mismatch(
                        f"multiply-adds of {phase}, layer {layer}, {method}: expected those of two parts, "
                        f"{expected}, got {got}"
                    )


@register("step", "active_sets", strategy=squared_cases, examples=NAMED, weight=0.1, unless=_counts_nothing)
def identical_steps_count_the_same_work(subject: Subject, case: Case) -> None:
    """Counts follow from index sizes: not from time, and not from what was counted before."""
    for method in subject.capabilities.methods:
        counts = [_numbers(_first_step(subject, case, method)[1]) for _ in range(2)]
        implementation = subject.build(case)
        for _ in range(2):  # of no length, so that the weights are the same
            report = take(implementation, case, method, learning_rate=0.0, damping=case.damping or 1.0)
            counts.append(_numbers(report))
        if report.ranks:  # weights that are held as sums grow by a summand, and so does the work
            del counts[2:]
        if counts[::2] != counts[1::2]:
            raise Mismatch(f"counted work of identical steps, {method}: {counts[::2]} and {counts[1::2]}")


@register(
    "step",
    "active_sets",
    strategy=wide_cases,
    examples=WIDE,
    weight=0.02,
    unless=lambda subject: (
        _counts_nothing(subject)
        or ("" if subject.capabilities.subquadratic else "the implementation declares no subquadratic step")
    ),
)
def counted_work_of_a_subquadratic_step_is_far_from_dense(subject: Subject, case: Case) -> None:
    """With 7 % of 256 units active n·m·k is 7 % of a dense pass, and n·k² half a percent: a quarter is too much."""
    for method in subject.capabilities.methods:
        oracle, report = _first_step(subject, case, method)
        if max(mask.mean() for mask in oracle.masks) > 0.2:
            return
        for layer in range(2, len(case.widths) + 1):
            dense = case.samples * case.widths[layer - 1] * case.widths[layer - 2]
            for phase in ("forward", "backward", "update"):
                counted = _work(report, phase, layer).multiply_adds
                if 4 * counted > dense:
                    raise Mismatch(
                        f"multiply-adds of {phase}, layer {layer}, {method}: expected at most a quarter of a dense "
                        f"pass of {dense}, got {counted}"
                    )


def _numbers(report: StepReport) -> dict[str, dict[int, tuple[int, int]]]:
    """Multiply-adds and bytes as they are now: a report may not change afterwards."""
    return {
        phase: {layer: (work.multiply_adds, work.bytes) for layer, work in done.layers.items()}
        for phase, done in report.work.items()
    }


def _first_step(subject: Subject, case: Case, method: str) -> tuple[Replay, StepReport]:
    implementation = subject.build(case)
    oracle = subject.replay(case, implementation)
    return oracle, take(implementation, case, method, damping=case.damping or 1.0)


def _multiply_adds(case: Case, oracle: Replay, method: str, lazy: bool) -> Iterator[Bounds]:
    """Least and most multiply-adds by phase and layer. Samples that repeat may be computed once."""
    _, different = np.unique(case.X, axis=0, return_index=True)
    active = [_nonzero(oracle, layer)[different].sum(axis=1) for layer in range(len(case.widths) + 1)]
    widths, n, c = (case.input_dimension, *case.widths), case.samples, case.outputs
    trained = case.trained or tuple(range(1, len(case.widths) + 1))
    yield "forward", 0, int(active[-1].sum()), n * c * widths[-1] + ELEMENTWISE * n * (c + widths[-1])
    for layer in range(1, len(widths)):
        pairs, dense = int(active[layer] @ active[layer - 1]), n * widths[layer] * widths[layer - 1]
        slack = _elementwise(case, layer)
        yield "forward", layer, pairs, dense + slack
        yield "backward", layer, pairs if layer > min(trained) else 0, (c * dense if layer > 1 else 0) + slack
        moved = layer in trained
        yield "update", layer, pairs if moved and not lazy else 0, (c * dense if moved else 0) + slack
        if method == "gauss_newton":
            gram = (n * c) ** 2 * (widths[layer] + 3) + n * n * widths[layer - 1]
            yield "gram", layer, c * int(active[layer].sum()) if moved else 0, (gram if moved else 0) + slack


def _elementwise(case: Case, layer: int) -> int:
    widths = (case.input_dimension, *case.widths)
    return ELEMENTWISE * case.samples * case.outputs * (widths[layer] + widths[layer - 1])


def _nonzero(oracle: Replay, layer: int) -> np.ndarray:
    return oracle.hidden[layer].value != 0.0


def _work(report: StepReport, phase: str, layer: int) -> LayerWork:
    return report.work[phase].layers.get(layer, LayerWork()) if phase in report.work else LayerWork()


def _check_names(report: StepReport, depth: int, method: str) -> None:
    expected = set(PHASES) if method == "gauss_newton" else {"forward", "backward", "update"}
    if set(report.work) != expected:
        raise Mismatch(f"phases of {method}: expected {sorted(expected)}, got {sorted(report.work)}")
    for phase, work in report.work.items():
        strange = sorted(set(work.layers) - set(range(depth + 1)))
        if strange:
            raise Mismatch(f"work of {phase}: expected layers 0 to {depth}, got {strange}")
        for layer, counted in work.layers.items():
            if counted.multiply_adds < 0 or counted.bytes < 0 or (counted.multiply_adds > 0 and counted.bytes == 0):
                raise Mismatch(f"work of {phase}, layer {layer}: expected counts that fit each other, got {counted}")
