"""The blocks of all samples in one tensor: each has its own size, and none is padded to the largest."""

from __future__ import annotations

import torch

from impl.weights.table import empty_table
from reference.contract.shapes import Float, Int

# Room that a block has for more lines and longer ones, so that it is not moved often; and small ones for so many more.
SPARE_LINES = 1.125
SPARE_LENGTH = 1.25
SPARE = 32


class OutOfRoom(Exception):
    """There is no room for the blocks that are wanted."""


class Blocks:
    """Matrices of different sizes, one a slot; column c of the sample, a line of the matrix, is contiguous.

    Args:
        room: Bytes for all of them, taken and touched at once: an iteration is not to wait for pages of memory.
        device: Where they live.
        dtype: Of the numbers.

    Attributes:
        room: Numbers that there is room for, in all.
        numbers: All blocks, and what others have left behind.
        offset: (slots,) int64, where in `numbers` a block begins.
        lines: (slots,) int64, how many lines there is room for.
        stride: (slots,) int64, and how many numbers a line has room for.
    """

    def __init__(self, room: int, device: torch.device, dtype: torch.dtype):
        self.room = room // dtype.itemsize
        self.numbers: Float[torch.Tensor, " room"] = empty_table(1, self.room, device, dtype)[0].zero_()
        self.offset: Int[torch.Tensor, " slots"] = torch.zeros(0, dtype=torch.int64, device=device)
        self.lines: Int[torch.Tensor, " slots"] = self.offset.clone()
        self.stride: Int[torch.Tensor, " slots"] = self.offset.clone()
        self._end = 0

    @property
    def bytes(self) -> int:
        """What they take."""
        return self.numbers.numel() * self.numbers.element_size()

    @property
    def free(self) -> int:
        """How many numbers there is room for."""
        return self.room - self._end

    def grow_slots(self, slots: int) -> None:
        """Empty blocks for more samples."""
        more = torch.zeros(slots - self.offset.numel(), dtype=torch.int64, device=self.offset.device)
        self.offset, self.lines, self.stride = (
            torch.cat([part, more]) for part in (self.offset, self.lines, self.stride)
        )

    def view(self, slot: int) -> Float[torch.Tensor, "lines stride"]:
        """The block of a slot."""
        offset, lines, stride = int(self.offset[slot]), int(self.lines[slot]), int(self.stride[slot])
        return self.numbers[offset : offset + lines * stride].view(lines, stride)

    def release(self, slots: Int[torch.Tensor, " some"]) -> None:
        """Leaves the blocks of these slots behind."""
        self.lines[slots] = 0
        self.stride[slots] = 0

    def reserve(
        self, slots: Int[torch.Tensor, " some"], lines: Int[torch.Tensor, " some"], length: Int[torch.Tensor, " some"]
    ) -> None:
        """Makes room in the blocks of these slots, which keep what they hold.

        Args:
            slots: Which.
            lines: How many lines each must have room for.
            length: And of how many numbers.

        Raises:
            OutOfRoom: where there is none; no block has changed then.
        """
        have_lines, have_length = self.lines[slots], self.stride[slots]
        short = ((have_lines < lines) | (have_length < length)).nonzero()[:, 0]
        if not short.numel():
            return
        down = torch.maximum(have_lines, (lines * SPARE_LINES).long() + SPARE)[short]
        across = torch.maximum(have_length, (length * SPARE_LENGTH).long() + SPARE)[short]
        if self._end + int((down * across).sum()) > self.room:
            self._compact()
        if self._end + int((down * across).sum()) > self.room:  # what does not fit with room to spare may fit without
            down, across = torch.maximum(have_lines, lines)[short], torch.maximum(have_length, length)[short]
        if self._end + int((down * across).sum()) > self.room:
            raise OutOfRoom
        grown, sizes = slots[short], down * across
        ends = self._end + sizes.cumsum(dim=0)
        for slot, begin, height, width in torch.stack([grown, ends - sizes, down, across], dim=1).tolist():
            old = self.view(slot)
            if old.numel():
                new = self.numbers[begin : begin + height * width].view(height, width)
                new[: old.shape[0], : old.shape[1]] = old
        self.offset[grown], self.lines[grown], self.stride[grown] = ends - sizes, down, across
        self._end = int(ends[-1])

    def _compact(self) -> None:
        """Moves what is in use to the beginning."""
        alive = (self.lines * self.stride).nonzero()[:, 0]
        end = 0
        for slot in alive[self.offset[alive].argsort()].tolist():
            block = self.view(slot).reshape(-1)
            if int(self.offset[slot]) != end:
                self.numbers[end : end + block.numel()] = block.clone()
            self.offset[slot] = end
            end += block.numel()
        self._end = end
