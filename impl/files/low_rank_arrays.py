"""The accumulated update D of a layer as named arrays, and back, checked.

The sparse terms are stacked, and how many outer products each has is kept beside: so later updates merge with terms of
the same right factors, and recompression falls due, just as they would have without a file between.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from impl.files.container import Container
from impl.support import Support
from impl.weights import LowRank
from impl.weights.low_rank import DenseFactors, OuterProducts
from reference.contract.shapes import Float

_SIDES = ("right", "left")


def low_rank_arrays(layer: int, low_rank: LowRank) -> dict[str, np.ndarray]:
    """D as arrays.

    Returns:
        For R outer products in T terms `terms` (T + 1,), int32, where each term begins and the last one ends; for the
        right and the left factors `offsets` (R + 1,) and `units`, int32, and `values`. For r dense factors
        `dense.right` (m_{ℓ−1}, r) and `dense.left` (m_ℓ, r). All under the layer's name; only what there is.
    """
    tensors: dict[str, torch.Tensor] = {}
    if low_rank.terms:
        ranks = torch.tensor([0, *(term.rank for term in low_rank.terms)])
        stack = low_rank.stack
        tensors["terms"] = ranks.cumsum(0).to(torch.int32)
        for side, support, values in zip(
            _SIDES, (stack.right, stack.left), (stack.right_values, stack.left_values), strict=True
        ):
            tensors |= {f"{side}.offsets": support.offsets, f"{side}.units": support.units, f"{side}.values": values}
    if low_rank.dense is not None:
        tensors |= {"dense.right": low_rank.dense.right, "dense.left": low_rank.dense.left}
    return {_name(layer, name): tensor.contiguous().cpu().numpy() for name, tensor in tensors.items()}


def low_rank_of(
    file: Container, layer: int, shape: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> LowRank:
    """D of a layer from its arrays in a file that was copied to memory.

    Args:
        file: The file.
        layer: ℓ.
        shape: (m_{ℓ−1}, m_ℓ).
        dtype: Of values and factors.
        device: To put D on.

    Raises:
        ArgumentError: for arrays that are no low-rank update of a layer with these widths.
    """
    terms: tuple[OuterProducts, ...] = ()
    if _name(layer, "terms") in file.tensors:
        bounds = _offsets(file, _name(layer, "terms"), least=1).tolist()
        right, left = (
            _sparse(file, _name(layer, side), bounds[-1], width, dtype)
            for side, width in zip(_SIDES, shape, strict=True)
        )
        terms = tuple(
            OuterProducts(*_part(*right, begin, end, device), *_part(*left, begin, end, device))
            for begin, end in pairwise(bounds)
        )
    dense = None
    if _name(layer, "dense.right") in file.tensors:
        dense_right = file.finite(_name(layer, "dense.right"), dtype, (shape[0], None))
        dense_left = file.finite(_name(layer, "dense.left"), dtype, (shape[1], dense_right.shape[1]))
        if dense_right.shape[1] == 0:
            raise file.refusal(f"at least one factor in {_name(layer, 'dense.right')!r}", "none")
        dense = DenseFactors(dense_right.to(device), dense_left.to(device))
    return LowRank(*shape, terms, dense)


def names_of(file: Container, depth: int) -> set[str]:
    """The arrays that a file of so many layers has, going by those of them that say which others there are."""
    sparse = {"terms", *(f"{side}.{part}" for side in _SIDES for part in ("offsets", "units", "values"))}
    groups = {"terms": sparse, "dense.right": {"dense.right", "dense.left"}}
    return {
        _name(layer, name)
        for layer in range(1, depth + 1)
        for leader, names in groups.items()
        if _name(layer, leader) in file.tensors
        for name in names
    }


def _sparse(
    file: Container, name: str, rank: int, width: int, dtype: torch.dtype
) -> tuple[Support, Float[torch.Tensor, " entries"]]:
    offsets = _offsets(file, f"{name}.offsets", least=0)
    if offsets.numel() != rank + 1:
        raise file.refusal(f"{rank + 1} offsets in '{name}.offsets'", str(offsets.numel()))
    entries = int(offsets[-1])
    units = file.tensor(f"{name}.units", torch.int32, (entries,))
    values = file.finite(f"{name}.values", dtype, (entries,))
    sample = torch.repeat_interleave(torch.arange(rank, dtype=torch.int32), offsets.diff())
    within = ((units >= 0) & (units < width)).all()
    if not within or not ((units.diff() > 0) | (sample.diff() > 0)).all():
        raise file.refusal(f"units in '{name}.units' that increase within 0 … {width - 1}", "others")
    return Support(offsets, sample, units, width), values


def _offsets(file: Container, name: str, least: int) -> torch.Tensor:
    """Offsets from 0, each at least `least` more than the one before."""
    offsets = file.tensor(name, torch.int32, (None,))
    if offsets.numel() < 2 or offsets[0] != 0 or (offsets.long().diff() < least).any():
        raise file.refusal(f"increasing offsets from 0 in {name!r}", "others")
    return offsets


def _part(
    support: Support, values: Float[torch.Tensor, " entries"], begin: int, end: int, device: torch.device
) -> tuple[Support, Float[torch.Tensor, " part_entries"]]:
    """The samples begin … end − 1."""
    low, high = int(support.offsets[begin]), int(support.offsets[end])
    part = Support(
        (support.offsets[begin : end + 1] - low).to(device),
        (support.sample_of_entry[low:high] - begin).to(device),
        support.units[low:high].to(device),
        support.width,
    )
    return part, values[low:high].to(device)


def _name(layer: int, name: str) -> str:
    return f"layers.{layer}.{name}"
