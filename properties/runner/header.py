"""What a run was of: the implementation, the versions, the machine, and how much was tried."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import torch

from properties.runner.profiles import Profile
from properties.runner.subject import Subject

#: Versions of the suite itself are those of this distribution.
DISTRIBUTION = "subquadratic-training"


def header(subject: Subject, profile: Profile) -> dict[str, Any]:
    """Plain data, for JSON; `header_lines` makes text of it."""
    return {
        "implementation": subject.name,
        "capabilities": asdict(subject.capabilities),
        "device": subject.device,
        "device_name": _device_name(subject.device),
        "threads": torch.get_num_threads(),
        "profile": profile.name,
        "seed": profile.seed,
        "examples": profile.examples,
        "run_length": subject.run_length,
        "database": None if profile.database is None else str(profile.database),
        "versions": {
            "suite": _suite_version(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": torch.__version__,
            "hypothesis": hypothesis.__version__,
        },
        "suite_path": str(Path(__file__).parents[1]),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
    }


def header_lines(data: dict[str, Any]) -> list[str]:
    """The header as text: what is under test, on what, and how much is tried."""
    capabilities = data["capabilities"]
    lacking = [name for name in ("biases", "outputs", "readout_bias", "trained_layers") if not capabilities[name]]
    declared = [
        f"operations {', '.join(capabilities['operations']) or 'none'}",
        f"dtypes {', '.join(capabilities['dtypes'])}",
        f"activations {', '.join(capabilities['activations'])}",
        f"losses {', '.join(capabilities['losses'])}",
        f"methods {', '.join(capabilities['methods'])}",
    ]
    if capabilities["storage"]:
        declared.append(f"weights stored in {capabilities['storage']}")
    if lacking:
        declared.append(f"without {', '.join({'outputs': 'several outputs'}.get(n, n) for n in lacking)}")
    return [
        f"implementation {data['implementation']}",
        f"declares {'; '.join(declared)}",
        f"device {data['device']} ({data['device_name']}), threads {data['threads']}, {data['platform']}",
        ", ".join(f"{name} {version}" for name, version in data["versions"].items())
        + f", suite in {data['suite_path']}",
        f"profile {data['profile']}, seed {data['seed']}, {data['examples']} random cases a property, "
        f"long runs of {data['run_length']} steps"
        + (f", failing cases kept in {data['database']}" if data["database"] else ""),
    ]


def _device_name(device: str) -> str:
    if device.startswith("cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def _suite_version() -> str:
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:  # a source tree that was never installed
        return "unknown"
