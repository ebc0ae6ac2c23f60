"""What the base W⁰ of lazy weights is stored in: the dtype of everything else, or bfloat16, in half of the memory.

Weights are rounded to bfloat16 once, when the network is built: to nearest, and at ties to even. From then on they are
exact numbers, since every bfloat16 is a float32: products widen what they read, sums and all else are in float32, and
nothing is rounded that would not be without. Updates stay outside of the table, as low-rank terms in float32.

Written into the table they would be rounded again, to eight binary digits: an update below 2⁻⁹ of a weight would leave
it where it is, without a word, and a step of training moves most weights by less. So nothing that writes a bfloat16
table is offered. That rules out eager weights, and folds.
"""

from __future__ import annotations

import numpy as np
import torch

from impl.weights.maintenance import Maintenance
from reference.contract import STORAGES, ArgumentError
from reference.contract.arguments import one_of
from reference.contract.shapes import Float


def select_storage(storage: str | None, dtype: str, weights: str, maintenance: Maintenance, forward: str) -> str:
    """Returns the name of the dtype that tables of weights have.

    Args:
        storage: "bfloat16", or None for `dtype`.
        dtype: What is computed in.
        weights: "eager" or "lazy".
        maintenance: Of lazy weights.
        forward: The name of the forward pass.

    Raises:
        ArgumentError: for another name, and for choices that do not go with the storage.
    """
    name = storage_name(storage, dtype)
    if storage is None:
        return name
    with_storage = f"with storage={storage!r}"
    if weights != "lazy":
        raise ArgumentError(
            "weights",
            f"lazy, with maintenance keep or recompress, {with_storage}, as updates that are written into it are "
            "rounded, and vanish where they are small",
            repr(weights),
        )
    check_maintenance(storage, maintenance)
    if forward != "gather":
        raise ArgumentError("forward", f"gather {with_storage}", repr(forward))
    return name


def storage_name(storage: str | None, dtype: str) -> str:
    """The name of the dtype that is stored. Raises ArgumentError for a storage that is none, or not of this dtype."""
    if storage is None:
        return dtype
    one_of("storage", storage, STORAGES)
    if dtype != "float32":
        raise ArgumentError("dtype", f"float32 with storage={storage!r}", repr(dtype))
    return storage


def check_maintenance(storage: str, maintenance: Maintenance) -> None:
    """Raises ArgumentError for a policy that folds, where a fold would be rounded."""
    if storage in STORAGES and getattr(maintenance, "folds", False):
        raise ArgumentError(
            "maintenance",
            f"keep or recompress with storage={storage!r}, as what is folded into it is rounded, and vanishes where "
            "it is small",
            f"{type(maintenance).__name__}, which folds",
        )


def out_of_range(
    argument: str,
    matrix: Float[np.ndarray, "fan_out fan_in"] | Float[torch.Tensor, "fan_out fan_in"],
    table: Float[torch.Tensor, "fan_in fan_out"],
) -> ArgumentError:
    """The error for a matrix that is finite, where its table is not."""
    column, row = (int(i) for i in (~torch.isfinite(table)).nonzero()[0])
    dtype = str(table.dtype).removeprefix("torch.")
    return ArgumentError(
        argument, f"values finite in {dtype}", f"{float(matrix[row, column]):.9g} at index {(row, column)}"
    )


def refuse_to_write(dtype: torch.dtype) -> None:
    """Raises ArgumentError where what is written into a table of this dtype would be rounded to fewer digits."""
    name = str(dtype).removeprefix("torch.")
    if name in STORAGES:
        raise ArgumentError("storage", "that of the dtype, for a fold, which would be rounded", repr(name))
