"""Vectors on the union of their supports (impl/kernels/factors.py): growing a union, and products with them."""

import triton
import triton.language as tl

from impl.kernels.triton.device.search import how_many_less


@triton.jit(do_not_specialize=["room"])
def count_missing(counts, known, room, offsets, units, missing, BLOCK: tl.constexpr):
    """One program for a sample: how many units of a support are not in its union."""
    sample = tl.program_id(0)
    length = tl.load(counts + sample).to(tl.int32)
    mine = known + sample.to(tl.int64) * room
    begin, end = tl.load(offsets + sample), tl.load(offsets + sample + 1)
    absent = tl.zeros((BLOCK,), tl.int32)
    for first in range(begin, end, BLOCK):
        entry = first + tl.arange(0, BLOCK)
        live = entry < end
        unit = tl.load(units + entry, mask=live, other=0)
        place = how_many_less(mine, length, unit, live)
        found = tl.load(mine + place, mask=live & (place < length), other=-1)
        absent += (live & (found != unit)).to(tl.int32)
    tl.store(missing + sample, tl.sum(absent, 0).to(tl.int64))


@triton.jit(do_not_specialize=["room"])
def place_support(counts, known, room, offsets, units, places, shifts, new_counts, BLOCK: tl.constexpr):
    """One program for a sample: where in the new union each unit of a support will be.

    Args:
        places: For every entry that.
        shifts: For every entry how many units before it are new: by so much the union moves up in front of it.
        new_counts: Sizes of the new unions.
    """
    sample = tl.program_id(0)
    length = tl.load(counts + sample).to(tl.int32)
    mine = known + sample.to(tl.int64) * room
    begin, end = tl.load(offsets + sample), tl.load(offsets + sample + 1)
    before = 0
    for first in range(begin, end, BLOCK):
        entry = first + tl.arange(0, BLOCK)
        live = entry < end
        unit = tl.load(units + entry, mask=live, other=0)
        place = how_many_less(mine, length, unit, live)
        found = tl.load(mine + place, mask=live & (place < length), other=-1)
        new = (live & (found != unit)).to(tl.int32)
        shift = before + tl.cumsum(new, 0) - new
        tl.store(places + entry, place + shift, mask=live)
        tl.store(shifts + entry, shift, mask=live)
        before += tl.sum(new, 0)
    tl.store(new_counts + sample, (length + before).to(tl.int64))


@triton.jit(do_not_specialize=["room", "vector_room", "vectors"])
def move_known(
    counts,
    known,
    numbers,
    room,
    vector_room,
    vectors,
    offsets,
    units,
    shifts,
    new_counts,
    new_known,
    new_numbers,
    PLACES: tl.constexpr,
    VECTORS: tl.constexpr,
):
    """One program for PLACES places of a sample's old union: to where the new one has them."""
    sample = tl.program_id(0)
    base = sample.to(tl.int64) * room
    place = tl.program_id(1) * PLACES + tl.arange(0, PLACES)
    length = tl.load(counts + sample).to(tl.int32)
    live = place < length
    unit = tl.load(known + base + place, mask=live, other=0)
    begin = tl.load(offsets + sample)
    entries = tl.load(offsets + sample + 1) - begin
    entry = how_many_less(units + begin, entries, unit, live)
    added = (tl.load(new_counts + sample) - length).to(tl.int32)
    to = place + tl.load(shifts + begin + entry, mask=live & (entry < entries), other=0)
    to += tl.where(entry < entries, 0, added)
    tl.store(new_known + base + to, unit, mask=live)
    for first in range(0, vectors, VECTORS):
        vector = first + tl.arange(0, VECTORS)
        both = live[:, None] & (vector < vectors)[None, :]
        block = tl.load(numbers + (base + place)[:, None] * vector_room + vector[None, :], mask=both, other=0.0)
        tl.store(new_numbers + (base + to)[:, None] * vector_room + vector[None, :], block, mask=both)


@triton.jit(do_not_specialize=["entries", "room", "vector_room", "vectors"])
def place_new(
    sample_of_entry, units, values, places, known, numbers, entries, room, vector_room, vectors, BLOCK: tl.constexpr
):
    """One program for BLOCK entries of a support: its values as the vector after the others."""
    entry = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = entry < entries
    sample = tl.load(sample_of_entry + entry, mask=live, other=0).to(tl.int64)
    place = sample * room + tl.load(places + entry, mask=live, other=0)
    tl.store(known + place, tl.load(units + entry, mask=live, other=0), mask=live)
    tl.store(numbers + place * vector_room + vectors, tl.load(values + entry, mask=live, other=0.0), mask=live)


@triton.jit(do_not_specialize=["room", "vector_room", "vectors"])
def contract(
    counts,
    known,
    numbers,
    room,
    vector_room,
    vectors,
    table,
    out,
    width,
    PLACES: tl.constexpr,
    VECTORS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """One program for some vectors of a sample and some columns: PLACES rows at a time, each summed apart at first."""
    sample = tl.program_id(0)
    base = sample.to(tl.int64) * room
    vector = tl.program_id(1) * VECTORS + tl.arange(0, VECTORS)
    column = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    length = tl.load(counts + sample).to(tl.int32)
    totals = tl.zeros((PLACES, VECTORS, COLUMNS), out.dtype.element_ty)
    for first in range(0, length, PLACES):
        place = first + tl.arange(0, PLACES)
        live = place < length
        unit = tl.load(known + base + place, mask=live, other=0).to(tl.int64)
        mine = tl.load(
            numbers + (base + place)[:, None] * vector_room + vector[None, :],
            mask=live[:, None] & (vector < vectors)[None, :],
            other=0.0,
        )
        rows = tl.load(
            table + unit[:, None] * width + column[None, :], mask=live[:, None] & (column < width)[None, :], other=0.0
        )
        totals += mine[:, :, None] * rows[:, None, :]
    place_out = (sample.to(tl.int64) * vectors + vector)[:, None] * width + column[None, :]
    tl.store(out + place_out, tl.sum(totals, 0), mask=(vector < vectors)[:, None] & (column < width)[None, :])


@triton.jit(do_not_specialize=["room"])
def bound_parts(counts, known, room, bounds, parts, rows, BLOCK: tl.constexpr):
    """One program for a sample and BLOCK parts of `rows` units each: at which place of the union each part begins."""
    sample = tl.program_id(0)
    part = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    live = part <= parts
    length = tl.load(counts + sample).to(tl.int32)
    place = how_many_less(known + sample.to(tl.int64) * room, length, part * rows, live)
    tl.store(bounds + sample.to(tl.int64) * (parts + 1) + part, place, mask=live)


@triton.jit(do_not_specialize=["room", "vector_room", "vectors"])
def spread(
    known,
    numbers,
    room,
    vector_room,
    vectors,
    bounds,
    parts,
    coefficients,
    out,
    samples,
    width,
    VECTORS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """One program for a part of the units and some columns: sample after sample, in order.

    Units recur from sample to sample, and other threads may then hold the row: hence the barrier after each.
    """
    part = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < width
    for sample in range(samples):
        wide = tl.cast(sample, tl.int64)
        begin = tl.load(bounds + wide * (parts + 1) + part)
        end = tl.load(bounds + wide * (parts + 1) + part + 1)
        for place in range(begin, end):
            at = wide * room + place
            totals = tl.zeros((VECTORS, COLUMNS), out.dtype.element_ty)
            for first in range(0, vectors, VECTORS):
                vector = first + tl.arange(0, VECTORS)
                live = vector < vectors
                mine = tl.load(numbers + at * vector_room + vector, mask=live, other=0.0)
                rows = tl.load(
                    coefficients + (wide * vectors + vector)[:, None] * width + column[None, :],
                    mask=live[:, None] & inside[None, :],
                    other=0.0,
                )
                totals += mine[:, None] * rows
            target = out + tl.load(known + at).to(tl.int64) * width + column
            tl.store(target, tl.load(target, mask=inside, other=0.0) + tl.sum(totals, 0), mask=inside)
            tl.debug_barrier()
