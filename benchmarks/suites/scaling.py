"""Exponents, phase times, ratios and memory, all read from one interleaved sweep.

asv refuses anything but a positive float, and lower must be better: ratios are those of times, ours over dense.
What an implementation does not have is NaN, which asv shows as missing.
"""

from __future__ import annotations

from typing import Any

from benchmarks.contestant import DENSE, OURS, load_contestants
from reference.contract import load_problem

WIDTHS = (256, 362, 512, 724, 1024, 1448, 2048)
ROUNDS = 9
FITTED_PHASES = ("forward", "backward", "gram", "update", "iteration")
NAMES = (DENSE, OURS.partition("=")[0])

# To be raised by hand whenever the estimator, the widths, the rounds or the problem change.
VERSION = "1"


class Scaling:
    """One sweep; the trackers of the subclasses read it."""

    timeout = 300
    version = VERSION

    def setup_cache(self) -> dict[str, Any]:
        """Measures and analyses."""
        # Imported here: asv starts a process for every tracked value, which would import torch just to read a number.
        from benchmarks.analysis import analyse
        from benchmarks.environment import environment
        from benchmarks.sweep import Plan, sweep

        plan = Plan(load_problem("digits", 32), WIDTHS, 3, ROUNDS, 0.3, 0, "cpu", "float32")
        contestants = load_contestants([OURS], dtype=plan.dtype)
        return analyse(sweep(plan, contestants), contestants, environment(plan.device))

    setup_cache.timeout = 600  # type: ignore[attr-defined]


class Exponents(Scaling):
    """cost ~ m^p, for the work of the m × m layers and for the time of all of them."""

    params = (NAMES, FITTED_PHASES)
    param_names = ("implementation", "phase")
    unit = "exponent"

    def track_work_exponent(self, document: dict[str, Any], name: str, phase: str) -> float:
        """Of counted multiply-adds: deterministic."""
        return _positive(document["implementations"][name]["exponents"][phase]["work"]["value"])

    def track_bytes_exponent(self, document: dict[str, Any], name: str, phase: str) -> float:
        """Of counted bytes: deterministic."""
        return _positive(document["implementations"][name]["exponents"][phase]["work"]["bytes"])

    def track_time_exponent_value(self, document: dict[str, Any], name: str, phase: str) -> float:
        """Of the medians."""
        return _positive(document["implementations"][name]["exponents"][phase]["time"]["value"])

    def track_time_exponent_low(self, document: dict[str, Any], name: str, phase: str) -> float:
        """Lower end of the interval; a tracked value has none of its own."""
        return _positive(document["implementations"][name]["exponents"][phase]["time"]["low"])

    def track_time_exponent_high(self, document: dict[str, Any], name: str, phase: str) -> float:
        """Upper end."""
        return _positive(document["implementations"][name]["exponents"][phase]["time"]["high"])


class Phases(Scaling):
    """Where the time goes, over m (some of the widths: every tracked value takes asv a process)."""

    params = (NAMES, ("initialization", "forward", "backward", "gram", "solve", "update"), WIDTHS[2::2])
    param_names = ("implementation", "phase", "m")
    unit = "seconds"

    def track_median(self, document: dict[str, Any], name: str, phase: str, m: int) -> float:
        """Median over the rounds."""
        return _positive(_point(document, name, m)["phases"][phase]["median"])


class Widths(Scaling):
    """The implementation against the dense rival, and its memory, over m."""

    params = (WIDTHS,)
    param_names = ("m",)

    def track_time_relative_to_dense(self, document: dict[str, Any], m: int) -> float:
        """Time of a whole iteration over the dense rival's."""
        return 1.0 / _positive(document["speedup"][str(m)]["value"])

    def track_extra_memory(self, document: dict[str, Any], m: int) -> float:
        """Peak bytes of an iteration beyond the weights."""
        return _positive(_point(document, NAMES[1], m)["extra_memory_bytes"])


Widths.track_time_relative_to_dense.unit = "ratio"  # type: ignore[attr-defined]
Widths.track_extra_memory.unit = "bytes"  # type: ignore[attr-defined]


def _point(document: dict[str, Any], name: str, m: int) -> dict[str, Any]:
    points: list[dict[str, Any]] = document["implementations"][name]["points"]
    return points[WIDTHS.index(m)]


def _positive(value: float | None) -> float:
    return float(value) if value is not None and value > 0.0 else float("nan")
