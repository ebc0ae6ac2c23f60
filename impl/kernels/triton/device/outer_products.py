"""Subtracting outer products from a table on the k × k blocks, and keeping what stood there."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["vectors", "columns"])
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
    vectors,
    columns,
    BLOCK: tl.constexpr,
):
    """One program for a row of the table and a slice of its columns: sample after sample, in order.

    So what several samples change belongs to one program. Their columns overlap, and other threads then hold an
    element: hence the barrier after each sample.

    Args:
        bounds: Of sample i and slice s the column entries are bounds[i·slices + s] … bounds[i·slices + s + 1] − 1.
        vectors: t; row_values is (row_entries, t), and column_values (t, columns).
        columns: How many column entries there are.
    """
    unit, part = tl.program_id(0), tl.program_id(1)
    row = table + unit.to(tl.int64) * stride
    for position in range(tl.load(unit_offsets + unit), tl.load(unit_offsets + unit + 1)):
        entry = tl.load(entry_by_unit + position)
        sample = tl.load(sample_of_entry + entry)
        factor = row_values + entry.to(tl.int64) * vectors
        begin, end = tl.load(bounds + sample * slices + part), tl.load(bounds + sample * slices + part + 1)
        for first in range(begin, end, BLOCK):
            column = first + tl.arange(0, BLOCK)
            live = column < end
            target = row + tl.load(column_units + column, mask=live, other=0)
            change = tl.load(factor) * tl.load(column_values + column, mask=live, other=0.0)
            for t in range(1, vectors):
                vector = column_values + t * tl.cast(columns, tl.int64)
                change += tl.load(factor + t) * tl.load(vector + column, mask=live, other=0.0)
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
