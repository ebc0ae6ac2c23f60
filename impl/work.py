"""Counting and timing the phases of a step (reference/README.md, section 5)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from reference.contract import LayerWork, PhaseWork


class WorkMeter:
    """Collects counted work and wall-clock time, phase by phase.

    The counts come from the index sizes of the run, handed in by whoever does the work; the meter only
    adds them up. Outside a phase nothing is kept, so that an evaluation can share the code of a step.

    On a CUDA device a phase lasts from when the device comes to its beginning to when it has done all that was launched
    in it; nothing waits for that before the phases are asked for.

    Args:
        device: The device that works.
    """

    def __init__(self, device: torch.device):
        self._phases: dict[str, PhaseWork] = {}
        self._clock = DeviceClock(device) if device.type == "cuda" else HostClock()
        self._running: list[tuple[PhaseWork, Callable[[], float]]] = []
        self._open: PhaseWork | None = None

    @property
    def phases(self) -> dict[str, PhaseWork]:
        """The phases so far, by name. Waits until a CUDA device has done them."""
        for work, seconds in self._running:
            work.seconds += seconds()
        self._running = []
        return self._phases

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Attributes to the phase `name` whatever is counted and however long it takes inside."""
        self._open = work = self._phases.setdefault(name, PhaseWork())
        end = self._clock.begin()
        try:
            yield
        finally:
            self._running.append((work, end()))
            self._open = None

    @contextmanager
    def counting(self, name: str) -> Iterator[None]:
        """Attributes what is counted inside to the phase `name`, but no time."""
        self._open = self._phases.setdefault(name, PhaseWork())
        try:
            yield
        finally:
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


class HostClock:
    """Times what the host does itself."""

    def begin(self) -> Callable[[], Callable[[], float]]:
        """Begins. What it returns ends, and returns what tells the seconds."""
        begin = time.perf_counter()

        def end() -> Callable[[], float]:
            seconds = time.perf_counter() - begin
            return lambda: seconds

        return end


class DeviceClock:
    """See HostClock: by events on the stream of a CUDA device that is current when the clock is made.

    Args:
        device: The device.
    """

    def __init__(self, device: torch.device):
        self._stream = torch.cuda.current_stream(device)

    def begin(self) -> Callable[[], Callable[[], float]]:
        """See HostClock."""
        begin = self._event()

        def end() -> Callable[[], float]:
            last = self._event()

            def seconds() -> float:
                last.synchronize()
                return begin.elapsed_time(last) / 1000

            return seconds

        return end

    def _event(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(self._stream)
        return event


def tensor_bytes(*tensors: torch.Tensor) -> int:
    """The bytes of all elements of the given tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
