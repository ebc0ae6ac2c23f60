"""How costs grow with the width: cost ~ m^p, and from which m on an implementation beats the dense rival."""

from __future__ import annotations

import math
from typing import Any

from . import settings
from .settings import DEVICES, IMPLEMENTATIONS, NAMES, PHASES
from .shared_sweep import LEAST_EXPONENT, LEAST_SECONDS, Documents, SharedSweep, tracked

_OF_PHASES = (DEVICES, NAMES, PHASES), ("device", "implementation", "phase")


class Work(SharedSweep):
    """Exponents of counted work in the m × m layers: deterministic, the same on every machine."""

    params, param_names = _OF_PHASES
    unit = "exponent"

    def track_work_exponent(self, documents: Documents, device: str, name: str, phase: str) -> float:
        """Of multiply-adds."""
        return tracked(_exponents(documents, device, name, phase)["work"]["value"], LEAST_EXPONENT)

    def track_bytes_exponent(self, documents: Documents, device: str, name: str, phase: str) -> float:
        """Of bytes read and written."""
        return tracked(_exponents(documents, device, name, phase)["work"]["bytes"], LEAST_EXPONENT)


class Time(SharedSweep):
    """Exponents of amortized seconds. A tracked value has no interval: its 95 % ends are values of their own."""

    params, param_names = _OF_PHASES
    unit = "exponent"

    def track_time_exponent(self, documents: Documents, device: str, name: str, phase: str) -> float:
        """Slope of the plain line."""
        return self._plain(documents, device, name, phase, "value")

    def track_time_exponent_low(self, documents: Documents, device: str, name: str, phase: str) -> float:
        """Lower end of its interval."""
        return self._plain(documents, device, name, phase, "low")

    def track_time_exponent_high(self, documents: Documents, device: str, name: str, phase: str) -> float:
        """Upper end."""
        return self._plain(documents, device, name, phase, "high")

    def track_floored_exponent(self, documents: Documents, device: str, name: str, phase: str) -> float:
        """The p of t = t₀ + a·m^p."""
        return self._floored(documents, device, name, phase, "value")

    def track_floored_exponent_low(self, documents: Documents, device: str, name: str, phase: str) -> float:
        """Lower end of its interval."""
        return self._floored(documents, device, name, phase, "low")

    def track_floored_exponent_high(self, documents: Documents, device: str, name: str, phase: str) -> float:
        """Upper end."""
        return self._floored(documents, device, name, phase, "high")

    def track_floor(self, documents: Documents, device: str, name: str, phase: str) -> float:
        """The t₀ of t = t₀ + a·m^p."""
        floored = _exponents(documents, device, name, phase)["time"]["floored"]
        return tracked(floored["floor_seconds"], LEAST_SECONDS)

    track_floor.unit = "seconds"  # type: ignore[attr-defined]

    def _plain(self, documents: Documents, device: str, name: str, phase: str, key: str) -> float:
        return tracked(_exponents(documents, device, name, phase)["time"][key], LEAST_EXPONENT)

    def _floored(self, documents: Documents, device: str, name: str, phase: str, key: str) -> float:
        return tracked(_exponents(documents, device, name, phase)["time"]["floored"][key], LEAST_EXPONENT)


class Memory(SharedSweep):
    """The exponent of the peak memory of an iteration beyond the weights."""

    params = (DEVICES, NAMES)
    param_names = ("device", "implementation")
    unit = "exponent"

    def track_memory_exponent(self, documents: Documents, device: str, name: str) -> float:
        """Of bytes."""
        return tracked(documents[device]["implementations"][name]["memory_exponent"]["value"], LEAST_EXPONENT)


class Crossover(SharedSweep):
    """The width from which on an implementation is faster than the dense rival.

    Below the widths measured it is tracked as the least of them; "none in range" as twice the largest, so that
    losing the crossover is a regression and not a missing value.
    """

    params = (DEVICES, tuple(IMPLEMENTATIONS))
    param_names = ("device", "implementation")
    unit = "m"

    def track_crossover(self, documents: Documents, device: str, name: str) -> float:
        """The width."""
        found = documents[device]["crossover"][name]
        return _within(device, found["m"], below=found["where"].startswith("below"))

    def track_crossover_low(self, documents: Documents, device: str, name: str) -> float:
        """Lower end of its 95 % interval."""
        return _within(device, documents[device]["crossover"][name]["low"])

    def track_crossover_high(self, documents: Documents, device: str, name: str) -> float:
        """Upper end."""
        return _within(device, documents[device]["crossover"][name]["high"])


def _exponents(documents: Documents, device: str, name: str, phase: str) -> dict[str, Any]:
    exponents: dict[str, Any] = documents[device]["implementations"][name]["exponents"][phase]
    return exponents


def _within(device: str, m: float | None, *, below: bool = False) -> float:
    """A crossover's width, between the least width of the sweep and twice the largest; None lies beyond."""
    least, largest = float(settings.WIDTHS[device][0]), float(settings.WIDTHS[device][-1])
    if below:
        return least
    return min(max(math.inf if m is None else m, least), 2.0 * largest)
