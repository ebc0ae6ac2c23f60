"""What the kernels of certified passes offer; see AnchorArrays for what they work on."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch

from impl.certified.arrays import AnchorArrays
from impl.certified.bound import Bounds, Combination
from impl.support import Support
from reference.contract.shapes import Bool, Float, Int

# A sample's rows are all computed, and put in a new order, when so many times as many were computed in vain. Copying
# them takes about twice as long as computing them.
RENEWAL = 2


class Activation(NamedTuple):
    """The active units, and what it took to find them.

    Attributes:
        support: Active units.
        values: Their preactivations.
        rows: How many rows were computed, over all samples.
        multiply_adds: For them.
        moved: Numbers of blocks that were put in a new order.
    """

    support: Support
    values: Float[torch.Tensor, " active_entries"]
    rows: int
    multiply_adds: int
    moved: int


class AnchorKernels(Protocol):
    """The operations of a certified pass on one layer; `slots` (n,) says where in the arrays samples are."""

    def product_and_squares(
        self, support: Support, values: Float[torch.Tensor, " entries"], table: Float[torch.Tensor, "fan_in fan_out"]
    ) -> tuple[Float[torch.Tensor, "n fan_out"], Float[torch.Tensor, "n fan_out"]]:
        """Σ_{a ∈ support_i} values[i, a]·table[a], and Σ_{a ∈ support_i} table[a]², in one pass over the table."""

    def locate(
        self, arrays: AnchorArrays, slots: Int[torch.Tensor, " n"], support: Support
    ) -> tuple[Int[torch.Tensor, " entries"], Int[torch.Tensor, " n"]]:
        """The place of every active input among the columns (−1: none), and how many of a sample's are none."""

    def combine(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        places: Int[torch.Tensor, " entries"],
        terms: int,
    ) -> Combination:
        """Combines references to what is nearest to the inputs; a sum has a sample's columns and `terms` more terms."""

    def append_columns(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        places: Int[torch.Tensor, " entries"],
        table: Float[torch.Tensor, "fan_in fan_out"],
    ) -> None:
        """Makes columns of the active inputs without a place, which is written to `places`; there must be room."""

    def screen(self, arrays: AnchorArrays, bounds: Bounds) -> Int[torch.Tensor, " n"]:
        """How many units beside the rows are not certified within the bounds' radius.

        It also sets `live_count`: to all rows where too many were computed in vain (RENEWAL).
        """

    def exact(self, arrays: AnchorArrays, bounds: Bounds) -> Float[torch.Tensor, "n fan_out"]:
        """The bounds at radius 0."""

    def radius_for(
        self,
        arrays: AnchorArrays,
        bounds: Bounds,
        exact: Float[torch.Tensor, "n fan_out"],
        target: Int[torch.Tensor, " n"],
    ) -> Float[torch.Tensor, " n"]:
        """The bounds' own radius, or one within which up to so many units are not certified."""

    def within(
        self,
        arrays: AnchorArrays,
        bounds: Bounds,
        exact: Float[torch.Tensor, "n fan_out"],
        radius: Float[torch.Tensor, " n"],
    ) -> Bool[torch.Tensor, "n fan_out"]:
        """Which units beside the rows are not certified within a radius."""

    def append_rows(
        self,
        arrays: AnchorArrays,
        bounds: Bounds,
        exact: Float[torch.Tensor, "n fan_out"],
        mask: Bool[torch.Tensor, "n fan_out"],
    ) -> None:
        """Makes rows of units that are none, and sets `live_count` to what is not certified; there must be room."""

    def fill(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        columns: Support,
        first: Int[torch.Tensor, " n"],
        table: Float[torch.Tensor, "fan_in fan_out"],
    ) -> None:
        """Copies (W⁰)ᵀ on columns × rows to the blocks, from row `first` on; `columns` are those of the arrays."""

    def apply_transpose(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        rows: Support,
        places: Int[torch.Tensor, " row_entries"],
        columns: Support,
        values: Float[torch.Tensor, "c column_entries"],
    ) -> Float[torch.Tensor, "c row_entries"]:
        """(W⁰)ᵀ g at the inputs `rows`, whose places are given, for g on the units `columns`, all of them rows."""


class ScreeningKernels(AnchorKernels, Protocol):
    """Those of passes that screen all units every time."""

    def activate(
        self,
        arrays: AnchorArrays,
        bounds: Bounds,
        support: Support,
        values: Float[torch.Tensor, " entries"],
        places: Int[torch.Tensor, " entries"],
        threshold: float,
    ) -> Activation:
        """Computes the live rows, and says which of them are active: greater than the threshold, strictly.

        Live rows that are not active are added to `excess`. Where all rows were computed, that was due (RENEWAL) and no
        number has overflowed, the input becomes the row reference; from then on those rows that are active come first,
        by unit, and the others after them, by how soon they may be active.
        """
