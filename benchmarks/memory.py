"""Peak memory of a call beyond what was allocated before it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def extra_memory(call: Callable[[], object], device: str) -> int:
    """Runs `call` once and returns the peak of its additional memory, in bytes.

    On CUDA that is torch's allocator's peak. On CPU it is the peak of torch's allocator, followed event by event
    through the profiler (temporaries inside an operator included), plus the peak of what is reported to
    tracemalloc (NumPy arrays, Python objects). Scratch space that a library such as MKL or oneDNN takes from the
    system by itself is not seen.

    Args:
        call: What to run; it has run before, so that caches and compilers are warm.
        device: The torch device that it works on.
    """
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device)) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=False) as recorded:
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            call()
            _, numpy_peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    return _torch_peak(recorded) + numpy_peak - before


def _torch_peak(recorded: profile) -> int:
    """The highest running sum of allocations and frees, in the order in which they happened."""
    assert recorded.profiler is not None and recorded.profiler.kineto_results is not None
    changes = [
        (event.start_ns(), event.nbytes())  # type: ignore[attr-defined] # missing from torch's stubs
        for event in recorded.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ]
    peak = live = 0
    for _, change in sorted(changes, key=lambda item: item[0]):
        live += change
        peak = max(peak, live)
    return peak
