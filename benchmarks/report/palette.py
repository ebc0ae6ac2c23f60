"""Colours by role, in light and in dark, and the marks that tell series apart without any.

Figures are drawn in the light colours. In a page each of them stands for a CSS variable (benchmarks/report/svg.py), so
all must differ from each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from reference.contract import PHASES


class Colour(NamedTuple):
    """A colour in a light and in a dark surrounding, as #rrggbb."""

    light: str
    dark: str


COLOURS = {
    "paper": Colour("#fefefe", "#14171b"),
    "ink": Colour("#1c1e21", "#e8e6e2"),
    "muted": Colour("#596069", "#a9b0b9"),
    "grid": Colour("#dde1e5", "#353b43"),
    "raised": Colour("#f4f5f7", "#1d2126"),
    "alarm": Colour("#a3260f", "#ff9d86"),
    "link": Colour("#1a5f9e", "#8cc4f4"),
    "series-1": Colour("#1b1b1b", "#e6e6e6"),
    "series-2": Colour("#c1440e", "#ff8f5e"),
    "series-3": Colour("#2a6f97", "#79bfe8"),
    "series-4": Colour("#4f7a36", "#a3cf80"),
    "series-5": Colour("#7b2d8b", "#d79ee4"),
    "part-1": Colour("#c9dcee", "#2b4a66"),
    "part-2": Colour("#8fb6d8", "#47759d"),
    "part-3": Colour("#f3dfb4", "#6a5528"),
    "part-4": Colour("#dd9a6a", "#9c5c33"),
    "part-5": Colour("#b7d7ad", "#3c6135"),
    "part-6": Colour("#efefef", "#2b2f34"),
}

INK, MUTED, GRID, PAPER = (COLOURS[role].light for role in ("ink", "muted", "grid", "paper"))

_SERIES = tuple(COLOURS[f"series-{number}"].light for number in range(1, 6))
_MARKERS = ("s", "o", "^", "D", "v", "P", "X")
_LINES: tuple[Any, ...] = ("-", "--", "-.", (0, (1, 1.2)), (0, (5, 1, 1, 1, 1, 1)))
_HATCHES = ("////", "\\\\\\\\", "....", "xxxx", "----", "")


@dataclass(frozen=True)
class Mark:
    """How a series is drawn.

    Attributes:
        color: In light surroundings.
        marker: Of its points.
        line: Style of its line.
    """

    color: str
    marker: str
    line: Any


class Fill(NamedTuple):
    """How a part of a stack is drawn."""

    color: str
    hatch: str


def mark(number: int) -> Mark:
    """The mark of a series, counted from 0; the first 35 differ."""
    return Mark(*(styles[number % len(styles)] for styles in (_SERIES, _MARKERS, _LINES)))


def fill(number: int) -> Fill:
    """The fill of a phase, counted from 0; the one after the last phase is that of the rest."""
    return Fill(COLOURS[f"part-{number + 1}"].light, _HATCHES[number])


assert len(_HATCHES) == len(PHASES) + 1
