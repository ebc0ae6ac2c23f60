"""The tables of a report."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.analysis import ALL_PHASES
from benchmarks.report.headline import crossover_interval
from benchmarks.report.markup import (
    DASH,
    NOTHING,
    Html,
    element,
    estimate,
    joined,
    line,
    megabytes,
    milliseconds,
    number,
    percent,
    row,
    shown,
    signed_percent,
    significant,
    table,
)
from benchmarks.report.shares import REST, SHARES, shares


def exponents_table(document: dict[str, Any]) -> Html:
    """Exponents of every phase, a group of rows for each."""
    columns = ("phase", "implementation", "work", "bytes", "time", "time, floored", "theory, sparse: work")
    bodies = []
    for phase in ALL_PHASES:
        rows: list[Html] = []
        for name, implementation in document["implementations"].items():
            work, time = (implementation["exponents"][phase][kind] for kind in ("work", "time"))
            cells = [
                element("th", shown(name), scope="row"),
                *(element("td", number(work[key])) for key in ("value", "bytes")),
                *(element("td", estimate(found)) for found in (time, time["floored"])),
            ]
            if not rows:
                span = len(document["implementations"])
                theory = document["theory"].get(phase, {"work": None})["work"]
                cells.insert(0, element("th", shown(phase), scope="rowgroup", rowspan=span))
                cells.append(element("td", number(theory), rowspan=span))
            cells += [element("td", _held_out(time["held_out"])), element("td", _regime(time["regime"]))]
            rows.append(line(*cells))
        bodies.append(rows)
    return table(
        "exponents",
        Html("Exponents p of cost ~ m<sup>p</sup>, with 95 % intervals over rounds"),
        [*map(shown, columns), Html("held out"), Html("change of law")],
        *bodies,
    )


def speedups_table(document: dict[str, Any]) -> Html:
    """Times and speed-ups, width by width, with the crossovers between them."""
    names, baseline = list(document["implementations"]), document["baseline"]
    rivals = [name for name in names if name != baseline]
    columns = [Html("m"), *(Html(f"{shown(name)}, ms") for name in names)]
    for name in rivals:
        columns += [Html(f"{shown(baseline)} / {shown(name)}, {what}") for what in ("amortized", "between spikes")]
    widths = document["problem"]["widths"]
    rows = []
    for index, m in enumerate(widths):
        for name in rivals:
            at = document["crossover"][name]["m"]
            if index > 0 and at is not None and widths[index - 1] < at <= m:
                where = joined(number(at, ".0f"), crossover_interval(document, document["crossover"][name]))
                marked = Html(f"↓ crossover of {shown(name)}: {where}")
                rows.append(line(element("td", marked, colspan=len(columns)), class_="crossover"))
        times = (document["implementations"][name]["points"][index]["phases"]["iteration"]["median"] for name in names)
        ratios = (
            estimate(document[key][name][str(m)]) for name in rivals for key in ("speedups", "speedups_between_spikes")
        )
        rows.append(row(shown(m), *(number(time, milliseconds) for time in times), *ratios))
    return table("speedups-table", Html("Time of an iteration, and speed-ups with 95 % intervals"), columns, rows)


def shares_table(document: dict[str, Any]) -> Html:
    """Shares of the phases, a group of rows for each implementation."""
    bodies = []
    for name, implementation in document["implementations"].items():
        points = implementation["points"]
        rows = []
        for index, point in enumerate(points):
            stack = shares(point) or dict.fromkeys(SHARES)
            group = [element("th", shown(name), scope="rowgroup", rowspan=len(points))] if index == 0 else []
            header = element("th", shown(point["m"]), scope="row")
            rows.append(line(*group, header, *(element("td", number(stack[part], percent)) for part in SHARES)))
        bodies.append(rows)
    columns = [
        Html("implementation"),
        Html("m"),
        *(Html("outside") if part == REST else shown(part) for part in SHARES),
    ]
    return table("shares-table", Html("Shares in the time of an iteration, means over rounds"), columns, *bodies)


def memory_table(document: dict[str, Any]) -> Html:
    """Extra memory width by width, beside one weight matrix; the exponents at the end."""
    implementations = document["implementations"]
    columns = [Html("m"), Html("one weight matrix, MB")]
    for name in implementations:
        columns += [Html(f"{shown(name)}, MB"), Html("of the matrix")]
    rows = []
    for index, m in enumerate(document["problem"]["widths"]):
        points = [implementation["points"][index] for implementation in implementations.values()]
        cells = [number(points[0]["weight_matrix_bytes"], megabytes)]
        for point in points:
            extra = point["extra_memory_bytes"]
            share = None if extra is None else extra / point["weight_matrix_bytes"]
            cells += [number(extra, megabytes), number(share, percent)]
        rows.append(row(shown(m), *cells))
    exponents = [Html("2")]
    for implementation in implementations.values():
        exponents += [number(implementation["memory_exponent"]["value"]), NOTHING]
    rows.append(row(Html("exponent"), *exponents, class_="total"))
    return table("memory-table", Html("Extra memory of an iteration"), columns, rows)


def agreement_table(document: dict[str, Any]) -> Html:
    """Whether losses and outputs are those of the dense rival, width by width."""
    rivals = {name: entry for name, entry in document["implementations"].items() if name != document["baseline"]}
    columns = [Html("m"), *map(shown, rivals)]
    last = document["problem"]["iterations"]
    rows = [
        row(shown(m), *(_agreement(entry["points"][index]["agreement"], last) for entry in rivals.values()))
        for index, m in enumerate(document["problem"]["widths"])
    ]
    return table("agreement-table", Html("Largest deviations"), columns, rows)


def conditions_tables(document: dict[str, Any]) -> Html:
    """Everything that is known of the problem, the machine and the implementations."""
    factories = {name: entry["factory"] for name, entry in document["implementations"].items()}
    return joined(
        _facts("problem", "Problem", document["problem"]),
        _facts("environment", "Environment", document["environment"]),
        _facts("factories", "Implementations", factories),
    )


def _facts(name: str, caption: str, facts: dict[str, Any]) -> Html:
    named = name != "factories"
    rows = [row(shown(key.replace("_", " ") if named else key), _fact(key, value)) for key, value in facts.items()]
    return table(name, shown(caption), [Html("what"), Html("value")], rows)


def _fact(key: str, value: Any) -> Html:
    if value is None:
        return DASH
    if isinstance(value, bool):
        return Html("yes" if value else "no")
    if isinstance(value, int | float):
        return number(value, percent if key.startswith("others_") else str)
    if isinstance(value, list):
        return joined(*(_fact("", item) for item in value), by=", ")
    return shown(value if isinstance(value, str) else json.dumps(value))


def _held_out(found: dict[str, Any] | None) -> Html:
    """The error of the floored fit; that of the plain one where there are too few widths for a floor."""
    if found is None:
        return DASH
    if found["floored_error"] is None:
        return joined(number(found["plain_error"], signed_percent), Html(" (plain)"))
    return number(found["floored_error"], signed_percent)


def _regime(regime: dict[str, Any] | None) -> Html:
    if regime is None:
        return NOTHING
    return element("strong", Html("⚑ "), shown(regime["text"]), class_="flag")


def _agreement(found: dict[str, Any], last: int) -> Html:
    where = "in the outputs" if found["step"] == last else f"in the loss of step {found['step']}"
    deviation = Html("not a number") if found["deviation"] is None else number(found["deviation"], significant)
    if found["agrees"]:
        return Html(f"✓ {deviation}")
    return element("strong", Html(f"⚑ disagrees: {deviation}, {shown(where)}"), class_="flag")
