"""What the kernels of certified passes offer; see AnchorArrays for what they work on."""

from __future__ import annotations

from typing import Protocol

import torch

from impl.certified.arrays import AnchorArrays
from impl.certified.bound import Bounds
from impl.support import Support
from impl.weights.low_rank import OuterProducts
from reference.contract.shapes import Bool, Float, Int

# A sample's rows are all computed, and put in a new order, when so many times as many were computed in vain. Copying
# them takes about twice as long as computing them.
RENEWAL = 2


class AnchorKernels(Protocol):
    """The operations of a certified pass on one layer; `slots` (n,) says where in the arrays samples are."""

    def product_and_squares(
        self, support: Support, values: Float[torch.Tensor, " entries"], table: Float[torch.Tensor, "fan_in fan_out"]
    ) -> tuple[Float[torch.Tensor, "n fan_out"], Float[torch.Tensor, "n fan_out"]]:
        """Σ_{a ∈ support_i} values[i, a]·table[a], and Σ_{a ∈ support_i} table[a]², in one pass over the table."""

    def add_magnitudes(self, term: OuterProducts, sums: Float[torch.Tensor, " fan_out"]) -> None:
        """sums[r] += Σ_j |left_{j,r}| ‖right_j‖, in float64."""

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
        ridge: float,
    ) -> tuple[
        Float[torch.Tensor, "n references"], Float[torch.Tensor, "n references_and_one"], Float[torch.Tensor, "n 5"]
    ]:
        """Coefficients a_q without the row reference and with it, and in float64 the sizes that bounds are made of.

        They are ‖h‖², then Σ_q |a_q|‖h^q‖ and ‖h − Σ_q a_q h^q‖² for either; the ridge is γ² (bound.py).
        """

    def append_columns(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        places: Int[torch.Tensor, " entries"],
        table: Float[torch.Tensor, "fan_in fan_out"],
    ) -> None:
        """Makes columns of the active inputs without a place, which is written to `places`; there must be room."""

    def screen(
        self, arrays: AnchorArrays, bounds: Bounds, outer: Float[torch.Tensor, " n"]
    ) -> Int[torch.Tensor, "2 n"]:
        """How many units beside the rows are not certified: within the bounds' radius, and within an outer one.

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

    def evaluate(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        places: Int[torch.Tensor, " entries"],
    ) -> Float[torch.Tensor, "n row_room"]:
        """W⁰ h on the live rows, in their order; beyond, the numbers mean nothing."""

    def select(
        self, arrays: AnchorArrays, bounds: Bounds, products: Float[torch.Tensor, "n row_room"], threshold: float
    ) -> tuple[Float[torch.Tensor, "n row_room"], Support, Float[torch.Tensor, " entries"]]:
        """Preactivations z of the live rows; those that are greater than the threshold, strictly, by unit.

        Live rows that are not active are added to `excess`.
        """

    def renew(
        self,
        arrays: AnchorArrays,
        bounds: Bounds,
        support: Support,
        values: Float[torch.Tensor, " entries"],
        places: Int[torch.Tensor, " entries"],
        products: Float[torch.Tensor, "n row_room"],
        z: Float[torch.Tensor, "n row_room"],
    ) -> Bool[torch.Tensor, " n"]:
        """Makes row references of inputs where all rows were computed, and that was due (RENEWAL); says where.

        The rows of such a sample are ordered by how soon they may be active, from now on.
        """

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
