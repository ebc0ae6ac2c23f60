"""Hypothesis strategies for cases, and the named cases that every property starts with."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from properties.case import Case
from reference.contract import Capabilities

#: Corners that random search need not find, by name.
NAMED_CASES: dict[str, Case] = {
    "one unit": Case(widths=(1,), b=0.0, samples=2),
    "one unit a layer, three layers": Case(widths=(1, 1, 1), b=-1.0, samples=2),
    "default threshold": Case(widths=(33, 31), b=None, samples=4, seed=1),
    "odd and unequal widths": Case(widths=(5, 17, 3), b=0.1, samples=4),
    "four layers": Case(widths=(12, 9, 11, 10), b=0.0, samples=3, outputs=3),
    "one sample": Case(samples=1, widths=(9, 8)),
    "three outputs": Case(outputs=3, widths=(11, 13), b=0.1, samples=4, biases=True),
    "duplicate samples": Case(samples=5, duplicates=3, widths=(16, 16)),
    "dead samples": Case(samples=4, zeros=2, widths=(16, 12), b=0.5),
    "all samples dead": Case(samples=3, widths=(6, 6), b=8.0),
    "all units active": Case(widths=(7, 9), b=-30.0, samples=4),
    "all units active, thresholded identity": Case(widths=(7, 9), b=-30.0, samples=4, kind="thresholded_identity"),
    "thresholded identity": Case(widths=(20, 18), kind="thresholded_identity", samples=4, outputs=3),
    "float32": Case(dtype="float32", widths=(24, 20), samples=4),
    "float32 thresholded identity": Case(dtype="float32", widths=(24, 20), kind="thresholded_identity", biases=True),
    "large inputs": Case(magnitude=12, dtype="float32", widths=(10, 10)),
    "readout bias": Case(readout_bias=True, biases=True, outputs=3, widths=(9, 8)),
    "the last layer trained": Case(widths=(9, 8, 7), trained=(3,)),
    "the first and the last layer trained": Case(widths=(9, 8, 7), trained=(1, 3), outputs=3),
    "logistic": Case(loss="logistic", widths=(16, 12), samples=4),
    "logistic, float32, three outputs": Case(loss="logistic", dtype="float32", outputs=3, widths=(12, 13)),
    "softmax": Case(loss="softmax_cross_entropy", outputs=3, widths=(16, 12), samples=4),
    "softmax, duplicates": Case(loss="softmax_cross_entropy", outputs=3, samples=5, duplicates=3, b=0.0),
    "softmax, float32": Case(loss="softmax_cross_entropy", outputs=3, dtype="float32", biases=True),
    "huber": Case(loss="huber", widths=(16, 12), samples=5, outputs=3),
    "huber, float32": Case(loss="huber", dtype="float32", widths=(12, 12), samples=4),
    "small inputs": Case(magnitude=-12, dtype="float32", widths=(10, 10), b=0.0),
}

#: On integers sums of products are exact, and preactivations meet the threshold τ = 0 all the time.
NAMED_LATTICE_CASES: dict[str, Case] = {
    "ties": Case(lattice=True, b=0.0, widths=(12, 12), samples=5, input_dimension=2),
    "ties, thresholded identity": Case(lattice=True, b=0.0, widths=(12, 12), samples=5, kind="thresholded_identity"),
    "ties with biases": Case(lattice=True, b=0.0, widths=(9, 12, 7), samples=5, biases=True, outputs=3),
    "ties in float32": Case(lattice=True, b=0.0, widths=(12, 11), samples=5, dtype="float32", input_dimension=1),
}


@st.composite
def cases(draw: st.DrawFn, capabilities: Capabilities) -> Case:
    """Cases within what an implementation declares it can do."""
    samples = draw(st.integers(1, 6))
    widths = draw(st.lists(st.integers(1, 24), min_size=1, max_size=4).map(tuple))
    outputs = draw(st.sampled_from([1, 3])) if capabilities.outputs else 1
    losses = [loss for loss in capabilities.losses if outputs > 1 or loss != "softmax_cross_entropy"]
    trained = None
    if capabilities.trained_layers and draw(st.booleans()):
        layers = draw(st.sets(st.integers(1, len(widths)), min_size=1))
        trained = tuple(sorted(layers))
    return Case(
        input_dimension=draw(st.integers(1, 6)),
        widths=widths,
        outputs=outputs,
        readout_bias=capabilities.readout_bias and draw(st.booleans()),
        loss=draw(st.sampled_from(losses or ["squared"])),
        trained=trained,
        kind=draw(st.sampled_from(capabilities.activations)),
        b=draw(st.sampled_from([None, 0.25, 0.0, -0.5, 1.0, -30.0, 2.5])),
        biases=capabilities.biases and draw(st.booleans()),
        samples=samples,
        duplicates=draw(st.integers(0, samples - 1)) if draw(st.booleans()) else 0,
        zeros=draw(st.integers(0, samples)) if draw(st.booleans()) else 0,
        magnitude=draw(st.sampled_from([0, 0, 0, -10, 6])),
        dtype=draw(st.sampled_from(capabilities.dtypes)),
        learning_rate=draw(st.sampled_from([0.5, 1.0, 0.01])),
        relative_damping=draw(st.sampled_from([1e-2, 1.0, 1e-4])),
        seed=draw(st.integers(0, 2**16)),
    )


@st.composite
def lattice_cases(draw: st.DrawFn, capabilities: Capabilities) -> Case:
    """Cases on small integers with τ = 0 and √c = 1 (shifted ReLU) or √c = 1 as well (identity): all exact.

    The widths and magnitudes keep every sum below 2²⁴, so that float32 is exact, too.
    """
    return Case(
        input_dimension=draw(st.integers(1, 4)),
        widths=draw(st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple)),
        outputs=draw(st.sampled_from([1, 3])) if capabilities.outputs else 1,
        kind=draw(st.sampled_from(capabilities.activations)),
        b=0.0,
        biases=capabilities.biases and draw(st.booleans()),
        samples=draw(st.integers(1, 5)),
        lattice=True,
        dtype=draw(st.sampled_from(capabilities.dtypes)),
        seed=draw(st.integers(0, 2**16)),
    )


def within(case: Case, capabilities: Capabilities) -> Case | None:
    """The named case, moved into what the implementation can do; None where that would change its point."""
    if case.kind not in capabilities.activations or (case.biases and not capabilities.biases):
        return None
    if case.outputs > 1 and not capabilities.outputs:
        return None
    if (case.readout_bias and not capabilities.readout_bias) or (case.trained and not capabilities.trained_layers):
        return None
    if case.loss not in capabilities.losses:
        return None
    if case.dtype not in capabilities.dtypes:
        return replace(case, dtype=capabilities.dtypes[0]) if capabilities.dtypes else None
    return case
