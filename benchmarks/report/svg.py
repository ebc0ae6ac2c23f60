"""A matplotlib figure as SVG inside an HTML page: it takes colours, fonts and size from the page."""

from __future__ import annotations

import io
import re

from matplotlib.figure import Figure

from benchmarks.report.markup import Html, element, shown
from benchmarks.report.palette import COLOURS

_VARIABLES = {colour.light: f"var(--{role})" for role, colour in COLOURS.items()}
_COLOUR = re.compile("|".join(map(re.escape, _VARIABLES)))


def inline_svg(figure: Figure, name: str, title: str, description: str) -> Html:
    """The figure as an svg element.

    Args:
        figure: Drawn in the light colours of the palette, under the settings of benchmarks/report/figures.py.
        name: Unique in the page; ids begin with it.
        title: For those who cannot see it.
        description: What it shows, likewise.
    """
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawn = re.sub(r"<!--.*?-->|<style.*?</style>", "", file.getvalue().decode(), flags=re.DOTALL)
    _, box, content = re.split(r'<svg[^>]*viewBox="([^"]*)"[^>]*>', drawn, maxsplit=1)
    content = content.rpartition("</svg>")[0]
    # An attribute that is no style may not hold a variable everywhere.
    content = re.sub(r'(?<= )(fill|stroke)="(#[0-9a-f]{6})"', r'style="\1: \2"', content)
    content = _COLOUR.sub(lambda found: _VARIABLES[found[0]], content)
    content = re.sub(r"font-family: [^;\"]*; ?", "", content)
    return element(
        "svg",
        element("title", shown(title), id=f"{name}-title"),
        element("desc", shown(description), id=f"{name}-desc"),
        _with_own_ids(content, name),
        viewBox=box,
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
    )


def _with_own_ids(content: str, name: str) -> Html:
    """Prefixes the ids that something refers to, and drops the others."""
    used = set(re.findall(r'xlink:href="#([^"]+)"|url\(#([^)]+)\)', content))
    wanted = {link or url for link, url in used}

    def prefixed(found: re.Match[str]) -> str:
        return f' id="{name}-{found[1]}"' if found[1] in wanted else ""

    content = re.sub(r' id="([^"]+)"', prefixed, content)
    content = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', content)
    return Html(re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", content))
