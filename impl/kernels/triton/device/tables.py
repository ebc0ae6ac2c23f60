"""Between values on supports and dense tables by unit."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["entries", "values_stride"])
def tabulate(
    sample_of_entry, units, values, table, entries, width, samples, values_stride, table_stride, BLOCK: tl.constexpr
):
    """One program for BLOCK entries of an output: table[unit, output · samples + sample] = value.

    Entries of a unit beyond the table's `width` are left out.
    """
    output = tl.program_id(1)
    entry = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = entry < entries
    sample = tl.load(sample_of_entry + entry, mask=live, other=0)
    unit = tl.load(units + entry, mask=live, other=0).to(tl.int64)
    live = live & (unit < width)
    value = tl.load(values + output.to(tl.int64) * values_stride + entry, mask=live, other=0.0)
    tl.store(table + unit * table_stride + (output * samples + sample), value, mask=live)


@triton.jit(do_not_specialize=["entries"])
def pick(sample_of_entry, units, table, out, entries, samples, table_stride, BLOCK: tl.constexpr):
    """One program for BLOCK entries of an output: out[output, entry] = table[unit, output · samples + sample]."""
    output = tl.program_id(1)
    entry = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = entry < entries
    sample = tl.load(sample_of_entry + entry, mask=live, other=0)
    unit = tl.load(units + entry, mask=live, other=0).to(tl.int64)
    value = tl.load(table + unit * table_stride + (output * samples + sample), mask=live, other=0.0)
    tl.store(out + output.to(tl.int64) * entries + entry, value, mask=live)


@triton.jit
def subtract_transposed(by_unit, out, samples, width, SAMPLES: tl.constexpr, UNITS: tl.constexpr):
    """One program for a tile, which it turns: out[sample, unit] −= by_unit[unit, sample]."""
    unit = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
    sample = tl.program_id(1) * SAMPLES + tl.arange(0, SAMPLES)
    tile = tl.load(
        by_unit + unit.to(tl.int64)[:, None] * samples + sample[None, :],
        mask=(unit < width)[:, None] & (sample < samples)[None, :],
        other=0.0,
    )
    target = out + sample.to(tl.int64)[:, None] * width + unit[None, :]
    inside = (sample < samples)[:, None] & (unit < width)[None, :]
    tl.store(target, tl.load(target, mask=inside, other=0.0) - tl.trans(tile), mask=inside)
