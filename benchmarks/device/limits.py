"""What the device can do at best: bytes a second of its memory, and multiply-adds a second of its products."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import torch

from benchmarks.device.plan import Limits

REPEATS = 10
_WARM_UPS = 2

# Bytes of a buffer, and the size of a square product: far beyond caches, and long against the start of a kernel.
BUFFER = {"cuda": 1 << 30, "cpu": 1 << 26}
SIZE = {"cuda": 8192, "cpu": 512}


def measure_limits(device: torch.device, dtype: torch.dtype) -> Limits:
    """Copies, reads and multiplies, each a few times; the fastest counts, as nothing makes a device faster than it is.

    Args:
        device: A torch device.
        dtype: Of the product.
    """
    size = SIZE.get(device.type, SIZE["cpu"])
    buffer = BUFFER.get(device.type, BUFFER["cpu"])
    source = torch.ones(buffer // 4, device=device)
    target = torch.empty_like(source)
    copy = min(event_seconds(lambda: target.copy_(source), device))
    read = min(event_seconds(source.sum, device))
    del target
    # Random numbers, as a device draws less power, and so runs faster, on numbers that are all the same.
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(left)
    multiply = min(event_seconds(lambda: torch.mm(left, right, out=product), device))
    return Limits(2 * buffer / copy, buffer / read, size**3 / multiply, buffer, size)


def event_seconds(call: Callable[[], object], device: torch.device) -> list[float]:
    """Seconds of repeated calls after a warm-up, between events of the stream on CUDA, by the wall clock elsewhere."""
    for _ in range(_WARM_UPS):
        call()
    if device.type != "cuda":
        return [_wall_seconds(call) for _ in range(REPEATS)]
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(REPEATS + 1)]
    stream = torch.cuda.current_stream(device)
    marks[0].record(stream)
    for mark in marks[1:]:
        call()
        mark.record(stream)
    torch.cuda.synchronize(device)
    return [begun.elapsed_time(ended) / 1e3 for begun, ended in pairwise(marks)]


def _wall_seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin
