"""What lets certificates rest: how far a sample may travel, and D drift, before its units have to be screened again.

The derivation is in bound.py. Beside the rows, *near* units are told apart, the ones with the least margin; all others
share one bound.
"""

from __future__ import annotations

from sys import float_info
from typing import Any, Protocol

import torch

from impl.certified.arrays import AnchorArrays
from impl.certified.bound import rounded_up
from impl.certified.row_magnitudes import magnitudes_of
from impl.support import Support
from impl.weights import LowRank
from impl.weights.low_rank import OuterProducts
from impl.work import tensor_bytes
from reference.contract.shapes import Bool, Float, Int

# Units that are told apart, for every sample.
NEAR = 1024

NUMBERS = ("inputs", "row_margin", "row_slope", "near_margin", "near_slope")
EXACT = ("row_drift", "near_drift", "far_travel", "far_change", "since")
OTHERS = ("near", "near_count", "looks", "valid")
BY_ROW = ("row_margin", "row_slope", "row_drift")


class RestArrays:
    """For the sample in slot s, what was known when it was last screened, at the input h⁰.

    Args:
        fan_out: m_ℓ.
        like: A tensor of their device and dtype.

    Attributes:
        valid: (slots,), whether the rest means anything.
        inputs: (slots, column room), h⁰ on the columns.
        row_margin: (slots, row room), by how much the bound of a row was below the limit; negative if it was not.
        row_slope: (slots, row room), ρ_r + A_r.
        row_drift: (slots, row room) float64, the drift of D at the row.
        near: (slots, NEAR) int32, units that are no rows and have the least margin for their slope.
        near_count: (slots,) int64, how many.
        near_margin: (slots, NEAR), as for rows.
        near_slope: (slots, NEAR).
        near_drift: (slots, NEAR) float64.
        far_travel: (slots,) float64, how far h may be from h⁰ for all other units.
        far_change: (slots,) float64, and how much D h may have drifted besides.
        since: (slots,) float64, the largest drift of D.
        looks: (slots,) int64, how often the bound of a single unit was computed since.
        bytes: What all of it takes.
        kept: What kernels keep to themselves while no array is moved; None afterwards.
    """

    def __init__(self, fan_out: int, like: torch.Tensor):
        room = min(NEAR, fan_out)
        exact = torch.zeros(0, dtype=torch.float64, device=like.device)
        self.valid: Bool[torch.Tensor, " slots"] = exact.bool()
        self.inputs: Float[torch.Tensor, "slots column_room"] = like.new_zeros(0, 0)
        self.row_margin: Float[torch.Tensor, "slots row_room"] = like.new_zeros(0, 0)
        self.row_slope: Float[torch.Tensor, "slots row_room"] = like.new_zeros(0, 0)
        self.row_drift: Float[torch.Tensor, "slots row_room"] = exact.view(0, 0)
        self.near: Int[torch.Tensor, "slots near"] = torch.zeros(0, room, dtype=torch.int32, device=like.device)
        self.near_count: Int[torch.Tensor, " slots"] = exact.long()
        self.near_margin: Float[torch.Tensor, "slots near"] = like.new_zeros(0, room)
        self.near_slope: Float[torch.Tensor, "slots near"] = like.new_zeros(0, room)
        self.near_drift: Float[torch.Tensor, "slots near"] = exact.view(0, 1).expand(0, room).clone()
        self.far_travel: Float[torch.Tensor, " slots"] = exact.clone()
        self.far_change: Float[torch.Tensor, " slots"] = exact.clone()
        self.since: Float[torch.Tensor, " slots"] = exact.clone()
        self.looks: Int[torch.Tensor, " slots"] = exact.long()
        self.bytes = 0
        self.kept: Any = None
        self._fitted = 0, 0, 0

    def __getstate__(self) -> dict[str, Any]:
        """For copies: what kernels keep is memory of these arrays, not of the copy's."""
        return {**self.__dict__, "kept": None}

    def fit(self, arrays: AnchorArrays) -> None:
        """Makes room for the slots, rows and columns that there are."""
        sizes = arrays.slots, arrays.columns.shape[1], arrays.rows.shape[1]
        if sizes == self._fitted:
            return
        slots, self._fitted = arrays.slots, sizes
        for name in (*NUMBERS, *EXACT, *OTHERS):
            old = getattr(self, name)
            room = {"inputs": arrays.columns.shape[1]}.get(name, arrays.rows.shape[1] if name in BY_ROW else None)
            shape = (slots, *old.shape[1:]) if room is None else (slots, room)
            if tuple(old.shape) != shape:
                new = old.new_zeros(shape)
                new[tuple(slice(size) for size in old.shape)] = old
                setattr(self, name, new)
                self.kept = None
        self.bytes = sum(tensor_bytes(getattr(self, name)) for name in (*NUMBERS, *EXACT, *OTHERS))


class DriftKernel(Protocol):
    """What Drift needs."""

    def add_drift(
        self,
        right: Support,
        right_values: Float[torch.Tensor, " right_entries"],
        before: tuple[Support, Float[torch.Tensor, " _"]] | None,
        after: tuple[Support, Float[torch.Tensor, " _"]],
        sums: Float[torch.Tensor, " fan_out"],
        rounded: Float[torch.Tensor, " fan_out"],
    ) -> float:
        """sums[r] += Σ_j |left_{j,r} − its value before| ‖right_j‖, rounded up; returns the largest addend.

        `rounded` is to be the sums in its dtype, none smaller.
        """


class Drift:
    """How far D has come: by unit, Σ_j |left_{j,r}| ‖right_j‖, added up over all updates since an epoch began.

    What D was then is in the sums, too. So they are no less than A, that of the outer products that there are.

    Args:
        kernel: That adds.
        like: (m_ℓ,), of the dtype and device of the weights.

    Attributes:
        sums: By unit, in float64.
        magnitudes: By unit, no less than A.
        largest: The sum of the largest addends: no unit has drifted farther.
        epoch: How often D became what it was not by an update: an undo, a recompression, a fold.
    """

    def __init__(self, kernel: DriftKernel, like: Float[torch.Tensor, " fan_out"]):
        self.sums: Float[torch.Tensor, " fan_out"] = torch.zeros_like(like, dtype=torch.float64)
        self.magnitudes: Float[torch.Tensor, " fan_out"] = torch.zeros_like(like)
        self.largest, self.epoch = 0.0, 0
        self._kernel = kernel
        self._followed: LowRank | None = None

    def follow(self, low_rank: LowRank) -> int:
        """Goes along to the present D; returns how many numbers of its terms were looked at."""
        before, self._followed = self._followed, None  # where this is broken off, nothing rests afterwards
        looked_at = 0 if before is low_rank else self._go_along(before, low_rank)
        self._followed = low_rank
        return looked_at

    def _go_along(self, before: LowRank | None, low_rank: LowRank) -> int:
        if before is None or before.dense is not low_rank.dense or len(before.terms) > len(low_rank.terms):
            return self._begin_anew(low_rank)
        pairs = [(old, new) for old, new in zip(before.terms, low_rank.terms, strict=False) if old is not new]
        if any(not new.has_right_factors_of(old) for old, new in pairs):
            return self._begin_anew(low_rank)
        more = [(None, new) for new in low_rank.terms[len(before.terms) :]]
        return sum(self._add(old, new) for old, new in (*pairs, *more))

    def _begin_anew(self, low_rank: LowRank) -> int:
        self.epoch += 1
        dense = low_rank.dense
        self.sums = torch.zeros_like(self.sums) if dense is None else magnitudes_of(dense)
        self.magnitudes = rounded_up(self.sums, self.magnitudes.dtype)
        looked_at = 0 if dense is None else dense.left.numel()
        return looked_at + sum(self._add(None, term) for term in low_rank.terms)

    def _add(self, old: OuterProducts | None, new: OuterProducts) -> int:
        before = (old.left, old.left_values) if old is not None else None
        after, sums = (new.left, new.left_values), (self.sums, self.magnitudes)
        largest = self._kernel.add_drift(new.right, new.right_values, before, after, *sums)
        # As the kernel adds up, so that no unit's sum is larger.
        self.largest = (self.largest + largest) * (1 + 2 * float_info.epsilon)
        return new.entries
