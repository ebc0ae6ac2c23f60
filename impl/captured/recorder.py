"""Recording what is computed, once, to have it done again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch


class Recorder(Protocol):
    """Takes what is to be recorded, and returns what does it again."""

    def __call__(self, compute: Callable[[], None], *, rehearse: bool = True) -> Callable[[], None]:
        """Records a function that reads and writes tensors which stay where they are.

        Args:
            compute: It must not wait for the device, nor allocate by sizes that are known there.
            rehearse: Whether it may be run before it is recorded; else all kernels must have been loaded.
        """


class CudaGraphs:
    """See Recorder: as CUDA graphs, which share their memory and so must be replayed in the order of their recording.

    Args:
        device: A CUDA device.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._pool: Any = None

    def __call__(self, compute: Callable[[], None], *, rehearse: bool = True) -> Callable[[], None]:
        """See Recorder."""
        with torch.cuda.device(self._device):
            if rehearse:
                here, side = torch.cuda.current_stream(), torch.cuda.Stream()
                side.wait_stream(here)
                with torch.cuda.stream(side):  # libraries set up their workspaces, which a graph must not contain
                    compute()
                here.wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):  # others may allocate
                compute()
            self._pool = graph.pool()

        def replay() -> None:
            graph.replay()

        return replay


def run_again(compute: Callable[[], None], *, rehearse: bool = True) -> Callable[[], None]:
    """See Recorder: computes anew, on any device."""
    if rehearse:
        compute()
    return compute
