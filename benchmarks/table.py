"""The table that a measurement ends with: exponents first, then speed-ups, then what to hold against them."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.analysis import ALL_PHASES
from benchmarks.report.setting import conditions, method


def print_tables(document: dict[str, Any], console: Console) -> None:
    """Prints the contents of scaling.json for people.

    Args:
        document: From benchmarks.analysis.
        console: Where.
    """
    console.print(_exponents(document))
    console.print(_widths(document))
    for line in _remarks(document):
        console.print(line, highlight=False, markup=False)


def _exponents(document: dict[str, Any]) -> Table:
    table = Table(
        title="Exponents: cost ~ m^p",
        caption="work: counted multiply-adds and bytes of the m × m layers. time: slope through the typical times, "
        "with a 95 % interval over rounds; floored: with a constant overhead fitted beside it. held out: the largest "
        "width's time over what the others predict by the floored fit, less 1.",
    )
    table.add_column("phase")
    table.add_column("implementation")
    for column in ("work", "bytes", "time", "time, floored", "held out"):
        table.add_column(column, justify="right", no_wrap=True)
    for phase in ALL_PHASES:
        for name, implementation in document["implementations"].items():
            work, time = (implementation["exponents"][phase][kind] for kind in ("work", "time"))
            table.add_row(
                phase,
                name,
                _number(work["value"]),
                _number(work["bytes"]),
                _with_interval(time),
                _with_interval(time["floored"]),
                _held_out(time["held_out"]),
            )
        theory = document["theory"].get(phase)
        if theory is not None:
            table.add_row("", "sparse, in theory", _number(theory["work"]), "", "", "", "")
        table.add_section()
    return table


def _widths(document: dict[str, Any]) -> Table:
    implementations = document["implementations"]
    table = Table(
        title="Whole iteration, amortized",
        caption=f"means over windows of {document['problem']['iterations']} iterations, spikes included, median over "
        "rounds; in parentheses the median iteration and the slowest one. The speed-up is of the means.",
    )
    table.add_column("m", justify="right")
    for name in implementations:
        table.add_column(f"{name}, ms", justify="right", no_wrap=True)
    for name in document["speedups"]:
        table.add_column(f"{document['baseline']} / {name}", justify="right", no_wrap=True)
    for name in implementations:
        table.add_column(f"{name}, extra MiB", justify="right")
    for index, m in enumerate(document["problem"]["widths"]):
        points = [implementation["points"][index] for implementation in implementations.values()]
        table.add_row(
            str(m),
            *(_amortized(point["phases"]["iteration"]) for point in points),
            *(_with_interval(speedup[str(m)], "×") for speedup in document["speedups"].values()),
            *(_memory(point) for point in points),
        )
    return table


def _remarks(document: dict[str, Any]) -> list[str]:
    lines = []
    for name, crossover in document["crossover"].items():
        where = crossover["where"] if crossover["m"] is None else f"m = {crossover['m']:.0f}"
        between = "" if crossover["m"] is None else f" [{_end(crossover['low'])}, {_end(crossover['high'])}]"
        lines.append(f"crossover, from where on {name} is faster than {document['baseline']}: {where}{between}")
    for name, implementation in document["implementations"].items():
        if name == document["baseline"]:
            continue
        wrong = [point for point in implementation["points"] if not point["agreement"]["agrees"]]
        for point in wrong:
            lines.append(
                f"DISAGREES: {name} at m = {point['m']}: its loss or outputs leave the tolerance around those of "
                f"{document['baseline']}, worst at step {point['agreement']['step']}, "
                f"by {_number(point['agreement']['deviation'])} of it"
            )
        if not wrong:
            worst = max(point["agreement"]["deviation"] for point in implementation["points"])
            lines.append(
                f"losses and outputs of {name} agree with those of {document['baseline']} at every width and step "
                f"(largest deviation {worst:.2g} of the tolerance)"
            )
    for name, implementation in document["implementations"].items():
        widest = implementation["points"][-1]
        if widest["extra_memory_bytes"] is not None:
            share = 100.0 * widest["extra_memory_bytes"] / widest["weight_matrix_bytes"]
            lines.append(
                f"extra memory of an iteration of {name} at m = {widest['m']}: {share:.1f} % of one weight matrix, "
                f"exponent {_number(implementation['memory_exponent']['value'])}"
            )
        regime = implementation["exponents"]["iteration"]["time"]["regime"]
        if regime is not None:
            lines.append(f"no single exponent tells the time of {name}: {regime['text']}")
    environment, problem = document["environment"], document["problem"]
    lines.append(
        f"problem: {problem['data']}, n = {problem['samples']}, d = {problem['dimension']}, depth {problem['depth']}, "
        f"{problem['dtype']}, {method(problem)}, {problem['rounds']} rounds "
        f"of {problem['iterations']} iterations (ended by {problem['ended_by']})"
    )
    lines.append(conditions(environment))
    return lines


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _with_interval(estimate: dict[str, Any], unit: str = "") -> str:
    if estimate["value"] is None:
        return "–"
    if estimate["low"] is None:
        return f"{estimate['value']:.2f}{unit}"
    return f"{estimate['value']:.2f}{unit} [{estimate['low']:.2f}, {estimate['high']:.2f}]"


def _end(value: float | None) -> str:
    return "beyond" if value is None else "below" if value == 0.0 else f"{value:.0f}"


def _memory(point: dict[str, Any]) -> str:
    return "–" if point["extra_memory_bytes"] is None else f"{point['extra_memory_bytes'] / 2**20:.1f}"


def _amortized(iteration: dict[str, Any]) -> str:
    mean, middle, most = (1e3 * iteration[key] for key in ("median", "window_median", "window_maximum"))
    return f"{mean:.2f} ({middle:.2f}, {most:.2f})"


def _held_out(held_out: dict[str, Any] | None) -> str:
    return "–" if held_out is None or held_out["floored_error"] is None else f"{held_out['floored_error']:+.0%}"
