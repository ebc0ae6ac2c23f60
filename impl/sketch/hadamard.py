"""The fast Walsh–Hadamard transform."""

from __future__ import annotations

from functools import cache

import torch

from reference.contract import ArgumentError
from reference.contract.shapes import Float

# The largest order of a factor, 2^6. A butterfly moves all data once for each of its log₂ M stages and is bound by
# memory; a product with a factor of order 2^f does f stages in one pass, for 2^f multiply-adds a number instead of f.
# 256 float64 vectors of length 8192 on two CPU cores took 65 ms by torch butterflies that allocate, 23 ms by
# butterflies between two buffers, 13 to 14 ms by factors of up to 8, 32 or 64, and 19 ms by factors of 128 or 256;
# in float32 24, 16, 10 (8), 6.4 (64) and 8 to 10 ms (128, 256).
FACTOR_BITS = 6


def hadamard_transform(values: Float[torch.Tensor, "*batch length"]) -> Float[torch.Tensor, "*batch length"]:
    """The unnormalized transform along the last axis: values · H with H_1 = 1, H_{2M} = [[H_M, H_M], [H_M, −H_M]].

    This is the natural (Sylvester) order, in which H_{ab} = H_a ⊗ H_b; H is symmetric and H H = length · I.

    Raises:
        ArgumentError: where the length is not a power of two.
    """
    length = values.shape[-1]
    if length < 1 or length & (length - 1):
        raise ArgumentError("length", "a power of two", repr(length))
    result, stride = values, 1
    for order in _factor_orders(length):
        factor = _hadamard_matrix(order).to(values)
        if stride == 1:
            result = result.reshape(values.numel() // order, order) @ factor
        else:
            result = factor @ result.reshape(values.numel() // (order * stride), order, stride)
        stride *= order
    return result.reshape(values.shape)


def padded_length(m: int) -> int:
    """The least power of two that is at least m, for m ≥ 1."""
    return 1 << (m - 1).bit_length()


def transform_work(length: int) -> int:
    """What one vector counts: M·log₂ M, the additions of the butterfly.

    The transform has no products, so its additions are counted as multiply-adds, and by the butterfly
    whatever carries it out, so that the count is the algorithm's.
    """
    return length * (length.bit_length() - 1)


def _factor_orders(length: int) -> list[int]:
    """Powers of two, as equal as can be and at most 2^FACTOR_BITS, with the given product; [1] for length 1."""
    bits = length.bit_length() - 1
    factors = max(1, -(-bits // FACTOR_BITS))
    return [1 << (bits // factors + (factor < bits % factors)) for factor in range(factors)]


@cache
def _hadamard_matrix(order: int) -> Float[torch.Tensor, "order order"]:
    """H, in float64 on the CPU."""
    H = torch.ones(1, 1, dtype=torch.float64)
    while H.shape[0] < order:
        H = torch.cat([torch.cat([H, H], 1), torch.cat([H, -H], 1)])
    return H
