"""Counting and timing the phases of a rival's step (reference/README.md, section 5)."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch

from reference.contract import LayerWork, PhaseWork


class Meter:
    """Collects counted work and time by phase. Outside a phase nothing is kept.

    On CUDA a phase lasts from one event of the stream to another, so that nobody waits where phases meet; the seconds
    are known after `finish`. Elsewhere they are those of the wall clock.

    Args:
        device: The device that works.
    """

    def __init__(self, device: torch.device):
        self.work: dict[str, PhaseWork] = {}
        self._device = device
        self._open: PhaseWork | None = None
        self._since = 0.0
        self._begun: torch.cuda.Event | None = None
        self._events: list[tuple[PhaseWork, torch.cuda.Event, torch.cuda.Event]] = []

    def begin(self, phase: str) -> None:
        """Ends the phase before, if any, and begins the next."""
        self.end()
        self._open = self.work.setdefault(phase, PhaseWork())

    def end(self) -> None:
        """Ends the present phase."""
        if self._device.type == "cuda":
            self._mark()
        now = time.perf_counter()
        if self._open is not None and self._device.type != "cuda":
            self._open.seconds += now - self._since
        self._open, self._since = None, now

    def finish(self) -> None:
        """Ends the present phase, and waits for what the device still does."""
        self.end()
        if self._events:
            torch.cuda.synchronize(self._device)
        for phase, begun, ended in self._events:
            phase.seconds += begun.elapsed_time(ended) / 1e3
        self._events.clear()

    def count(self, layer: int, multiply_adds: int, *moved: torch.Tensor) -> None:
        """Adds work to the present phase.

        Args:
            layer: ℓ = 1 … L for work on W_ℓ, 0 for work on no weight matrix.
            multiply_adds: Multiply-adds, from the shapes.
            moved: Tensors read or written, each as often as it is.
        """
        self.add({layer: LayerWork(multiply_adds, sum(tensor.numel() * tensor.element_size() for tensor in moved))})

    def add(self, layers: Mapping[int, LayerWork]) -> None:
        """Adds work to the present phase, by layer."""
        if self._open is None:
            return
        for layer, more in layers.items():
            work = self._open.layers.setdefault(layer, LayerWork())
            work.multiply_adds += more.multiply_adds
            work.bytes += more.bytes

    def _mark(self) -> None:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        if self._open is not None and self._begun is not None:
            self._events.append((self._open, self._begun, event))
        self._begun = event
