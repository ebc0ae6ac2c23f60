"""Counting and timing the phases of a rival's step (reference/README.md, section 5)."""

from __future__ import annotations

import time

import torch

from reference.contract import LayerWork, PhaseWork


class Meter:
    """Collects counted work and wall-clock time by phase. Outside a phase nothing is kept.

    Args:
        device: The device that works; a CUDA device is synchronized where phases meet.
    """

    def __init__(self, device: torch.device):
        self.work: dict[str, PhaseWork] = {}
        self._device = device
        self._open: PhaseWork | None = None
        self._since = 0.0

    def begin(self, phase: str) -> None:
        """Ends the phase before, if any, and begins the next."""
        self.end()
        self._open = self.work.setdefault(phase, PhaseWork())

    def end(self) -> None:
        """Ends the present phase."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        if self._open is not None:
            self._open.seconds += now - self._since
        self._open, self._since = None, now

    def count(self, layer: int, multiply_adds: int, *moved: torch.Tensor) -> None:
        """Adds work to the present phase.

        Args:
            layer: ℓ = 1 … L for work on W_ℓ, 0 for work on no weight matrix.
            multiply_adds: Multiply-adds, from the shapes.
            moved: Tensors read or written, each as often as it is.
        """
        if self._open is not None:
            work = self._open.layers.setdefault(layer, LayerWork())
            work.multiply_adds += multiply_adds
            work.bytes += sum(tensor.numel() * tensor.element_size() for tensor in moved)
