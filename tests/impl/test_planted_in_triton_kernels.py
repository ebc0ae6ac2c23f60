"""Small mistakes planted in Triton's kernels are noticed by the tests of these kernels, interpreted."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

import impl
from tests.impl import test_kernels, test_triton_kernels
from tests.impl.kernel_choices import Placed, needs_interpreter

pytestmark = needs_interpreter

DEVICE = Path(impl.__file__).parent / "kernels" / "triton" / "device"
RANDOM = test_kernels.SUPPORTS["random"]
SINGLE = torch.float32


def selects(placed):
    test_kernels.test_select_finds_what_is_strictly_above_the_threshold(placed, RANDOM, SINGLE)


def gathers(placed):
    for width in (37, 130):
        test_kernels.test_gather_is_the_dense_product(placed, RANDOM, SINGLE, width)


def gathers_restricted(placed):
    test_kernels.test_gather_restricted_is_the_dense_product_at_the_rows_named(placed, RANDOM, SINGLE, 3)


def updates(placed):
    test_kernels.test_an_update_subtracts_the_outer_products(placed, RANDOM, SINGLE, 2)
    test_triton_kernels.test_an_update_of_few_rows_is_shared_out_by_columns(placed)


def reverts(placed):
    test_kernels.test_an_update_is_reverted_to_the_last_bit(placed, RANDOM, SINGLE)


def tabulates(placed):
    test_triton_kernels.test_tables_by_unit_are_those_of_the_portable_kernels(placed, SINGLE, 3)


def grows(placed):
    test_triton_kernels.test_a_union_grows_as_the_portable_kernels_let_it(placed, SINGLE)


def multiplies(placed):
    test_triton_kernels.test_products_with_vectors_on_unions_are_those_of_the_portable_kernels(placed, SINGLE, 5)


#: By name: module, what stands there, what stands there instead, and the test that is to fail.
BUGS = {
    "units at the threshold are listed": ("selection", "numbers > tl.load", "numbers >= tl.load", selects),
    "samples are listed as tiles": ("selection", "tl.zeros_like(unit) + sample", "tl.zeros_like(unit) + tile", selects),
    "a tile loses its last column": ("gathering", "inside = columns < width", "inside = columns < width - 1", gathers),
    "a sample loses its last entry": ("gathering", "live = entry < end", "live = entry < end - 1", gathers),
    "blocks begin with the first sample": (
        "gathering",
        "tl.load(column_offsets + sample)",
        "tl.load(column_offsets)",
        gathers_restricted,
    ),
    "outputs share the first one's values": (
        "gathering",
        "output[:, None] * values_stride",
        "0 * output[:, None]",
        gathers_restricted,
    ),
    "every slice takes the columns of those behind it": (
        "outer_products",
        "tl.load(bounds + sample * slices + part + 1)",
        "tl.load(bounds + (sample + 1) * slices)",
        updates,
    ),
    "a unit's first sample is subtracted again for the others": (
        "outer_products",
        "entry = tl.load(entry_by_unit + position)",
        "entry = tl.load(entry_by_unit + tl.load(unit_offsets + unit))",
        updates,
    ),
    "a vector is added twice, and another never": (
        "outer_products",
        "tl.load(factor + t)",
        "tl.load(factor + t - 1)",
        updates,
    ),
    "old values are kept over each other": ("outer_products", "tl.load(starts + entry)", "tl.load(starts)", reverts),
    "outputs are tabulated over each other": (
        "tables",
        "(output * samples + sample), value",
        "sample, value",
        tabulates,
    ),
    "a tile is turned without its place": (
        "tables",
        "* width + unit[None, :]",
        "* width + tl.arange(0, UNITS)[None, :]",
        tabulates,
    ),
    "a unit is found behind itself": ("search", "probe < wanted", "probe <= wanted", grows),
    "new units are counted with themselves": ("panels", "tl.cumsum(new, 0) - new", "tl.cumsum(new, 0)", grows),
    "what is behind all new units stays": ("panels", "entries, 0, added)", "entries, 0, 0)", grows),
    "products lose a vector": ("panels", "(vector < vectors)[None, :]", "(vector < vectors - 1)[None, :]", multiplies),
    "what was there is overwritten": (
        "panels",
        "tl.load(target, mask=inside, other=0.0) + tl.sum(totals, 0)",
        "tl.sum(totals, 0)",
        multiplies,
    ),
    "a part begins a unit late": ("panels", "part * rows, live", "part * rows + 1, live", multiplies),
}


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_noticed(name, tmp_path, monkeypatch):
    module, right, wrong, test = BUGS[name]
    source = (DEVICE / f"{module}.py").read_text(encoding="utf-8")
    assert right in source
    file = tmp_path / f"{module}.py"
    file.write_text(source.replace(right, wrong), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"planted_{module}", file)
    changed = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, changed)
    spec.loader.exec_module(changed)
    if module == "search":
        monkeypatch.setattr("impl.kernels.triton.device.panels.how_many_less", changed.how_many_less)
    elif module == "outer_products":
        monkeypatch.setattr("impl.kernels.triton.update.outer_products", changed)
    else:
        monkeypatch.setattr(f"impl.kernels.triton.kernels.{module}", changed)
    with pytest.raises(AssertionError):
        test(Placed("triton", "cpu"))
