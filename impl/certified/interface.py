"""What the kernels of certified passes offer; see AnchorArrays for what they work on."""

from __future__ import annotations

from typing import Protocol

import torch

from impl.certified.arrays import AnchorArrays
from impl.certified.bound import Screen
from impl.support import Support
from reference.contract.shapes import Float, Int


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
        ridge: float,
    ) -> tuple[Float[torch.Tensor, "n references"], Float[torch.Tensor, "n 3"]]:
        """The coefficients a_q, and in float64 ‖h‖², Σ_q |a_q|‖h^q‖, ‖h − Σ_q a_q h^q‖²; the ridge is γ² (bound.py)."""

    def exact(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        coefficients: Float[torch.Tensor, "n references"],
        correction: Float[torch.Tensor, "n fan_out"],
        magnitudes: Float[torch.Tensor, " fan_out"],
        looseness: Float[torch.Tensor, " n"],
    ) -> Float[torch.Tensor, "n fan_out"]:
        """Σ_q a_q W⁰h^q − correction + magnitudes · looseness."""

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
        self, arrays: AnchorArrays, screen: Screen, outer: Float[torch.Tensor, " n"]
    ) -> Int[torch.Tensor, "2 n"]:
        """How many units beside the rows are not certified: within the screen's radius, and within an outer one."""

    def radius_for(self, arrays: AnchorArrays, screen: Screen, spread: float) -> Float[torch.Tensor, " n"]:
        """The radius within which there are about `spread` times as many units as within the screen's own, or more."""

    def append_rows(self, arrays: AnchorArrays, screen: Screen, radius: Float[torch.Tensor, " n"]) -> None:
        """Makes rows of all units that are not certified within a radius; there must be room."""

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
        correction: Float[torch.Tensor, "n fan_out"],
    ) -> Float[torch.Tensor, "n row_room"]:
        """W⁰ h − correction on the rows, in their order; beyond a sample's rows the numbers mean nothing."""

    def select(
        self,
        arrays: AnchorArrays,
        slots: Int[torch.Tensor, " n"],
        z: Float[torch.Tensor, "n row_room"],
        threshold: float,
    ) -> tuple[Support, Float[torch.Tensor, " entries"]]:
        """The rows whose z is greater than the threshold, strictly, by unit, and their values."""

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
