"""Listing what is above a threshold, in two passes: each tile's count, then, once it is known where to, its entries."""

import triton
import triton.language as tl


@triton.jit
def count_above(dense, threshold, counts, width, tiles, BLOCK: tl.constexpr):
    """One program for a tile of a sample: how many of its numbers are above."""
    program = tl.program_id(0)
    sample, tile = program // tiles, program % tiles
    units = tile * BLOCK + tl.arange(0, BLOCK)
    inside = units < width
    numbers = tl.load(dense + sample.to(tl.int64) * width + units, mask=inside, other=float("-inf"))
    above = inside & (numbers > tl.load(threshold))
    tl.store(counts + program, tl.sum(above.to(tl.int32), 0))


@triton.jit(do_not_specialize=["room"])
def list_above(dense, threshold, starts, samples, units, values, width, tiles, room, BLOCK: tl.constexpr):
    """One program for a tile of a sample: lists the entries, in order of units, from the tile's start on.

    Args:
        room: Of the lists; what would come after it is left out.
    """
    program = tl.program_id(0)
    sample, tile = program // tiles, program % tiles
    unit = tile * BLOCK + tl.arange(0, BLOCK)
    inside = unit < width
    numbers = tl.load(dense + sample.to(tl.int64) * width + unit, mask=inside, other=float("-inf"))
    above = inside & (numbers > tl.load(threshold))
    place = tl.load(starts + program) + tl.cumsum(above.to(tl.int32), 0) - 1
    above = above & (place < room)
    tl.store(samples + place, tl.zeros_like(unit) + sample, mask=above)
    tl.store(units + place, unit, mask=above)
    tl.store(values + place, numbers, mask=above)
