"""`python -m benchmarks.rivals`: times the ways to multiply with a weight matrix; the rival must have the fastest."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.rivals.products import Blas, inner_product, product_as_convolution
from reference.contract.command_line import run, whole

REPEATS = 9


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals", description=__doc__)
    parser.add_argument("--width", type=whole(1), default=4096, metavar="M", help="default: %(default)s")
    parser.add_argument("--samples", type=whole(1), default=32, metavar="N", help="default: %(default)s")
    parser.add_argument("--threads", type=whole(1, 1024), default=None, metavar="N", help="default: torch's own choice")
    return run(parser, _main, argv)


def _main(options: argparse.Namespace) -> int:
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    table = Table(title=f"m = {options.width}, n = {options.samples}, float32, {torch.get_num_threads()} threads")
    for column in ("product", "way", "minimum, ms", "median, ms"):
        table.add_column(column, justify="left" if column in {"product", "way"} else "right")
    for product, way, call in _ways(options.width, options.samples):
        seconds = sorted(_seconds(call) for _ in range(REPEATS + 1))[:REPEATS]  # the slowest is the warm-up
        table.add_row(product, way, f"{1e3 * seconds[0]:.2f}", f"{1e3 * seconds[REPEATS // 2]:.2f}")
    Console().print(table)
    return 0


def _ways(m: int, n: int) -> list[tuple[str, str, Callable[[], object]]]:
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(m, m, generator=generator)
    h, g = torch.randn(n, m, generator=generator), torch.randn(n, m, generator=generator)
    h_columns, u = h.t().contiguous(), 1e-9 * g.t().contiguous()
    blas = Blas()
    ways: list[tuple[str, str, Callable[[], object]]] = [
        ("forward", "BLAS: mm(h, W.t())", lambda: torch.mm(h, W.t())),
        ("forward", "BLAS: mm(W, h.t())", lambda: blas.forward(W, h)),
        ("forward", "BLAS: mm(W, h columns)", lambda: torch.mm(W, h_columns)),
        ("backward", "BLAS: mm(g, W)", lambda: blas.backward(W, g)),
        ("backward", "BLAS: mm(W.t(), g.t())", lambda: torch.mm(W.t(), g.t())),
        ("update", "BLAS: addmm_(u, h)", lambda: blas.update(W, u, h)),
        ("update", "BLAS: transposed addmm_", lambda: W.t().addmm_(h.t(), u.t(), alpha=-1.0)),
    ]
    if torch.backends.mkldnn.is_available():
        ways += [
            ("forward", "oneDNN: inner product, h first", lambda: inner_product(h, W)),
            ("forward", "oneDNN: inner product, W first", lambda: inner_product(W, h)),
            ("backward", "oneDNN: inner product with W.t()", lambda: inner_product(g, W.t())),
            ("backward", "oneDNN: convolution's gradient", lambda: product_as_convolution(W, g)),
        ]
    return sorted(ways, key=lambda way: ("forward", "backward", "update").index(way[0]))


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
