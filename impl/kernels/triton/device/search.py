"""Binary search of many units at once in one increasing list."""

import triton
import triton.language as tl


@triton.jit
def how_many_less(increasing, length, wanted, live):
    """For every wanted unit how many of the `length` units at `increasing` are less: its place there, if any."""
    less = tl.zeros_like(wanted)
    left = length
    while left > 1:
        half = left // 2
        probe = tl.load(increasing + less + (half - 1), mask=live, other=0)
        less += tl.where(probe < wanted, half, 0)
        left -= half
    last = tl.load(increasing + less, mask=live & (left > 0), other=2147483647)
    return less + (last < wanted).to(tl.int32)
