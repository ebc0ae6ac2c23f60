"""Memory for tables that live for one product: taken once, since the system takes its time to hand over new pages."""

from __future__ import annotations

import threading

import torch

from reference.contract.shapes import Float

_Key = tuple[str, torch.dtype, torch.device, int]


class Workspace(threading.local):
    """Tables by name. One of a name is valid until the next of it, in the same thread and stream.

    Forks of a network share their kernels, and may be evaluated side by side: by threads, and on streams of a device.
    """

    def __init__(self) -> None:
        self._kept: dict[_Key, torch.Tensor] = {}

    def __reduce__(self) -> tuple[type[Workspace], tuple[()]]:
        """A copy begins with nothing."""
        return Workspace, ()

    def empty(
        self, name: str, rows: int, columns: int, dtype: torch.dtype, device: torch.device
    ) -> Float[torch.Tensor, "rows columns"]:
        """A table of whatever there was."""
        key = _key(name, dtype, device)
        kept = self._kept.get(key)
        if kept is None or kept.numel() < rows * columns:
            kept = self._kept[key] = torch.zeros(rows * columns, dtype=dtype, device=device)
        return kept[: rows * columns].view(rows, columns)


def _key(name: str, dtype: torch.dtype, device: torch.device) -> _Key:
    stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
    return name, dtype, device, stream
