"""The conditions of a measurement on a device: beside machine and versions, what is known of the GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from benchmarks.environment import environment


def device_environment(device: torch.device) -> dict[str, Any]:
    """As benchmarks.environment, with the GPU's properties; what cannot be found out is None."""
    found = environment(str(device)) | {
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "driver": None,
        "gpu": None,
    }
    if device.type != "cuda":
        return found
    properties = torch.cuda.get_device_properties(device)
    return found | {
        "driver": _driver(),
        "gpu": {
            "name": properties.name,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory_bytes": properties.total_memory,
            # Newer versions of torch know these, in kHz and bits.
            "clock_rate": getattr(properties, "clock_rate", None),
            "memory_clock_rate": getattr(properties, "memory_clock_rate", None),
            "memory_bus_width": getattr(properties, "memory_bus_width", None),
            "clock_now": _clock(device),
        },
    }


def _driver() -> str | None:
    try:
        return Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError):
        return None


def _clock(device: torch.device) -> int | None:
    """The multiprocessors' clock in MHz, where the package through which torch asks is installed."""
    try:
        return int(torch.cuda.clock_rate(device))
    except Exception:  # whatever that package, or its absence, raises: the figure is a courtesy
        return None
