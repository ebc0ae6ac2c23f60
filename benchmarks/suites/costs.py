"""What an iteration and its parts cost at a width, and what that is of the dense rival's cost.

All are medians over the rounds. Of an iteration there are three: amortized is the mean of a window, folds and other
spikes included; the median of a window is an iteration between the spikes; its maximum is a spike.
"""

from __future__ import annotations

from .settings import DENSE, DEVICES, IMPLEMENTATIONS, NAMES, PHASES, TRACKED_WIDTHS
from .shared_sweep import LEAST_BYTES, LEAST_SECONDS, Documents, SharedSweep, point, tracked


class Phases(SharedSweep):
    """Where the time goes."""

    params = (DEVICES, NAMES, tuple(phase for phase in PHASES if phase != "iteration"), TRACKED_WIDTHS)
    param_names = ("device", "implementation", "phase", "m")
    unit = "seconds"

    def track_amortized(self, documents: Documents, device: str, name: str, phase: str, m: int) -> float:
        """Of one phase."""
        return _seconds(documents, device, name, phase, m, "median")


class Iteration(SharedSweep):
    """A whole iteration."""

    params = (DEVICES, NAMES, TRACKED_WIDTHS)
    param_names = ("device", "implementation", "m")
    unit = "seconds"

    def track_amortized(self, documents: Documents, device: str, name: str, m: int) -> float:
        """Mean of a window."""
        return _seconds(documents, device, name, "iteration", m, "median")

    def track_median(self, documents: Documents, device: str, name: str, m: int) -> float:
        """Median of a window."""
        return _seconds(documents, device, name, "iteration", m, "window_median")

    def track_maximum(self, documents: Documents, device: str, name: str, m: int) -> float:
        """Maximum of a window."""
        return _seconds(documents, device, name, "iteration", m, "window_maximum")

    def track_extra_memory(self, documents: Documents, device: str, name: str, m: int) -> float:
        """Peak bytes beyond the weights."""
        found = point(documents, device, name, m)
        return tracked(None if found is None else found["extra_memory_bytes"], LEAST_BYTES)

    track_extra_memory.unit = "bytes"  # type: ignore[attr-defined]


class RelativeToDense(SharedSweep):
    """The time of an iteration over that of the dense rival's, of the same rounds; below 1 it is faster."""

    params = (DEVICES, tuple(IMPLEMENTATIONS), TRACKED_WIDTHS)
    param_names = ("device", "implementation", "m")
    unit = "ratio"

    def track_amortized(self, documents: Documents, device: str, name: str, m: int) -> float:
        """Of the means of windows."""
        return _inverse(documents[device]["speedups"][name].get(str(m)))

    def track_between_spikes(self, documents: Documents, device: str, name: str, m: int) -> float:
        """Of the medians of windows."""
        return _inverse(documents[device]["speedups_between_spikes"][name].get(str(m)))


class Machine(SharedSweep):
    """How far the times of this run can be trusted: a step of these beside a step of those is the machine's."""

    params = (DEVICES, (DENSE,))
    param_names = ("device", "implementation")
    unit = "share"

    def track_other_processes(self, documents: Documents, device: str, _: str) -> float:
        """What other processes had of all processors' time during the sweep."""
        return tracked(documents[device]["others_meanwhile"], 0.001)


def _seconds(documents: Documents, device: str, name: str, phase: str, m: int, key: str) -> float:
    found = point(documents, device, name, m)
    return tracked(None if found is None else found["phases"][phase][key], LEAST_SECONDS)


def _inverse(speedup: dict[str, float] | None) -> float:
    return float("nan") if speedup is None else 1.0 / speedup["value"]
