"""Properties of a step that promises to be subquadratic: nothing of the size of a weight matrix is made or passed over.

What torch dispatches is seen, and what NumPy allocates. A loop in compiled code of the implementation's own, or a NumPy
operation that reads a matrix and allocates nothing of its size, is not.
"""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import torch
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from properties.cases.case import Case
from properties.cases.strategies import within
from properties.claims.steps import take
from properties.runner.compare import Mismatch
from properties.runner.registry import register
from properties.runner.subject import Subject
from reference.contract import Capabilities

#: Reads or writes of the elements that indices name, whatever the size of what they index.
INDEXING = ("index", "gather", "scatter", "embedding", "take")

#: Makes a tensor, and takes only shape and dtype from an operand.
MAKING = ("new_", "empty", "zeros", "ones", "full")

#: Samples of about unit norm, so that the default threshold leaves few units active.
WIDE = {
    "m = 512": Case(widths=(512, 512), input_dimension=16, magnitude=-2, b=None, samples=3, dtype="float32"),
    "m = 512, three outputs": Case(widths=(512, 512), input_dimension=16, magnitude=-2, b=None, samples=2, outputs=3),
}


def wide_cases(capabilities: Capabilities) -> st.SearchStrategy[Case]:
    """The first wide case with other numbers."""
    wide = within(WIDE["m = 512"], capabilities)
    return st.nothing() if wide is None else st.builds(lambda seed: replace(wide, seed=seed), st.integers(0, 2**16))


def _promises_nothing(subject: Subject) -> str:
    return "" if subject.capabilities.subquadratic else "the implementation declares no subquadratic step"


@register("step", strategy=wide_cases, examples=WIDE, weight=0.02, unless=_promises_nothing)
def a_step_allocates_nothing_of_the_size_of_a_weight_matrix(subject: Subject, case: Case) -> None:
    """No new torch storage of half a weight matrix, and NumPy's peak stays below that, too."""
    half = case.widths[0] * case.widths[1] * (4 if case.dtype == "float32" else 8) // 2
    for method in subject.capabilities.methods:
        seen = _watched(subject, case, method)
        if seen is None:
            continue
        for what, largest in (("torch storage", seen.largest), ("peak of NumPy's memory", seen.numpy_peak)):
            if largest >= half:
                raise Mismatch(
                    f"{what} in a step, {method}: expected less than half a weight matrix, {half} bytes, got {largest}"
                )


@register("step", strategy=wide_cases, examples=WIDE, weight=0.02, unless=_promises_nothing)
def a_step_passes_over_no_whole_weight_matrix(subject: Subject, case: Case) -> None:
    """No torch operation, views and indexing apart, has an operand of half a weight matrix's elements."""
    half = case.widths[0] * case.widths[1] // 2
    for method in subject.capabilities.methods:
        seen = _watched(subject, case, method)
        if seen is None:
            continue
        for operation, elements in seen.passes:
            if elements >= half:
                raise Mismatch(
                    f"torch's {operation} in a step, {method}: expected operands of less than half a weight matrix, "
                    f"{half} elements, got {elements}"
                )


class _Watch(TorchDispatchMode):
    """Sees what torch dispatches.

    Attributes:
        largest: Bytes of the largest storage that came out of an operation and did not go into it.
        passes: Operations that read or write their operands whole, each with the elements of its largest.
        numpy_peak: Bytes that NumPy and Python allocated at most at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.largest = self.numpy_peak = 0
        self.passes: list[tuple[str, int]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        given = [value for value in tree_leaves((args, kwargs or {})) if isinstance(value, torch.Tensor)]
        made = [value for value in tree_leaves(result) if isinstance(value, torch.Tensor)]
        known = {value.untyped_storage().data_ptr() for value in given}
        fresh = [value.untyped_storage() for value in made if value.untyped_storage().data_ptr() not in known]
        self.largest = max([self.largest, *(storage.nbytes() for storage in fresh)])
        name = str(function.overloadpacket).rpartition(".")[2]
        if not _is_view(function) and not name.startswith(MAKING) and not any(word in name for word in INDEXING):
            self.passes.append((name, max([0, *(value.numel() for value in given)])))
        return result


def _is_view(function: Any) -> bool:
    """Whether all results are views of an operand that is not written."""
    aliases = [value.alias_info for value in function._schema.returns]
    return bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases)


def _watched(subject: Subject, case: Case, method: str) -> _Watch | None:
    """The second of two steps; None where it folds, which may pass over all.

    It compiles and imports nothing: another, built alike, has taken both before. (Weights that keep their updates apart
    multiply with them from the second step on, and Triton's compiler allocates more than a small matrix takes.)
    """
    for steps in (2, 1):
        implementation = subject.build(case)
        for _ in range(steps):
            with _Watch():  # which imports some of torch, too
                take(implementation, case, method, learning_rate=1e-3, damping=1.0)
    watch = _Watch()
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        with watch:
            report = take(implementation, case, method, learning_rate=1e-3, damping=1.0)
        watch.numpy_peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        if not tracing:
            tracemalloc.stop()
    return None if report.folds else watch
