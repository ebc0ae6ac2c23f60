"""Memory for tables that live for one product: taken once, since the system takes its time to hand over new pages."""

from __future__ import annotations

import torch

from reference.contract.shapes import Float


class Workspace:
    """Zeroed tables by name. One of a name is valid until the next of that name is asked for."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, torch.dtype, torch.device], torch.Tensor] = {}

    def zeros(
        self, name: str, rows: int, columns: int, dtype: torch.dtype, device: torch.device
    ) -> Float[torch.Tensor, "rows columns"]:
        """A table of zeros."""
        key = name, dtype, device
        kept = self._kept.get(key)
        if kept is None or kept.numel() < rows * columns:
            kept = self._kept[key] = torch.empty(rows * columns, dtype=dtype, device=device)
        return kept[: rows * columns].view(rows, columns).zero_()
