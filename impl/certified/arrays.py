"""What is kept of one layer between anchors, sample by sample: plain arrays that the kernels read and write.

Samples have *slots*. For the sample in slot s, *columns* are the inputs of the layer that its certificate covers, in
the order in which they came to it; *rows* are its candidates, the units that may be active, likewise. The block of a
sample holds (W⁰)ᵀ on columns × rows. All of it belongs to one base W⁰; what was added to W⁰ since is not in it.

Of a *reference*, an earlier input, the product with W⁰ is known. Those of one, the *row reference*, are known for rows
alone: all rows are computed now and then, which takes no more than that, and they are put in a new order.
"""

from __future__ import annotations

from typing import Any

import torch

from impl.certified.blocks import Blocks
from impl.work import tensor_bytes
from reference.contract.shapes import Float, Int

# Rows and columns that come later find room without the lists being moved.
SPARE = 1.25
FIRST_ROOM = 16

# Inputs whose products are kept for a sample. Training moves along a path that bends little, so that a few span it.
REFERENCES = 3

NUMBERS = ("products", "norms", "row_products", "references")
INDICES = ("row_place", "column_place", "rows", "columns")
COUNTS = ("reference_count", "row_count", "column_count", "live_count", "known_count", "excess", "spent")


class AnchorArrays:
    """The arrays of one layer.

    Args:
        fan_in: m_{ℓ−1}.
        fan_out: m_ℓ.
        room: Bytes for blocks.
        device: Where they live.
        dtype: Of numbers.

    Attributes:
        products: (slots, REFERENCES, m_ℓ), W⁰h^q for the references of a sample.
        norms: (slots, m_ℓ), ρ: at least ‖W⁰_{r,S}‖₂ over the columns S.
        row_place: (slots, m_ℓ) int32, for every unit its place among the rows, −1 where it is none.
        column_place: (slots, m_{ℓ−1}) int32, for every input its place among the columns, or −1.
        row_products: (slots, row room), W⁰h^q on the rows, q the row reference.
        rows: (slots, row room) int32, units; of those that came at one time the ones that could then not be certified
            are first, in increasing order, and the others ordered by how soon they may be active.
        columns: (slots, column room) int32, inputs.
        references: (slots, REFERENCES + 1, column room), h^q on the columns, the row reference last; zero where there
            is no q-th one.
        reference_count: (slots,) int64, how many references a sample has had: the next replaces the oldest.
        row_count: (slots,) int64.
        column_count: (slots,) int64.
        live_count: (slots,) int64, how many of the rows, from the first on, the last screen could not certify.
        known_count: (slots,) int64, how many of the rows, from the first on, have a row product.
        excess: (slots,) int64, rows that were computed and not active, over all passes since the row reference.
        spent: (slots,) int64, what copying rows has cost since the last reference, in multiply-adds: see anchors.py.
        blocks: The blocks.
        kept: What kernels keep to themselves while no array is moved; None afterwards.
    """

    def __init__(self, fan_in: int, fan_out: int, room: int, device: torch.device, dtype: torch.dtype):
        self.fan_in, self.fan_out = fan_in, fan_out
        self._device, self._dtype = device, dtype
        self.products: Float[torch.Tensor, "slots references fan_out"] = self._numbers(0, REFERENCES, fan_out)
        self.norms: Float[torch.Tensor, "slots fan_out"] = self._numbers(0, fan_out)
        self.row_products: Float[torch.Tensor, "slots row_room"] = self._numbers(0, FIRST_ROOM)
        self.references: Float[torch.Tensor, "slots references_and_one column_room"] = self._numbers(
            0, REFERENCES + 1, 0
        )
        self.row_place: Int[torch.Tensor, "slots fan_out"] = self._indices(0, fan_out)
        self.column_place: Int[torch.Tensor, "slots fan_in"] = self._indices(0, fan_in)
        self.rows: Int[torch.Tensor, "slots row_room"] = self._indices(0, FIRST_ROOM)
        self.columns: Int[torch.Tensor, "slots column_room"] = self._indices(0, 0)
        self.reference_count: Int[torch.Tensor, " slots"] = torch.zeros(0, dtype=torch.int64, device=device)
        self.row_count: Int[torch.Tensor, " slots"] = self.reference_count.clone()
        self.column_count: Int[torch.Tensor, " slots"] = self.reference_count.clone()
        self.live_count: Int[torch.Tensor, " slots"] = self.reference_count.clone()
        self.known_count: Int[torch.Tensor, " slots"] = self.reference_count.clone()
        self.excess: Int[torch.Tensor, " slots"] = self.reference_count.clone()
        self.spent: Int[torch.Tensor, " slots"] = self.reference_count.clone()
        self.blocks = Blocks(room, device, dtype)
        self.kept: Any = None
        self._bytes: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For copies: what kernels keep is memory of these arrays, not of the copy's."""
        return {**self.__dict__, "kept": None}

    @property
    def slots(self) -> int:
        """How many samples there is room for."""
        return self.products.shape[0]

    def grow_slots(self, slots: int) -> None:
        """Makes room for more samples."""
        more = slots - self.slots
        if more <= 0:
            return
        for name in NUMBERS:
            self._extend(name, self._numbers(more, *getattr(self, name).shape[1:]))
        for name in INDICES:
            self._extend(name, self._indices(more, getattr(self, name).shape[1]))
        for name in COUNTS:
            self._extend(name, torch.zeros(more, dtype=torch.int64, device=self._device))
        self.blocks.grow_slots(slots)

    def grow_rows(self, room: int) -> None:
        """Makes room for more rows of every sample."""
        if room > self.rows.shape[1]:
            for name in ("rows", "row_products"):
                self._widen(name, int(SPARE * room))

    def grow_columns(self, room: int) -> None:
        """Makes room for more columns of every sample."""
        if room > self.columns.shape[1]:
            for name in ("columns", "references"):
                self._widen(name, int(SPARE * room))

    def forget(self, slots: Int[torch.Tensor, " some"]) -> None:
        """Empties the lists of these samples."""
        self.row_place[slots] = -1
        self.column_place[slots] = -1
        self.references[slots] = 0.0
        for name in COUNTS:
            getattr(self, name)[slots] = 0
        self.blocks.release(slots)

    @property
    def bytes(self) -> int:
        """What all of it takes."""
        if self._bytes is None:
            parts = (*NUMBERS, *INDICES, *COUNTS)
            self._bytes = sum(tensor_bytes(getattr(self, name)) for name in parts) + self.blocks.bytes
        return self._bytes

    @property
    def bytes_a_slot(self) -> int:
        """What a sample takes beside its block, and lists that are short."""
        return (REFERENCES + 1) * self.fan_out * self._dtype.itemsize + 4 * (self.fan_in + self.fan_out)

    def _extend(self, name: str, more: torch.Tensor) -> None:
        self.kept = self._bytes = None
        old = getattr(self, name)
        setattr(self, name, torch.cat([old, more]) if old.shape[0] else more)

    def _widen(self, name: str, room: int) -> None:
        self.kept = self._bytes = None
        old = getattr(self, name)
        wide = old.new_zeros(*old.shape[:-1], room)
        wide[..., : old.shape[-1]] = old
        setattr(self, name, wide)

    def _numbers(self, *shape: int) -> torch.Tensor:
        return torch.zeros(shape, dtype=self._dtype, device=self._device)

    def _indices(self, *shape: int) -> torch.Tensor:
        return torch.full(shape, -1, dtype=torch.int32, device=self._device)
