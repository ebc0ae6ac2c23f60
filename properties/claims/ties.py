"""Properties of preactivations that meet their threshold exactly, or miss it by the least possible."""

from __future__ import annotations

import numpy as np

from properties.cases.case import Case
from properties.cases.strategies import NAMED_THRESHOLD_CASES, threshold_cases
from properties.runner.compare import assert_identical
from properties.runner.registry import register
from properties.runner.subject import Subject
from reference import activation as phi


@register("active_sets", strategy=threshold_cases, examples=NAMED_THRESHOLD_CASES)
def a_unit_exactly_at_its_threshold_is_inactive(subject: Subject, case: Case) -> None:
    """z = τ ≠ 0 is inactive, the next number above it is active, the next below is not.

    The widths make 2/m an even power of two, so that τ = b·√(2/m) is exact by any order of operations. In the first
    layer z is a sum of integers; in all layers the planted units have weights of zero, so that z is their bias, to the
    last bit and in any order of summation.
    """
    network, masks = case.network, subject.build(case).active_sets(case.X)
    z = case.X.astype(np.float64) @ network.weights[0].T
    if network.biases is not None:
        z += network.biases[0]
    tau = phi.threshold(network.activation, case.widths[0])
    assert_identical("active_sets, layer 1 (a tie z = τ is inactive)", ("sample", "unit"), masks[0], z > tau)
    for layer, width in enumerate(case.widths, start=1):
        planted = min(case.planted, width)
        if network.biases is not None and planted:
            at = network.biases[layer - 1][:planted] > phi.threshold(network.activation, width)
            expected = np.broadcast_to(at, (case.samples, planted))
            what = f"active_sets, layer {layer}, units planted at the threshold"
            assert_identical(what, ("sample", "unit"), masks[layer - 1][:, :planted], expected)
