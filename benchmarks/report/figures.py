"""The figures of a report: one panel each in the page, several panels beside each other in the pictures."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.report.markup import Html
from benchmarks.report.palette import INK, MUTED, PAPER
from benchmarks.report.panels import (
    Entry,
    Panel,
    memory_panel,
    shares_panel,
    short,
    speedup_panel,
    time_panel,
    work_panel,
)
from benchmarks.report.setting import setting
from benchmarks.report.svg import inline_svg

# In inches. A page shows a figure at up to 1.8 times its size, a phone at about this one.
_SIZE = (4.0, 3.4)
_DOTS_PER_INCH = 150
_MOST_COLUMNS = 3

_SETTINGS = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 2.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "scaling",
}


@dataclass(frozen=True)
class Drawing:
    """A figure of one panel.

    Attributes:
        name: Unique in a page.
        title: What it shows, in a few words.
        description: What is to be seen, for those who do not see it.
        panel: Draws it.
    """

    name: str
    title: str
    description: str
    panel: Panel

    def svg(self, document: dict[str, Any]) -> Html:
        """For the page.

        Args:
            document: The contents of scaling.json.
        """
        with _settings():
            figure, (axes,) = _figure(1, 1)
            figure.patch.set_visible(False)
            axes.patch.set_visible(False)
            _legend(figure, self.panel(axes, document), columns=2 if self.name.startswith("shares") else 1)
            return inline_svg(figure, self.name, self.title, self.description)


def cost_drawings(document: dict[str, Any]) -> list[Drawing]:
    """Time and counted work against m."""
    time, work = (
        "; ".join(_slope(name, entry["exponents"]["iteration"][kind]) for name, entry in _implementations(document))
        for kind in ("time", "work")
    )
    return [
        Drawing("time", "Time of an iteration against the width", f"Both axes are logarithmic. {time}.", time_panel),
        Drawing("work", "Counted work of an iteration", f"Both axes are logarithmic. {work}.", work_panel),
    ]


def speedup_drawing(document: dict[str, Any]) -> Drawing:
    """Speed-ups against m."""
    description = "The numbers are in the table of speed-ups. Above the line at 1 the dense rival takes longer."
    return Drawing("speedups", f"Time of {document['baseline']} over that of others", description, speedup_panel)


def share_drawings(document: dict[str, Any]) -> list[Drawing]:
    """Shares of the phases, a drawing for each implementation."""
    return [
        Drawing(
            f"shares-{number}",
            name,
            "Stacked bars, one for each width. The numbers are in the table of shares.",
            partial(shares_panel, name=name),
        )
        for number, (name, _) in enumerate(_implementations(document))
    ]


def memory_drawing(document: dict[str, Any]) -> Drawing:
    """Extra memory against m."""
    slopes = "; ".join(_slope(name, entry["memory_exponent"]) for name, entry in _implementations(document))
    description = f"Both axes are logarithmic. {slopes}; one weight matrix: slope 2."
    return Drawing("memory", "Extra memory of an iteration against the width", description, memory_panel)


def images(document: dict[str, Any]) -> dict[str, bytes]:
    """The pictures by file name, as PNG.

    Args:
        document: The contents of scaling.json.
    """
    return {
        "scaling.png": _image(document, cost_drawings(document)),
        "speedups.png": _image(document, [speedup_drawing(document)]),
        "phases.png": _image(document, share_drawings(document), one_legend=True),
        "memory.png": _image(document, [memory_drawing(document)]),
    }


def _image(document: dict[str, Any], drawings: Sequence[Drawing], *, one_legend: bool = False) -> bytes:
    with _settings():
        columns = min(len(drawings), _MOST_COLUMNS)
        figure, panels = _figure(-(-len(drawings) // columns), columns)
        shared: list[Entry] = []
        for axes, drawing in zip(panels, drawings, strict=False):
            entries = drawing.panel(axes, document)
            if one_legend:
                axes.set_title(short(drawing.title)).set_parse_math(False)
                shared = shared or entries
            else:
                _legend(axes, entries, columns=1)
        for axes in panels[len(drawings) :]:
            axes.set_visible(False)
        _legend(figure, shared, columns=len(shared) if columns > 1 else 2)
        figure.supxlabel(_wrapped(setting(document), 68 * columns), fontsize=7.5, color=MUTED).set_parse_math(False)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
        return file.getvalue()


@contextmanager
def _settings() -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever the user's are."""
    with matplotlib.style.context(["default", _SETTINGS]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # names may be in any script
        yield


def _figure(rows: int, columns: int) -> tuple[Figure, list[Axes]]:
    width, height = _SIZE
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained", facecolor=PAPER)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _legend(owner: Figure | Axes, entries: Sequence[Entry], *, columns: int) -> None:
    """Above the axes, so that it hides nothing."""
    if not entries:
        return
    handles, blank = [entry.handle for entry in entries], [" "] * len(entries)
    if isinstance(owner, Figure):
        legend = owner.legend(handles, blank, loc="outside upper left", ncols=columns)
    else:
        legend = owner.legend(handles, blank, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns)
    for text, entry in zip(legend.get_texts(), entries, strict=True):  # a label that begins with _ would be left out
        text.set_text(entry.label)
        text.set_parse_math(False)


def _implementations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return list(document["implementations"].items())


def _slope(name: str, exponent: dict[str, Any]) -> str:
    return f"{name}: " + ("no slope" if exponent["value"] is None else f"slope {exponent['value']:.2f}")


def _wrapped(text: str, columns: int) -> str:
    return "\n".join(textwrap.wrap(text, columns))
