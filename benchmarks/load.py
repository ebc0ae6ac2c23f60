"""What other processes take of the machine meanwhile: times measured beside them are not ours alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

PROBE_SECONDS = 0.5
#: Of all processors; above it a measurement deserves a warning.
BUSY = 0.05


class LoadMeter:
    """Follows the processor time of everybody else, from its construction on."""

    def __init__(self) -> None:
        self._begin = _now()

    def others(self) -> float | None:
        """The share of all processors' time that others have had since; None where it cannot be known."""
        end = _now()
        if self._begin is None or end is None or end[0] <= self._begin[0]:
            return None
        wall, busy, own = (now - then for now, then in zip(end, self._begin, strict=True))
        return min(max((busy - own) / wall, 0.0), 1.0)


def probe() -> float | None:
    """The share of others while this process sleeps for a moment."""
    meter = LoadMeter()
    time.sleep(PROBE_SECONDS)
    return meter.others()


def _now() -> tuple[float, float, float] | None:
    """Of all processors together, in seconds: time, busy or stolen time, and that of this process."""
    try:
        fields = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):  # not Linux
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    idle = fields[3] + fields[4]
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    return sum(fields) / ticks, (sum(fields) - idle) / ticks, own
