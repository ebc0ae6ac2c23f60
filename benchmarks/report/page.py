"""report.html: one page that loads nothing."""

from __future__ import annotations

from string import Template
from typing import Any
from urllib.parse import quote

from benchmarks.report.figures import (
    Drawing,
    cost_drawings,
    memory_drawing,
    share_drawings,
    speedup_drawing,
)
from benchmarks.report.headline import crossover_sentence, flags, headline
from benchmarks.report.markup import Html, element, joined, shown
from benchmarks.report.setting import setting
from benchmarks.report.stylesheet import STYLESHEET
from benchmarks.report.tables import (
    agreement_table,
    conditions_tables,
    exponents_table,
    memory_table,
    shares_table,
    speedups_table,
)

_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Cost of a training iteration against the width</title>
<style>
$stylesheet</style>
</head>
<body>
<main>
<header>
<h1>Cost of a training iteration against the width m</h1>
<p class="setting">$setting</p>
$headline
$flags
</header>

<section aria-labelledby="h-cost">
<h2 id="h-cost">Cost against m</h2>
<div class="figures">$cost</div>
<p>Points are medians over rounds, each of the mean over a window of iterations, spikes included; bars reach from the
10th to the 90th percentile. Lines are the fitted slopes. Work is counted over the m × m layers and the solve, and is
the same on every machine. The thin dashed line has the slope that sparsity alone explains of the work; its height
means nothing.</p>
</section>

<section aria-labelledby="h-exponents">
<h2 id="h-exponents">Exponents by phase</h2>
$exponents
<p>Work and bytes are those counted of the m × m layers. Time is the slope through the typical times; floored, with a
constant overhead fitted beside the power law. Held out: the largest width's time over what the others predict by the
floored fit, less 1. A flag ⚑ marks a change of the law on the way, where no single exponent tells the time and the
interval covers none.</p>
</section>

<section aria-labelledby="h-speedups">
<h2 id="h-speedups">Speed-ups by width</h2>
$crossovers
<div class="beside">$speedups$speedups_table</div>
<p>Amortized: of the means over windows. Between spikes: of the medians within windows, which see no fold and no
recompression.</p>
</section>

<section aria-labelledby="h-shares">
<h2 id="h-shares">Where the time goes</h2>
<div class="figures">$shares</div>
$shares_table
</section>

<section aria-labelledby="h-memory">
<h2 id="h-memory">Memory</h2>
<div class="beside">$memory$memory_table</div>
<p>The peak of an iteration beyond what is held between iterations.</p>
</section>

<section aria-labelledby="h-agreement">
<h2 id="h-agreement">Agreement</h2>
<p>$agreement</p>
$agreement_table
<p>Deviations of the loss of a step, or of the final outputs, from those of the dense rival, in units of what rounding
explains: at most 1 is agreement.</p>
</section>

<section aria-labelledby="h-conditions">
<h2 id="h-conditions">Conditions</h2>
<div class="facts">$conditions</div>
</section>

<section aria-labelledby="h-data">
<h2 id="h-data">Raw data</h2>
<p>$downloads</p>
</section>
</main>
</body>
</html>
""")


def page(document: dict[str, Any], json: bytes, csv: bytes) -> str:
    """Writes the page.

    Args:
        document: The contents of scaling.json.
        json: That file.
        csv: scaling.csv.
    """
    names = [name for name in document["implementations"] if name != document["baseline"]]
    parts: dict[str, str] = {
        "stylesheet": STYLESHEET,
        "setting": shown(setting(document)),
        "headline": headline(document),
        "flags": _flags(document),
        "cost": _figures(document, *cost_drawings(document)),
        "exponents": exponents_table(document),
        "speedups": _figures(document, speedup_drawing(document)),
        "crossovers": joined(*(element("p", crossover_sentence(document, name)) for name in names)),
        "speedups_table": speedups_table(document),
        "shares": _figures(document, *share_drawings(document)),
        "shares_table": shares_table(document),
        "memory": _figures(document, memory_drawing(document)),
        "memory_table": memory_table(document),
        "agreement": _agreement(document),
        "agreement_table": agreement_table(document),
        "conditions": conditions_tables(document),
        "downloads": joined(
            _download("scaling.csv", csv, "text/csv", "the samples of every round"),
            _download("scaling.json", json, "application/json", "everything in this page"),
            by=" ",
        ),
    }
    return _PAGE.substitute(parts)


def _flags(document: dict[str, Any]) -> Html:
    found = flags(document)
    if not found:
        return Html("")
    return element("ul", *(element("li", Html("⚑ "), flag) for flag in found), class_="flags")


def _figures(document: dict[str, Any], *drawings: Drawing) -> Html:
    return joined(
        *(element("figure", element("figcaption", shown(drawing.title)), drawing.svg(document)) for drawing in drawings)
    )


def _agreement(document: dict[str, Any]) -> Html:
    """Everyone's verdict."""
    sentences = []
    for name, implementation in document["implementations"].items():
        if name != document["baseline"]:
            agree = all(point["agreement"]["agrees"] for point in implementation["points"])
            verdict = "agree" if agree else element("strong", Html("do not agree"), class_="flag")
            where = "at every width" if agree else "at some widths"
            sentences.append(
                f"Losses of every step of <b>{shown(name)}</b>, and final outputs where it evaluates any, {verdict} "
                f"with those of {shown(document['baseline'])} {where}."
            )
    return Html(" ".join(sentences) or "There is nothing to compare.")


def _download(name: str, content: bytes, kind: str, what: str) -> Html:
    """A link that holds a file, byte for byte."""
    href = f"data:{kind};charset=utf-8,{quote(content, safe='!*()+,-./:;=?@_~$')}"
    link = element("a", Html(name), href=href, download=name)
    return Html(f"{link}, {what} ({len(content) / 1000:.0f} kB).")
