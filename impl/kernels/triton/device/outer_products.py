"""Subtracting outer products from a table on the k × k blocks, and keeping what stood there."""

import triton
import triton.language as tl


@triton.jit
def subtract_outer(
    unit_offsets,
    entry_by_unit,
    sample_of_entry,
    row_values,
    bounds,
    column_units,
    column_values,
    table,
    stride,
    slices,
    BLOCK: tl.constexpr,
):
    """One program for a row of the table and a slice of its columns: sample after sample, in order.

    So what several samples change belongs to one program. Their columns overlap, and other threads then hold an
    element: hence the barrier after each sample.

    Args:
        bounds: Of sample i and slice s the column entries are bounds[i·slices + s] … bounds[i·slices + s + 1] − 1.
    """
    unit, part = tl.program_id(0), tl.program_id(1)
    row = table + unit.to(tl.int64) * stride
    for position in range(tl.load(unit_offsets + unit), tl.load(unit_offsets + unit + 1)):
        entry = tl.load(entry_by_unit + position)
        sample = tl.load(sample_of_entry + entry)
        value = tl.load(row_values + entry)
        begin, end = tl.load(bounds + sample * slices + part), tl.load(bounds + sample * slices + part + 1)
        for first in range(begin, end, BLOCK):
            column = first + tl.arange(0, BLOCK)
            live = column < end
            target = row + tl.load(column_units + column, mask=live, other=0)
            change = value * tl.load(column_values + column, mask=live, other=0.0)
            after = tl.load(target, mask=live, other=0.0).to(change.dtype) - change
            tl.store(target, after.to(table.dtype.element_ty), mask=live)
        tl.debug_barrier()


@triton.jit
def copy_blocks(
    sample_of_entry,
    row_units,
    column_offsets,
    column_units,
    table,
    kept,
    starts,
    stride,
    BACK: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One program for a row entry: its row of the k × k block from the table to `kept`, or back.

    Args:
        starts: For every row entry where its row begins in `kept`.
    """
    entry = tl.program_id(0)
    sample = tl.load(sample_of_entry + entry)
    row = table + tl.load(row_units + entry).to(tl.int64) * stride
    place = kept + tl.load(starts + entry)
    begin, end = tl.load(column_offsets + sample), tl.load(column_offsets + sample + 1)
    for first in range(begin, end, BLOCK):
        column = first + tl.arange(0, BLOCK)
        live = column < end
        target = row + tl.load(column_units + column, mask=live, other=0)
        if BACK:
            tl.store(target, tl.load(place + (column - begin), mask=live), mask=live)
        else:
            tl.store(place + (column - begin), tl.load(target, mask=live), mask=live)
