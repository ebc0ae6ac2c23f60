"""The loop over the samples of a course: each is taken by one thread from its inputs through the layers, and back to
its left factors, while its blocks are in cache.
"""

from __future__ import annotations

import numba
import numpy as np

from impl.certified.layer_table import (
    SCALE,
    SHIFT,
    by_unit_at,
    change_at,
    found_at,
    known_at,
    rest_at,
    weights_at,
)
from impl.certified.row_loops import ACTIVE, CHANGES_BACK, DONE, STATUS, advance
from impl.certified.transposed_loops import transpose_change, transpose_sample
from impl.kernels.loops import compile_parallel


@compile_parallel
def course(table, numbers, slots, offsets, units, values, readout, first, screened, backward, todo):
    for i in numba.prange(slots.size):
        if todo[i]:
            sample = np.int64(i), slots[i]  # within a prange numba takes i for unsigned: all would be compiled twice
            mine = units[offsets[i] : offsets[i + 1]], values[offsets[i] : offsets[i + 1]]
            done = _forward(sample, table, numbers, mine, first, screened)
            if done and backward:
                _backward(sample, table, numbers, readout)


@numba.njit(cache=True, nogil=True)
def _forward(sample, table, numbers, inputs, first, screened):
    """A sample through the layers from `first` on; whether it came through all of them."""
    i, slot = sample
    units, values = inputs
    for layer in range(first, table.shape[0]):
        if layer > 0:
            units, values = _found_below(i, table[layer - 1], values)
        mine, numbers_here = table[layer], numbers[layer]
        known, rest, found = known_at(mine, values), rest_at(mine, values), found_at(mine, values)
        by_unit, change = by_unit_at(mine, numbers_here, values), change_at(mine, numbers_here, values)
        batch = i, slot, units, values, found.places[i, : units.size]
        out = found.counts[i], found.units[i], found.active[i]
        just_screened = screened and layer == first
        advance(batch, known, rest, by_unit, change, weights_at(mine, values), just_screened, out)
        if found.counts[i, STATUS] != DONE:
            return False
        shift, scale = values.dtype.type(numbers[layer, SHIFT]), values.dtype.type(numbers[layer, SCALE])
        active, hidden = found.active[i], found.hidden[i]
        for e in range(found.counts[i, ACTIVE]):
            hidden[e] = (active[e] - shift) * scale
    return True


@numba.njit(cache=True, nogil=True)
def _found_below(i, table, like):
    """Active units of a layer, and hidden values on them."""
    below = found_at(table, like)
    count = below.counts[i, ACTIVE]
    return below.units[i, :count], below.hidden[i, :count]


@numba.njit(cache=True, nogil=True)
def _backward(sample, table, numbers, readout):
    """The left factors of a sample, from the last layer down."""
    i, slot = sample
    top = table.shape[0] - 1
    above = found_at(table[top], readout)
    scale = readout.dtype.type(numbers[top, SCALE])
    for e in range(above.counts[i, ACTIVE]):
        for output in range(readout.shape[1]):
            above.left[i, output, e] = readout[above.units[i, e], output] * scale
    for layer in range(top, 0, -1):
        above, below = found_at(table[layer], readout), found_at(table[layer - 1], readout)
        known, change = known_at(table[layer], readout), change_at(table[layer], numbers[layer], readout)
        count, less = above.counts[i, ACTIVE], below.counts[i, ACTIVE]
        units, values, out = above.units[i, :count], above.left[i, :, :count], below.left[i, :, :less]
        transpose_sample(known, slot, above.places[i, :less], units, values, out)
        above.counts[i, CHANGES_BACK] += transpose_change(change, units, values, below.units[i, :less], out)
        scale = readout.dtype.type(numbers[layer - 1, SCALE])
        for output in range(out.shape[0]):
            for e in range(less):
                out[output, e] *= scale
