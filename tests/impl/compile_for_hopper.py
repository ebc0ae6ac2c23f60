"""Compiles Triton's kernels for a Hopper device, which takes none: `python -m tests.impl.compile_for_hopper`.

The kernels' class runs on small tensors in the host's memory, with a launch that compiles instead. Every kernel is
compiled for the dtypes and sizes that the class launches it with, with integers that are multiples of 16, that are 1,
and that are neither, as Triton tells these apart unless it is told not to. For each, a line of JSON: its name, its
types, and the instructions in it that must not be there.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import mangle_type

from impl.kernels.factors import Factors
from impl.kernels.triton import kernels as triton_kernels
from impl.kernels.triton import update
from impl.support import Support

HOPPER = GPUTarget("cuda", 90, 32)
LAUNCH_OPTIONS = ("num_warps", "num_stages")
MULTIPLE = [["tt.divisibility", 16]]

# Atomic additions, matrix units (TF32 would come by these), and registers that are spilt to memory.
FORBIDDEN = r"\b(?:atom|red)\.\S+|\bw?g?mma\S*|\S*tf32\S*|\.local\b"

DTYPES = [  # of values and sums, and of tables
    (torch.float32, torch.float32),
    (torch.float64, torch.float64),
    (torch.float32, torch.bfloat16),
    (torch.float64, torch.float32),
]

_compiled: set[str] = set()


def compile_launch(kernel: Any, grid: tuple[int, ...], *arguments: torch.Tensor | int, **sizes: int | bool) -> None:
    """Stands in for a launch."""
    if kernel.__name__ == "count_above":
        arguments[2].zero_()  # what it would have written
    for integers in ("multiples of 16", "ones", "any"):
        _compile(kernel, arguments, sizes, integers)


def _compile(
    kernel: Any, arguments: tuple[torch.Tensor | int, ...], sizes: dict[str, int | bool], integers: str
) -> None:
    constants: dict[str, int | bool] = {name: size for name, size in sizes.items() if name not in LAUNCH_OPTIONS}
    signature, multiples = {}, {}
    for index, (parameter, argument) in enumerate(zip(kernel.params, arguments, strict=False)):
        name, special = parameter.name, not parameter.do_not_specialize
        if not isinstance(argument, torch.Tensor) and integers == "ones" and special:
            constants[name] = 1
            continue
        signature[name] = mangle_type(argument) if isinstance(argument, torch.Tensor) else "i32"
        if isinstance(argument, torch.Tensor) or (integers == "multiples of 16" and special):
            multiples[(index,)] = MULTIPLE
    signature |= dict.fromkeys(constants, "constexpr")
    signature = {name: signature[name] for name in kernel.arg_names}
    key = f"{kernel.__name__} {signature} {sizes} {integers}"
    if key in _compiled:
        return
    _compiled.add(key)
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=multiples)
    options = {name: sizes[name] for name in LAUNCH_OPTIONS if name in sizes}
    binary = triton.compile(source, target=HOPPER, options=options)
    assert len(binary.asm["cubin"]) > 0
    types = [kind for kind in signature.values() if kind.startswith("*")]
    forbidden = sorted(set(re.findall(FORBIDDEN, binary.asm["ptx"])))
    line = {"kernel": kernel.__name__, "types": types, "sizes": sizes, "integers": integers, "forbidden": forbidden}
    print(json.dumps(line), flush=True)


def launch_everything(values: torch.dtype, tables: torch.dtype, outputs: int) -> None:
    """Has the class launch each kernel that works with these dtypes."""
    kernels = triton_kernels.TritonKernels()
    generator = np.random.default_rng(0)
    below, above = (_support(generator.random(shape) < 0.2) for shape in ((4, 256), (4, 512)))
    hidden, left = torch.ones(below.entries, dtype=values), torch.ones(outputs, above.entries, dtype=values)
    for width in (1, 10, 32, 512):
        kernels.gather(below, hidden, torch.zeros(256, width, dtype=tables))
    many = Support.of_positions(torch.arange(1024), 1024, 1)
    kernels.gather(many, torch.ones(1024, dtype=values), torch.zeros(1, 512, dtype=tables))
    table = torch.zeros(256, 512, dtype=tables)
    kernels.gather_restricted(below, above, left, table)
    kernels.plan_update(below, hidden[:, None], above, left[0][:, None], table).revert()
    if values != tables:
        return
    kernels.select(torch.zeros(4, 512, dtype=values), 0.5)
    kernels.pick(kernels.tabulate(above, left), above)
    kernels.inner_products(above, [left], slice(0, 4))
    kernels.subtract_transposed(torch.zeros(512, 4, dtype=values), torch.zeros(4, 512, dtype=values))
    factors = Factors(4, 256, hidden)
    factors.reserve(100, 33)
    factors.vectors = 32
    kernels.unions(factors, below, factors, below)
    for width in (4, 32, 320):
        by_unit = torch.zeros(256, width, dtype=values)
        kernels.spread(factors, kernels.contract(factors, by_unit), by_unit, anew=False)
    kernels.insert(factors, below, hidden)


def _support(mask: np.ndarray) -> Support:
    return Support.of_positions(torch.from_numpy(np.flatnonzero(mask)), *mask.shape)


if __name__ == "__main__":
    triton_kernels.launch = update.launch = compile_launch
    for dtypes in DTYPES:
        for number in (1, 10):
            launch_everything(*dtypes, number)
