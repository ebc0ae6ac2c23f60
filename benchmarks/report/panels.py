"""What is drawn: one panel each for time, work, speed-up, shares and memory, on axes that somebody else arranges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from benchmarks.report.axes import byte_tick, logarithmic, power_of_ten, thin_out, time_tick
from benchmarks.report.markup import plain_number
from benchmarks.report.palette import INK, MUTED, PAPER, fill, mark
from benchmarks.report.shares import REST, SHARES, shares
from reference.contract.shapes import Float

LONGEST_NAME = 28


class Entry(NamedTuple):
    """A line of a legend."""

    handle: Artist
    label: str


Panel = Callable[[Axes, dict[str, Any]], list[Entry]]

_THEORY: dict[str, Any] = {"color": MUTED, "linestyle": (0, (4, 2)), "linewidth": 1.0}
_BESIDE = 0.5  # of the cost: where the line of the theory is drawn, whose height means nothing


def time_panel(axes: Axes, document: dict[str, Any]) -> list[Entry]:
    """Seconds of an iteration, amortized, against m."""
    entries = []
    for number, (name, implementation) in enumerate(document["implementations"].items()):
        found = [(point["m"], point["phases"]["iteration"]["seconds"]) for point in implementation["points"]]
        found = [(m, seconds) for m, seconds in found if seconds]
        if not found:
            continue
        m = np.array([m for m, _ in found], dtype=np.float64)
        low, median, high = np.array([np.quantile(seconds, [0.1, 0.5, 0.9]) for _, seconds in found]).T
        exponent, style = implementation["exponents"]["iteration"]["time"], mark(number)
        axes.errorbar(
            m,
            median,
            yerr=[median - low, high - median],
            color=style.color,
            marker=style.marker,
            linestyle="none",
            markersize=5,
            capsize=2.5,
            elinewidth=1,
        )
        label = f"{short(name)}: slope {_estimate(exponent)}"
        if exponent["floored"]["value"] is not None:
            label += f"; above a floor {exponent['floored']['value']:.2f}"
        entries.append(_series(axes, number, label, m, median, exponent["value"]))
    entries += _theory(axes, document, lambda point: point["phases"]["iteration"]["median"])
    axes.set_ylabel("time of an iteration")
    logarithmic(axes, document["problem"]["widths"], time_tick)
    return entries


def work_panel(axes: Axes, document: dict[str, Any]) -> list[Entry]:
    """Counted multiply-adds of an iteration, of the m × m layers and the solve, against m."""
    entries = []
    for number, (name, implementation) in enumerate(document["implementations"].items()):
        exponent = implementation["exponents"]["iteration"]["work"]["value"]
        if exponent is None:  # nothing counted, or no m × m layer
            continue
        m, work = _positive(implementation, _square_work)
        label = f"{short(name)}: slope {plain_number(exponent, '.2f')}"
        entries.append(_series(axes, number, label, m, work, exponent, points=True))
    if not entries:
        _say(axes, "no multiply-adds of m × m layers counted")
        return []
    entries += _theory(axes, document, _square_work)
    axes.set_ylabel("multiply-adds of an iteration")
    logarithmic(axes, document["problem"]["widths"], power_of_ten)
    return entries


def memory_panel(axes: Axes, document: dict[str, Any]) -> list[Entry]:
    """Extra bytes of an iteration against m, beside one weight matrix."""
    entries = []
    for number, (name, implementation) in enumerate(document["implementations"].items()):
        m, peak = _positive(implementation, lambda point: point["extra_memory_bytes"])
        if not len(m):
            continue
        exponent = implementation["memory_exponent"]["value"]
        label = short(name) + ("" if exponent is None else f": slope {plain_number(exponent, '.2f')}")
        entries.append(_series(axes, number, label, m, peak, exponent, points=True))
    if not entries:
        _say(axes, "memory was not measured")
        return []
    first = next(iter(document["implementations"].values()))
    m, weights = _positive(first, lambda point: point["weight_matrix_bytes"])
    axes.plot(m, weights, **_THEORY)
    entries.append(Entry(Line2D([], [], **_THEORY), "one m × m weight matrix: slope 2"))
    axes.set_ylabel("extra memory of an iteration")
    logarithmic(axes, document["problem"]["widths"], byte_tick)
    return entries


def speedup_panel(axes: Axes, document: dict[str, Any]) -> list[Entry]:
    """The dense rival's time over each implementation's: of the means, between spikes, and where they cross."""
    entries = []
    for number, name in enumerate(document["implementations"]):
        if name == document["baseline"]:
            continue
        style = mark(number)
        look: dict[str, Any] = {"color": style.color, "marker": style.marker, "markersize": 5}
        hollow: dict[str, Any] = {"linestyle": (0, (1, 2)), "markerfacecolor": PAPER, "linewidth": 0.9}
        for key, what, shift, more in (
            ("speedups", "amortized", 1.0, {"linestyle": style.line, "linewidth": 1.3}),
            ("speedups_between_spikes", "between spikes", _aside(document), hollow),
        ):
            by_width = {int(m): ratio for m, ratio in document[key][name].items() if (ratio["value"] or 0.0) > 0.0}
            if by_width:
                axes.errorbar(
                    [m * shift for m in by_width],
                    [ratio["value"] for ratio in by_width.values()],
                    yerr=_bars(list(by_width.values())),
                    **{"capsize": 2.5, "elinewidth": 0.9, **look, **more},
                )
                entries.append(Entry(Line2D([], [], **look, **more), f"{short(name)}, {what}"))
        entries += _crossover(axes, document, name, style.color)
    if not entries:
        _say(axes, "nothing to compare with the dense rival")
        return []
    axes.axhline(1.0, color=MUTED, linewidth=1.0)
    axes.set_ylabel(f"time of {short(document['baseline'])} / time").set_parse_math(False)
    logarithmic(axes, document["problem"]["widths"], lambda ratio: f"{ratio:g}×")
    return entries


def shares_panel(axes: Axes, document: dict[str, Any], name: str) -> list[Entry]:
    """The phases' shares in the time of an iteration, width by width, of one implementation."""
    points = document["implementations"][name]["points"]
    stacks = [shares(point) for point in points]
    if all(stack is None for stack in stacks):
        _say(axes, "times of phases are not reported")
        return []
    places = np.arange(len(points))
    bottom = np.zeros(len(points))
    entries = []
    for number, phase in enumerate(SHARES):
        height = np.array([0.0 if stack is None else stack[phase] for stack in stacks])
        color, hatch = fill(number)
        look: dict[str, Any] = {"facecolor": color, "hatch": hatch, "edgecolor": INK, "linewidth": 0.5}
        axes.bar(places, height, 0.84, bottom, **look)
        entries.append(Entry(Patch(**look), "outside of the phases" if phase == REST else phase))
        bottom += height
    axes.set_xticks(places, [str(point["m"]) for point in points])
    thin_out(axes, len(points))
    axes.set_ylim(0.0, max(1.0, float(bottom.max())))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100.0 * share:.0f} %"))
    axes.set_xlabel("width m")
    axes.set_ylabel("share of an iteration's time")
    return entries


def short(name: str) -> str:
    """A name that fits into a figure: its middle gives way, and what cannot be printed."""
    name = "".join(character if character.isprintable() else "�" for character in name)
    half = LONGEST_NAME // 2
    return name if len(name) <= LONGEST_NAME else f"{name[: half - 1]}…{name[-half:]}"


def _series(
    axes: Axes,
    number: int,
    label: str,
    m: Float[np.ndarray, " widths"],
    cost: Float[np.ndarray, " widths"],
    exponent: float | None,
    *,
    points: bool = False,
) -> Entry:
    """The fitted line through the centre of the points, and the points where they are not drawn already."""
    style = mark(number)
    if points:
        axes.plot(m, cost, color=style.color, marker=style.marker, linestyle="none", markersize=5)
    if exponent is not None:
        centre = np.exp(np.log(cost).mean()) * (m / np.exp(np.log(m).mean())) ** exponent
        axes.plot(m, centre, color=style.color, linestyle=style.line, linewidth=1.3)
    line: Any = "none" if exponent is None else style.line
    handle = Line2D([], [], color=style.color, marker=style.marker, linestyle=line, linewidth=1.3, markersize=5)
    return Entry(handle, label)


def _theory(axes: Axes, document: dict[str, Any], cost: Callable[[dict[str, Any]], float | None]) -> list[Entry]:
    """What sparsity alone explains, drawn below the first implementation's points."""
    rivals = [entry for name, entry in document["implementations"].items() if name != document["baseline"]]
    theory = document["theory"].get("iteration")
    widths = document["problem"]["widths"]
    if not rivals or theory is None or theory["work"] is None or len(theory["local"]) != len(widths) - 1:
        return []
    m, costs = _positive(rivals[0], cost)
    if len(m) < len(widths):
        return []
    rise = np.concatenate([[0.0], np.cumsum(np.array(theory["local"]) * np.diff(np.log(m)))])
    centre = np.log(costs).mean() - rise.mean()
    axes.plot(m, _BESIDE * np.exp(centre + rise), **_THEORY)
    return [Entry(Line2D([], [], **_THEORY), f"work in theory, sparse: slope {plain_number(theory['work'], '.2f')}")]


def _aside(document: dict[str, Any]) -> float:
    """By how much a second series stands to the right of the first, so as not to hide it."""
    widths = document["problem"]["widths"]
    return float((widths[-1] / widths[0]) ** 0.014)


def _crossover(axes: Axes, document: dict[str, Any], name: str, color: str) -> list[Entry]:
    crossover, widths = document["crossover"][name], document["problem"]["widths"]
    if crossover["m"] is None:
        return []
    axes.axvline(crossover["m"], color=color, linewidth=0.9, linestyle=(0, (3, 3)))
    if crossover["low"] is not None or crossover["high"] is not None:
        low, high = (crossover[end] or beyond for end, beyond in (("low", widths[0]), ("high", widths[-1])))
        axes.axvspan(low, high, color=color, alpha=0.12, linewidth=0)
    handle = Line2D([], [], color=color, linewidth=0.9, linestyle=(0, (3, 3)))
    return [Entry(handle, f"{short(name)}: crossover at {crossover['m']:.0f}")]


def _positive(
    implementation: dict[str, Any], cost: Callable[[dict[str, Any]], float | None]
) -> tuple[np.ndarray, np.ndarray]:
    """Widths and costs, those of the points that have a positive one."""
    found = [(point["m"], cost(point)) for point in implementation["points"]]
    m, costs = np.array([(m, value) for m, value in found if value], dtype=np.float64).reshape(-1, 2).T
    return m, costs


def _square_work(point: dict[str, Any]) -> float | None:
    adds: float | None = point["phases"]["iteration"]["square_layers"]["multiply_adds"]
    return adds


def _bars(ratios: Sequence[dict[str, Any]]) -> np.ndarray:
    """Lengths of the bars below and above; an unknown end has none."""
    ends = [[ratio["value"] if ratio[end] is None else ratio[end] for ratio in ratios] for end in ("low", "high")]
    lengths: np.ndarray = np.abs(np.array(ends) - [ratio["value"] for ratio in ratios])
    return lengths


def _estimate(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return "–"
    value, low, high = ("–" if end is None else plain_number(end, ".2f") for end in map(found.get, _ENDS))
    return value if low == high == "–" else f"{value} [{low}, {high}]"


_ENDS = ("value", "low", "high")


def _say(axes: Axes, text: str) -> None:
    """Instead of a panel that would be empty."""
    axes.text(0.5, 0.5, text, ha="center", va="center", color=MUTED, transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])
