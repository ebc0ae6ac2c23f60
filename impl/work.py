"""Counting and timing the phases of a step (reference/README.md, section 5)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from reference.contract import LayerWork, PhaseWork


class WorkMeter:
    """Collects counted work and wall-clock time, phase by phase.

    The counts come from the index sizes of the run, handed in by whoever does the work; the meter only
    adds them up. Outside a phase nothing is kept, so that an evaluation can share the code of a step.

    Args:
        device: The device that works; a CUDA device is synchronized where a phase begins and ends.
    """

    def __init__(self, device: torch.device):
        self.phases: dict[str, PhaseWork] = {}
        self._device = device
        self._open: PhaseWork | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Attributes to the phase `name` whatever is counted and however long it takes inside."""
        self._open = self.phases.setdefault(name, PhaseWork())
        begin = self._now()
        try:
            yield
        finally:
            self._open.seconds += self._now() - begin
            self._open = None

    def count(self, layer: int, multiply_adds: int, moved_bytes: int) -> None:
        """Adds work to the open phase.

        Args:
            layer: ℓ = 1 … L for work on W_ℓ, 0 for work on no weight matrix.
            multiply_adds: Multiply-adds.
            moved_bytes: Bytes read or written.
        """
        if self._open is None:
            return
        work = self._open.layers.setdefault(layer, LayerWork())
        work.multiply_adds += multiply_adds
        work.bytes += moved_bytes

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def tensor_bytes(*tensors: torch.Tensor) -> int:
    """The bytes of all elements of the given tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
