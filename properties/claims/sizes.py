"""Properties at sizes beyond the blocks and index types that an implementation may work in.

Everything else is checked on networks of a few units, where a loop over blocks is one block. Here layers are wider
than 256 and than 2¹⁶, which is where blocks and narrow integers commonly end.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from properties.cases.case import Case
from properties.cases.strategies import within
from properties.claims.steps import check_step
from properties.runner.compare import Mismatch, assert_close
from properties.runner.registry import register
from properties.runner.subject import Subject
from properties.tolerances import bounds
from properties.tolerances.rounding import Arithmetic
from reference.contract import Capabilities

#: Most units are active, so that the products of active pairs are large, too.
NAMED_LARGE_CASES: dict[str, Case] = {
    "wider than 16 bits": Case(widths=(66000,), input_dimension=2, samples=9, b=-1.0),
    "wider than a block of rows": Case(widths=(600, 270), samples=3, b=-1.0),
    "more inputs than a block of rows": Case(input_dimension=517, widths=(5, 6), samples=4, b=0.0),
}


@st.composite
def large_cases(draw: st.DrawFn, capabilities: Capabilities) -> Case:
    """One of the large cases, in any dtype and kind that an implementation declares."""
    case = draw(st.sampled_from(list(NAMED_LARGE_CASES.values())))
    case = replace(
        case,
        dtype=draw(st.sampled_from(capabilities.dtypes)),
        kind=draw(st.sampled_from(capabilities.activations)),
        seed=draw(st.integers(0, 2**16)),
    )
    return within(case, capabilities) or case


@register("jacobian_factors", "active_sets", "forward", strategy=large_cases, examples=NAMED_LARGE_CASES, weight=0.03)
def wide_networks_are_evaluated_to_their_last_unit(subject: Subject, case: Case) -> None:
    """Outputs and Jacobian factors, across the edges of blocks and beyond 2¹⁶ units."""
    implementation = subject.build(case)
    oracle = subject.replay(case, implementation)
    assert_close("forward", ("sample", "output"), implementation.forward(case.X), oracle.outputs)
    factors = implementation.jacobian_factors(case.X)
    if len(factors) != len(oracle.left):
        raise Mismatch(f"jacobian_factors: expected {len(oracle.left)} pairs, got {len(factors)}")
    for layer, (left, right) in enumerate(factors, start=1):
        assert_close(f"left factor, layer {layer}", ("sample", "output", "unit"), left, oracle.left[layer - 1])
        assert_close(f"right factor, layer {layer}", ("sample", "unit"), right, oracle.hidden[layer - 1])


@register("gram", "active_sets", strategy=large_cases, examples=NAMED_LARGE_CASES, weight=0.03)
def gram_matrix_of_a_wide_network_has_all_its_samples(subject: Subject, case: Case) -> None:
    """G, where its factors are too many to be held at once."""
    implementation = subject.build(case)
    expected = bounds.gram(subject.replay(case, implementation), Arithmetic(case.dtype), case.trained)
    assert_close("gram", ("row", "column"), implementation.gram(case.X), expected)


@register("step", "to_network", "active_sets", strategy=large_cases, examples=NAMED_LARGE_CASES, weight=0.03)
def a_step_of_a_wide_network_writes_every_active_pair(subject: Subject, case: Case) -> None:
    """The new weights, where the active pairs are too many to be written at once."""
    check_step(subject, case, subject.build(case), case.network, subject.capabilities.methods[0])
