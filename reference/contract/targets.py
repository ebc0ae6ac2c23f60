"""Losses by name, and the targets that each takes (reference/README.md, section 3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from reference.contract.arguments import ArgumentError, array, one_of

LOSSES = ("squared", "huber", "logistic", "softmax_cross_entropy")


def targets(argument: str, value: Any, samples: int, outputs: int, dtype: str, loss: str = "squared") -> np.ndarray:
    """Returns targets of shape (n, c) that lie in the loss's domain.

    squared and huber take any numbers; logistic takes ±1 for every output; softmax_cross_entropy takes the
    numbers 0 … c − 1 of classes as a vector, or rows of zeros with a single one. A vector of n numbers is
    taken by the others where c = 1.

    Args:
        argument: The argument's name.
        value: Anything that NumPy takes for an array of real numbers.
        samples: n.
        outputs: c.
        dtype: The dtype to convert to.
        loss: One of LOSSES.

    Raises:
        ArgumentError: for another shape, entries that are not finite, or targets outside the domain; naming
            the loss where it takes no network with c outputs.
    """
    one_of("loss", loss, LOSSES)
    try:
        vector = np.ndim(value) == 1
    except (TypeError, ValueError, RuntimeError):  # what is wrong with it is said below
        vector = False
    if loss == "softmax_cross_entropy":
        if outputs < 2:
            raise ArgumentError("loss", "a loss for one output, since the network has one", repr(loss))
        return _one_hot(argument, value, samples, outputs, dtype, vector)
    if vector and outputs == 1:
        result = array(argument, value, (samples,), dtype)[:, None]
    else:
        result = array(argument, value, (samples, outputs), dtype)
    if loss == "logistic":
        _all(argument, np.abs(result) == 1, "labels −1 or 1, as the logistic loss takes them", result)
    return result


def _one_hot(argument: str, value: Any, samples: int, outputs: int, dtype: str, vector: bool) -> np.ndarray:
    if vector:
        labels = array(argument, value, (samples,), "float64")
        whole = (labels == np.floor(labels)) & (labels >= 0) & (labels < outputs)
        _all(argument, whole, f"class numbers 0 … {outputs - 1}", labels)
        return np.eye(outputs, dtype=dtype)[labels.astype(np.int64)]
    result = array(argument, value, (samples, outputs), dtype)
    valid = ((result == 0) | (result == 1)).all(axis=1) & (result.sum(axis=1) == 1)
    _all(argument, valid, "rows with a single one among zeros, or class numbers", result)
    return result


def _all(argument: str, valid: np.ndarray, expected: str, got: np.ndarray) -> None:
    if not valid.all():
        where = tuple(int(i) for i in np.argwhere(~valid)[0])
        raise ArgumentError(argument, expected, f"{got[where]} at index {where}")
