"""scaling.png: what an iteration costs against m, in time and in counted work, with the fitted slopes."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

# Told apart by marker and line style first: the picture is read in black and white too.
STYLES = (
    ("#1b1b1b", "s", "-"),
    ("#c1440e", "o", "--"),
    ("#2a6f97", "^", "-."),
    ("#6a994e", "D", ":"),
    ("#7b2d8b", "v", (0, (5, 1, 1, 1, 1, 1))),
)


def draw(document: dict[str, Any]) -> Figure:
    """Draws the contents of scaling.json.

    Args:
        document: From benchmarks.analysis.

    Returns:
        A figure that belongs to no window.
    """
    figure = Figure(figsize=(11.0, 5.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, implementation), style in zip(
        document["implementations"].items(), STYLES * len(document["implementations"]), strict=False
    ):
        _draw_time(left, name, implementation, style)
        _draw_work(right, name, implementation, style)
    _draw_theory(right, document)
    left.set_ylabel("seconds per iteration (median, bars: 10th to 90th percentile)")
    left.set_title("time")
    right.set_ylabel("multiply-adds per iteration, m × m layers and solve")
    right.set_title("counted work")
    for axes in (left, right):
        _finish(axes, document["problem"]["widths"])
    problem, environment = document["problem"], document["environment"]
    figure.suptitle(
        f"One Gauss–Newton iteration: {problem['data']}, n = {problem['samples']}, depth {problem['depth']}, "
        f"{problem['dtype']}, {environment['device']}, {environment['threads']} threads",
        fontsize=11,
    )
    return figure


def _draw_time(axes: Axes, name: str, implementation: dict[str, Any], style: tuple[Any, ...]) -> None:
    color, marker, line = style
    m = np.array([point["m"] for point in implementation["points"]], dtype=np.float64)
    samples = [point["phases"]["iteration"]["seconds"] for point in implementation["points"]]
    median = np.array([np.median(values) for values in samples])
    ends = np.array([np.quantile(values, [0.1, 0.9]) for values in samples]).T
    exponent = implementation["exponents"]["iteration"]["time"]
    spread = np.abs(ends - median)
    label = f"{name}: slope {exponent['value']:.2f}"
    if exponent["low"] is not None:
        label += f" [{exponent['low']:.2f}, {exponent['high']:.2f}]"
    if exponent["floored"]["value"] is not None:
        label += f", above its floor {exponent['floored']['value']:.2f}"
    axes.errorbar(m, median, yerr=spread, color=color, marker=marker, linestyle="none", capsize=2, markersize=5)
    axes.plot(m, _line(m, median, exponent["value"]), color=color, linestyle=line, linewidth=1.2)
    axes.plot([], [], color=color, marker=marker, linestyle=line, label=label)


def _draw_work(axes: Axes, name: str, implementation: dict[str, Any], style: tuple[Any, ...]) -> None:
    color, marker, line = style
    exponent = implementation["exponents"]["iteration"]["work"]["value"]
    if exponent is None:  # nothing counted, or no m × m layer
        return
    m = np.array([point["m"] for point in implementation["points"]], dtype=np.float64)
    work = np.array(
        [point["phases"]["iteration"]["square_layers"]["multiply_adds"] for point in implementation["points"]],
        dtype=np.float64,
    )
    axes.plot(m, work, color=color, marker=marker, linestyle="none", markersize=5)
    axes.plot(m, _line(m, work, exponent), color=color, linestyle=line, linewidth=1.2)
    axes.plot([], [], color=color, marker=marker, linestyle=line, label=f"{name}: slope {exponent:.2f}")


def _draw_theory(axes: Axes, document: dict[str, Any]) -> None:
    theory = document["theory"]
    axes.plot(
        [],
        [],
        linestyle="none",
        label="theory at these m, k = m·Q(√(0.4 ln m)):\n"
        f"m·k has slope {theory['forward']['work']:.2f}, k² has {theory['backward']['work']:.2f}",
    )


def _line(m: np.ndarray, cost: np.ndarray, exponent: float) -> np.ndarray:
    """The fitted line through the centre of the points."""
    centre: np.ndarray = np.exp(np.log(cost).mean()) * (m / np.exp(np.log(m).mean())) ** exponent
    return centre


def _finish(axes: Axes, widths: list[int]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("width m")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(widths, [str(m) for m in widths], rotation=45, ha="right", fontsize=8)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top * (top / bottom) ** 0.35)  # room for the legend
    axes.grid(True, which="major", color="0.88", linewidth=0.7)
    axes.legend(fontsize=9, loc="upper left", framealpha=0.9)
