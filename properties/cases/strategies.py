"""Hypothesis strategies for cases, and the named cases that every property starts with."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from properties.cases.case import Case
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
    "logistic, large inputs": Case(loss="logistic", magnitude=12, widths=(10, 10), samples=4),
    "softmax, large inputs": Case(loss="softmax_cross_entropy", outputs=3, magnitude=12, widths=(10, 10), samples=4),
    "huber": Case(loss="huber", widths=(16, 12), samples=5, outputs=3),
    "huber, float32": Case(loss="huber", dtype="float32", widths=(12, 12), samples=4),
    "small inputs": Case(magnitude=-12, dtype="float32", widths=(10, 10), b=0.0),
    "large weights": Case(weight_magnitude=3, dtype="float32", widths=(10, 9, 11), b=0.0),
    "zeros among weights and readout": Case(sparse=True, widths=(12, 12), outputs=3, b=0.0),
    "near-duplicate samples": Case(samples=5, duplicates=3, spread=1e-6, widths=(16, 16), relative_damping=1e-8),
    "duplicate samples, undamped": Case(samples=4, duplicates=2, widths=(16, 16), relative_damping=0.0),
}

#: Corners of evaluations that no run of steps is asked to survive.
NAMED_EVALUATION_CASES: dict[str, Case] = NAMED_CASES | {
    "units at the threshold": Case(planted=3, widths=(12, 12), samples=3, b=None),
    "units at the threshold, float32": Case(planted=3, widths=(12, 12), samples=3, dtype="float32", biases=True),
    "units at the threshold, thresholded identity": Case(
        planted=3, widths=(12, 12), kind="thresholded_identity", dtype="float32"
    ),
    "huge inputs": Case(magnitude=40, dtype="float32", widths=(10, 10)),
    "huge inputs, logistic": Case(magnitude=40, dtype="float32", loss="logistic"),
    "tiny inputs, products underflow": Case(magnitude=-100, dtype="float32", widths=(10, 10), b=0.0),
}


#: A few of them, for properties that many others support.
NAMED_CORNERS: dict[str, Case] = {
    name: NAMED_CASES[name]
    for name in (
        "one unit",
        "four layers",
        "three outputs",
        "dead samples",
        "float32",
        "thresholded identity",
        "readout bias",
        "the first and the last layer trained",
    )
}

#: Corners at sizes for extended precision.
NAMED_TINY_CASES: dict[str, Case] = {
    "tiny": Case(widths=(4, 3), samples=2),
    "tiny, default threshold": Case(widths=(4, 4), samples=2, b=None, outputs=3, biases=True),
    "tiny, thresholded identity": Case(widths=(4, 3), samples=2, kind="thresholded_identity"),
    "tiny, high threshold": Case(
        widths=(4, 3), samples=2, b=2.5, biases=True, magnitude=2, kind="thresholded_identity"
    ),
    "tiny, float32": Case(widths=(4, 3), samples=2, b=1.0, biases=True, dtype="float32"),
}

#: On integers sums of products are exact, and preactivations meet the threshold τ = 0 all the time.
NAMED_LATTICE_CASES: dict[str, Case] = {
    "ties": Case(lattice=True, b=0.0, widths=(12, 12), samples=5, input_dimension=2),
    "ties, thresholded identity": Case(lattice=True, b=0.0, widths=(12, 12), samples=5, kind="thresholded_identity"),
    "ties with biases": Case(lattice=True, b=0.0, widths=(9, 12, 7), samples=5, biases=True, outputs=3),
    "ties in float32": Case(lattice=True, b=0.0, widths=(12, 11), samples=5, dtype="float32", input_dimension=1),
    "ties far from one": Case(lattice=True, b=0.0, widths=(12, 11), samples=5, dtype="float32", magnitude=-30),
}

#: Widths for which τ = b·√(2/m) is exact by any order of operations: 2/m is an even power of two.
EXACT_WIDTHS = (2, 8, 32)

#: On integers with a threshold that is exact and not zero: τ = ±1 or ±½ or ±¼ times b.
NAMED_THRESHOLD_CASES: dict[str, Case] = {
    "ties at τ = 1": Case(lattice=True, biases=True, planted=3, b=2.0, widths=(8, 8), samples=5),
    "ties at τ = 1, float32": Case(
        lattice=True, biases=True, planted=3, b=2.0, widths=(8, 8), samples=5, dtype="float32"
    ),
    "ties at τ = −1": Case(lattice=True, biases=True, planted=3, b=-2.0, widths=(8, 2), samples=5),
    "ties at τ = 2, thresholded identity": Case(
        lattice=True, biases=True, planted=3, b=2.0, widths=(2, 32), samples=5, kind="thresholded_identity"
    ),
}

#: Exponents so far out that squares still are in the dtype's range, or just are not.
EXTREMES: dict[str, dict[str, tuple[int, ...]]] = {
    "float32": {"inputs": (40, -40, -100), "weights": (8, -8)},
    "float64": {"inputs": (200, -200), "weights": (60, -60)},
}


@st.composite
def cases(draw: st.DrawFn, capabilities: Capabilities) -> Case:
    """Cases within what an implementation declares it can do, from which runs of steps can start.

    What they hold in what share is in tests/properties/test_strategies.py.
    """
    samples = draw(st.integers(1, 6))
    widths = draw(st.lists(st.integers(1, 24), min_size=1, max_size=4).map(tuple))
    outputs = draw(st.sampled_from([1, 3])) if capabilities.outputs else 1
    losses = [loss for loss in capabilities.losses if outputs > 1 or loss != "softmax_cross_entropy"]
    trained = None
    if capabilities.trained_layers and draw(st.booleans()):
        layers = draw(st.sets(st.integers(1, len(widths)), min_size=1))
        trained = tuple(sorted(layers))
    duplicates = draw(st.integers(0, samples - 1)) if draw(st.booleans()) else 0
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
        duplicates=duplicates,
        spread=draw(st.sampled_from([0.0, 0.0, 1e-3, 1e-6])) if duplicates else 0.0,
        zeros=draw(st.integers(0, samples)) if draw(st.booleans()) else 0,
        magnitude=draw(st.sampled_from([0, 0, 0, -10, 6])),
        weight_magnitude=draw(st.sampled_from([0, 0, 0, 0, 0, 0, -2, 2])),
        sparse=draw(st.sampled_from([False] * 5 + [True])),
        dtype=draw(st.sampled_from(capabilities.dtypes)),
        storage=capabilities.storage,
        learning_rate=draw(st.sampled_from([0.5, 1.0, 0.01])),
        relative_damping=draw(st.sampled_from([1e-2] * 7 + [1.0] * 6 + [1e-4] * 5 + [1e-8, 0.0])),
        seed=draw(st.integers(0, 2**16)),
    )


@st.composite
def evaluation_cases(draw: st.DrawFn, capabilities: Capabilities) -> Case:
    """Cases for evaluations: one in six has units planted at the threshold, one in four has extreme magnitudes."""
    case = draw(cases(capabilities))
    match draw(st.sampled_from(["plain"] * 7 + ["planted"] * 2 + ["extreme"] * 3)):
        case "planted":
            zeros = min(case.zeros, case.samples - 1)
            return replace(case, planted=draw(st.integers(1, 2)), zeros=zeros, magnitude=0, weight_magnitude=0)
        case "extreme":
            where = draw(st.sampled_from(["inputs", "weights"]))
            exponent = draw(st.sampled_from(EXTREMES[case.dtype][where]))
            inputs, weights = (exponent, 0) if where == "inputs" else (0, exponent)
            return replace(case, magnitude=inputs, weight_magnitude=weights)
    return case


@st.composite
def tiny_cases(draw: st.DrawFn, capabilities: Capabilities) -> Case:
    """The same at sizes that extended precision evaluates in a few milliseconds."""
    case = draw(evaluation_cases(capabilities))
    samples, widths = min(case.samples, 2), tuple(min(width, 4) for width in case.widths[:2])
    trained = tuple(layer for layer in case.trained or () if layer <= len(widths)) or None
    return replace(
        case,
        input_dimension=min(case.input_dimension, 3),
        widths=widths,
        trained=trained,
        samples=samples,
        duplicates=min(case.duplicates, samples - 1),
        zeros=min(case.zeros, samples),
    )


@st.composite
def lattice_cases(draw: st.DrawFn, capabilities: Capabilities) -> Case:
    """Cases on small integers with τ = 0 and √c = 1 for either activation: all sums and products are exact.

    The widths and magnitudes keep every sum below 2²⁴ times a power of two, so that float32 is exact, too.
    """
    biases = capabilities.biases and draw(st.booleans())
    samples = draw(st.integers(1, 5))
    return Case(
        input_dimension=draw(st.integers(1, 4)),
        widths=draw(st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple)),
        outputs=draw(st.sampled_from([1, 3])) if capabilities.outputs else 1,
        kind=draw(st.sampled_from(capabilities.activations)),
        b=0.0,
        biases=biases,
        samples=samples,
        duplicates=draw(st.sampled_from([0, 0, samples - 1])),
        magnitude=0 if biases else draw(st.sampled_from([0, 0, 30, -30])),
        sparse=draw(st.sampled_from([False, False, False, True])),
        lattice=True,
        dtype=draw(st.sampled_from(capabilities.dtypes)),
        storage=capabilities.storage,
        seed=draw(st.integers(0, 2**16)),
    )


@st.composite
def threshold_cases(draw: st.DrawFn, capabilities: Capabilities) -> Case:
    """Cases on small integers with τ exact and not zero, and units planted at τ and at the numbers next to it.

    Where an implementation takes no biases nothing is planted, and integers meet τ = ±1 and ±2 in the first layer.
    """
    return Case(
        input_dimension=draw(st.integers(1, 4)),
        widths=draw(st.lists(st.sampled_from(EXACT_WIDTHS), min_size=1, max_size=3).map(tuple)),
        outputs=draw(st.sampled_from([1, 3])) if capabilities.outputs else 1,
        kind=draw(st.sampled_from(capabilities.activations)),
        b=draw(st.sampled_from([1.0, 2.0, -1.0, -2.0, 4.0])),
        biases=capabilities.biases,
        planted=draw(st.integers(1, 6)) if capabilities.biases else 0,
        samples=draw(st.integers(1, 5)),
        lattice=True,
        dtype=draw(st.sampled_from(capabilities.dtypes)),
        storage=capabilities.storage,
        seed=draw(st.integers(0, 2**16)),
    )


@st.composite
def symmetry_cases(draw: st.DrawFn, capabilities: Capabilities) -> Case:
    """Cases for evaluations, one in four of them on integers."""
    on_integers = draw(st.sampled_from([False, False, False, True]))
    return draw((lattice_cases if on_integers else evaluation_cases)(capabilities))


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
    if not capabilities.dtypes:
        return None
    dtype = case.dtype if case.dtype in capabilities.dtypes else capabilities.dtypes[0]
    return replace(case, dtype=dtype, storage=capabilities.storage)
