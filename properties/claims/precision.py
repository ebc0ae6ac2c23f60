"""Properties of digits that an implementation promises beyond those of its dtype."""

from __future__ import annotations

import numpy as np

from properties.cases.case import Case
from properties.cases.strategies import NAMED_CASES, cases
from properties.runner.compare import assert_close
from properties.runner.registry import register
from properties.runner.subject import Subject
from properties.tolerances.rounding import Arithmetic, exact


def _unpromised(subject: Subject) -> str:
    return "" if subject.capabilities.float64_gram else "the implementation promises no sums in float64"


@register("gram", "jacobian_factors", strategy=cases, examples=NAMED_CASES, weight=0.3, unless=_unpromised)
def gram_matrix_has_the_digits_of_float64(subject: Subject, case: Case) -> None:
    """G of the implementation's own Jacobian factors, which are exact numbers, up to float64's rounding of the sums."""
    arithmetic = Arithmetic("float64")
    implementation = subject.build(case)
    factors = implementation.jacobian_factors(case.X)
    rows, outputs = case.samples * case.outputs, case.outputs
    total = exact(np.zeros((rows, rows)))
    for layer in case.trained or range(1, len(case.widths) + 1):
        left, right = (np.asarray(factor, np.float64) for factor in factors[layer - 1])
        left, right = left.reshape(rows, -1), right.repeat(outputs, axis=0)
        lefts = arithmetic.product(exact(left), exact(left.T), left.shape[1])
        rights = arithmetic.product(exact(right), exact(right.T), right.shape[1])
        total = arithmetic.add(total, arithmetic.elementwise(lefts, rights))
    assert_close("gram, from the factors", ("row", "column"), implementation.gram(case.X), total)
