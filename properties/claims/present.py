"""Evaluations in the middle of training, judged from the weights that the implementation has at present."""

from __future__ import annotations

import numpy as np

from properties.cases.case import Case
from properties.runner.compare import assert_close
from properties.tolerances import bounds
from properties.tolerances.loss_bounds import loss_bounds
from properties.tolerances.replay import Replay
from properties.tolerances.rounding import Arithmetic
from reference.contract import Implementation

#: Operations of the contract that evaluate, in the order of what they depend on.
EVALUATIONS = ("active_sets", "forward", "jacobian_factors", "gradient", "gram")


def check_evaluation(case: Case, implementation: Implementation, oracle: Replay, operation: str) -> list[np.ndarray]:
    """Evaluates the case's batch and compares.

    Args:
        case: The batch.
        implementation: In the middle of training.
        oracle: Its weights at present, replayed with its masks on the batch, which were compared then.
        operation: One of EVALUATIONS.

    Returns:
        The arrays that the implementation returned.
    """
    arithmetic = Arithmetic(case.dtype)
    returned: list[np.ndarray] = []
    match operation:
        case "active_sets":
            returned = list(implementation.active_sets(case.X))
        case "forward":
            returned = [implementation.forward(case.X)]
            assert_close("forward", ("sample", "output"), returned[0], oracle.outputs)
        case "jacobian_factors":
            for layer, (left, right) in enumerate(implementation.jacobian_factors(case.X), start=1):
                assert_close(f"left factor, layer {layer}", ("sample", "output", "unit"), left, oracle.left[layer - 1])
                assert_close(f"right factor, layer {layer}", ("sample", "unit"), right, oracle.hidden[layer - 1])
                returned += [left, right]
        case "gradient":
            r = loss_bounds(case.loss, oracle.outputs, case.y, arithmetic).gradient
            returned = list(implementation.gradient(case.X, case.y, case.loss))
            expected = bounds.weighted_sums(r, oracle, arithmetic)
            for layer, (got, bound) in enumerate(zip(returned, expected, strict=True), start=1):
                assert_close(f"gradient, layer {layer}", ("unit", "input"), got, bound)
        case "gram":
            returned = [implementation.gram(case.X)]
            assert_close("gram", ("row", "column"), returned[0], bounds.gram(oracle, arithmetic, case.trained))
    return returned
