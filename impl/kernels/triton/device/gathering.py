"""Σ values · rows of a table, sample by sample: the forward pass, and inner products with tables that are narrow."""

import triton
import triton.language as tl


@triton.jit
def gather_wide(offsets, units, values, table, out, width, stride, BLOCK: tl.constexpr, AHEAD: tl.constexpr):
    """One program for a sample and BLOCK columns; samples are the faster axis of the grid.

    So the programs that run at a time go through the same columns of the table in the same increasing order of units: a
    row that several samples name comes from memory once and from the cache for the others. AHEAD rows are on their way
    at a time. An element is summed in order of entries, whatever the sizes of the launch.
    """
    sample = tl.program_id(0)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < width
    begin, end = tl.load(offsets + sample), tl.load(offsets + sample + 1)
    total = tl.zeros((BLOCK,), out.dtype.element_ty)
    for first in range(begin, end, AHEAD):
        for step in tl.static_range(AHEAD):
            entry = first + step
            live = entry < end
            unit = tl.load(units + entry, mask=live, other=0).to(tl.int64)
            value = tl.load(values + entry, mask=live, other=0.0)
            row = tl.load(table + unit * stride + columns, mask=inside & live, other=0.0)
            total += value * row.to(out.dtype.element_ty)
    tl.store(out + sample.to(tl.int64) * width + columns, total, mask=inside)


@triton.jit
def gather_narrow(offsets, units, values, table, out, width, stride, ENTRIES: tl.constexpr, COLUMNS: tl.constexpr):
    """One program for a sample and all columns of a narrow table: ENTRIES rows at a time, summed apart at first."""
    sample = tl.program_id(0)
    columns = tl.arange(0, COLUMNS)
    inside = columns < width
    begin, end = tl.load(offsets + sample), tl.load(offsets + sample + 1)
    totals = tl.zeros((ENTRIES, COLUMNS), out.dtype.element_ty)
    for first in range(begin, end, ENTRIES):
        entry = first + tl.arange(0, ENTRIES)
        live = entry < end
        unit = tl.load(units + entry, mask=live, other=0).to(tl.int64)
        value = tl.load(values + entry, mask=live, other=0.0)
        rows = tl.load(
            table + unit[:, None] * stride + columns[None, :], mask=live[:, None] & inside[None, :], other=0.0
        )
        totals += value[:, None] * rows.to(out.dtype.element_ty)
    tl.store(out + sample.to(tl.int64) * width + columns, tl.sum(totals, 0), mask=inside)


@triton.jit(do_not_specialize=["outputs", "length", "values_stride"])
def inner_products(
    offsets,
    units,
    values,
    table,
    out,
    outputs,
    length,
    values_stride,
    table_stride,
    ENTRIES: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """One program for an output of a sample and COLUMNS columns of a table: (output, one of `length` samples) each.

    They come out with the samples first. Sums are taken as in gather_narrow, in the dtype of `out`.
    """
    sample, output = tl.program_id(0), tl.program_id(1)
    width = outputs * length
    columns = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    inside = columns < width
    begin, end = tl.load(offsets + sample), tl.load(offsets + sample + 1)
    mine = values + output.to(tl.int64) * values_stride
    totals = tl.zeros((ENTRIES, COLUMNS), out.dtype.element_ty)
    for first in range(begin, end, ENTRIES):
        entry = first + tl.arange(0, ENTRIES)
        live = entry < end
        unit = tl.load(units + entry, mask=live, other=0).to(tl.int64)
        value = tl.load(mine + entry, mask=live, other=0.0).to(out.dtype.element_ty)
        rows = tl.load(
            table + unit[:, None] * table_stride + columns[None, :], mask=live[:, None] & inside[None, :], other=0.0
        )
        totals += value[:, None] * rows.to(out.dtype.element_ty)
    place = (columns % length) * outputs + columns // length
    row = out + (sample * outputs + output).to(tl.int64) * width
    tl.store(row + place, tl.sum(totals, 0), mask=inside)


@triton.jit(do_not_specialize=["outputs", "values_stride", "out_stride"])
def gather_restricted(
    entry_by_unit,
    sample_of_entry,
    row_units,
    column_offsets,
    column_units,
    values,
    table,
    out,
    outputs,
    stride,
    values_stride,
    out_stride,
    OUTPUTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One program for a row entry and OUTPUTS outputs: a row of the entry's k × k block against the sample's values.

    Entries go by unit, so that programs that run at a time read the same rows of the table.
    """
    entry = tl.load(entry_by_unit + tl.program_id(0))
    output = (tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)).to(tl.int64)
    wanted = output < outputs
    sample = tl.load(sample_of_entry + entry)
    row = table + tl.load(row_units + entry).to(tl.int64) * stride
    begin, end = tl.load(column_offsets + sample), tl.load(column_offsets + sample + 1)
    totals = tl.zeros((OUTPUTS, BLOCK), out.dtype.element_ty)
    for first in range(begin, end, BLOCK):
        column = first + tl.arange(0, BLOCK)
        live = column < end
        unit = tl.load(column_units + column, mask=live, other=0)
        numbers = tl.load(row + unit, mask=live, other=0.0).to(out.dtype.element_ty)
        factors = tl.load(
            values + output[:, None] * values_stride + column[None, :],
            mask=wanted[:, None] & live[None, :],
            other=0.0,
        )
        totals += numbers[None, :] * factors
    tl.store(out + output * out_stride + entry, tl.sum(totals, 1), mask=wanted)
