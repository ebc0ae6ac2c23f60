"""Logarithmic axes with readable ticks: the widths measured, and round costs with their units."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from benchmarks.report.palette import GRID

MOST_TICKS = 9


def logarithmic(axes: Axes, widths: Sequence[int], form: Callable[[float], str]) -> None:
    """Both axes logarithmic: ticks at the widths, and at 1, 2, 5 of each decade where there are few decades."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(widths, [str(m) for m in widths])
    thin_out(axes, len(widths))
    bottom, top = axes.get_ylim()
    decades = math.log10(top / bottom)
    subs = (1.0,) if decades > 3.5 else (1.0, 3.0) if decades > 2.2 else (1.0, 2.0, 5.0)
    axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("width m")
    axes.grid(True, which="major", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def thin_out(axes: Axes, ticks: int) -> None:
    """Keeps the labels apart: every second, third, … one, the last one among them."""
    every = -(-ticks // MOST_TICKS)
    for number, label in enumerate(axes.get_xticklabels()):
        label.set_visible((ticks - 1 - number) % every == 0)


def time_tick(value: float) -> str:
    """Seconds with the unit that suits them."""
    for unit, name in ((1.0, "s"), (1e-3, "ms")):
        if value >= 0.999 * unit:
            return f"{value / unit:g} {name}"
    return f"{value / 1e-6:.3g} µs"


def byte_tick(value: float) -> str:
    """Bytes with the unit that suits them."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= 0.999 * unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.3g} B"


def power_of_ten(value: float) -> str:
    """10⁷, 2·10⁷."""
    exponent = math.floor(math.log10(value) + 1e-9)
    digit = f"{value / 10.0**exponent:.0f}"
    power = "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return power if digit == "1" else f"{digit}·{power}"
