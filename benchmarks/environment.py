"""The conditions of a measurement: without them its numbers mean nothing."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reference.contract import ArgumentError


def environment(device: str) -> dict[str, Any]:
    """Describes machine, libraries and version, in plain JSON types; what cannot be found out is None.

    Args:
        device: The torch device that is measured.
    """
    changes = _git("diff", "HEAD")
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": None if changes is None else bool(changes),
        "changes": hashlib.sha256(changes.encode()).hexdigest() if changes else None,
        "cpu": _cpu(),
        "cores": _cores(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else str(device),
        "torch": str(torch.__version__),
        "blas": _built_with("BLAS_INFO"),
        "onednn": torch.backends.mkldnn.is_available(),
        "cuda": torch.version.cuda,
        "numpy": np.__version__,
        "python": sys.version.split()[0],
        "os": platform.platform(),
    }


def refuse_changes(conditions: dict[str, Any]) -> None:
    """Raises ArgumentError where tracked files differ from the commit under which a measurement would be recorded."""
    if conditions["dirty"]:
        raise ArgumentError(
            "tree",
            "one without uncommitted changes to tracked files, or --allow-dirty",
            f"changes to commit {conditions['commit'][:12]}",
        )


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):  # no git, or not a work tree
        return None
    return done.stdout.strip()


def _cpu() -> str | None:
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine() or None


def _cores() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _built_with(key: str) -> str | None:
    found = re.search(rf"{key}=(\w+)", torch.__config__.show())
    return found.group(1) if found else None
