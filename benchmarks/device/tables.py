"""The tables of a run on a device, in Markdown: for the terminal, and for pasting."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, median
from typing import Any

from benchmarks.contestant import DENSE
from benchmarks.report.setting import conditions, method
from reference.contract import PHASES

GIB, MB = 2.0**30, 1e6
NOTHING = "–"


def markdown(document: dict[str, Any], sweep: dict[str, Any] | None) -> str:
    """All tables, with the conditions.

    Args:
        document: The contents of cuda.json.
        sweep: The contents of scaling.json, where there are any.
    """
    parts = [_title(document), _conditions(document), _limits(document), _widths(document, sweep)]
    parts += [_phases(document, name) for name in document["phases"]]
    parts += [_parity(document), _counters(document), _trouble(document)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(document: dict[str, Any]) -> str:
    if document["rehearsal"]:
        return "# A rehearsal on the CPU\n\nNo figure below is of a GPU."
    return f"# A run on {document['environment'].get('device', document['plan']['device'])}"


def _conditions(document: dict[str, Any]) -> str:
    environment, plan = document["environment"], document["plan"]
    if not environment:
        return "The process that has the device has never answered."
    gpu = environment.get("gpu") or {}
    about = [
        f"{method(plan)} on {plan['data']}, n = {plan['samples']}, depth {plan['depth']}, {plan['dtype']}, windows of "
        f"{plan['iterations']} iterations from the initial weights on; implementations take turns, one is alive at a "
        f"time; ended by {document['ended_by']}",
        conditions(environment),
        f"CUDA {environment['cuda']}, driver {environment['driver'] or 'unknown'}, float32 products "
        f"{environment['float32_matmul_precision']}, compute capability {gpu.get('compute_capability', NOTHING)}, "
        f"{_gib(gpu.get('memory_bytes'))} GiB",
    ]
    together = document["together_bytes"]
    if together is not None:
        about.append(f"held at once at m = {plan['widths'][-1]}, all of them would take {_gib(together)} GiB")
    return "\n".join(f"- {line}" for line in about)


def _limits(document: dict[str, Any]) -> str:
    limits = document["limits"]
    if limits is None:
        return ""
    return (
        f"Measured limits: copy {limits['copy'] / 1e9:.0f} GB/s, read {limits['read'] / 1e9:.0f} GB/s "
        f"({limits['buffer'] / GIB:.2g} GiB), products {2 * limits['multiply_adds'] / 1e12:.2f} TFLOP/s (a square one "
        f"of {limits['size']}, {document['plan']['dtype']})."
    )


def _widths(document: dict[str, Any], sweep: dict[str, Any] | None) -> str:
    plan = document["plan"]
    names, rivals = list(plan["implementations"]), [name for name in plan["implementations"] if name != DENSE]
    points = {(point["implementation"], point["m"]): point for point in document["points"]}
    cut = {(point["implementation"], point["m"]): point for point in document["partial"]}
    rows = []
    for m in plan["widths"]:
        dense, cells = points.get((DENSE, m)), [str(m)]
        cells += [_time(points.get((name, m)), cut.get((name, m))) for name in names]
        known = {name: (document["speedups"] or {}).get(name, {}).get(str(m)) for name in rivals}
        cells += [_ratio(dense, points.get((name, m)), known[name]) for name in rivals]
        cells.append(_percent(dense and dense["share_of_limit"]))
        cells += [_peak(points.get((name, m))) for name in names]
        rows.append(cells)
    header = ["m", *(f"{name}, ms" for name in names), *(f"{DENSE} / {name}" for name in rivals)]
    header += [f"{DENSE}, of its limit", *(f"{name}, peak GiB" for name in names)]
    lines = [_table(header, rows)]
    lines.append(
        "In parentheses the median iteration; ~ the median of a window that was cut off. Of its limit: the time of the "
        "dense rival's bytes or products, whichever is longer, phase by phase, at the measured limits, over its time."
    )
    for name, crossover in (sweep["crossover"] if sweep else {}).items():
        where = crossover["where"] if crossover["m"] is None else f"m = {crossover['m']:.0f}"
        ends = "" if crossover["m"] is None else f" [{_end(crossover['low'])}, {_end(crossover['high'])}]"
        lines.append(f"Crossover, from where on {name} is faster than {DENSE}: {where}{ends}.")
    if sweep is not None:
        lines += _agreement(sweep)
    return "\n\n".join(lines)


def _agreement(sweep: dict[str, Any]) -> list[str]:
    lines = []
    for name, entry in sweep["implementations"].items():
        wrong = [str(point["m"]) for point in entry["points"] if not point["agreement"]["agrees"]]
        if wrong:
            lines.append(f"DISAGREES: losses or outputs of {name} are not those of {DENSE} at m = {', '.join(wrong)}.")
    if not lines:
        lines.append(f"Losses of every step and final outputs agree with those of {DENSE} at every whole width.")
    for name, entry in sweep["implementations"].items():
        notes = sorted({note for point in entry["points"] for note in point["notes"]})
        if notes:
            lines.append(f"Notes of {name}: {'; '.join(notes)}.")
    return lines


def _phases(document: dict[str, Any], name: str) -> str:
    entry = document["phases"][name]
    rows = []
    for phase in (*PHASES, "iteration"):
        figures, cells = entry["phases"][phase], [phase]
        for kind in ("amortized", "between_anchors"):
            seconds, moved = figures[f"{kind}_seconds"], figures[f"{kind}_bytes"]
            at_best = figures[f"{kind}_bytes_seconds"]
            cells += [_ms(seconds), NOTHING if moved is None else f"{moved / MB:.1f}", _ms(at_best)]
            cells.append(f"{seconds / at_best:.1f}" if seconds and at_best else NOTHING)
        rows.append(cells)
    columns = ["MB", "MB / bandwidth, ms", "ratio"]
    table = _table(["phase", "ms", *columns, "ms, between anchors", *columns], rows)
    return f"Where the time of {name} goes at m = {entry['m']}, amortized and between anchors:\n\n{table}"


def _parity(document: dict[str, Any]) -> str:
    states = ("passed", "failed", "skipped")
    rows = [
        [run["implementation"], run["dtype"], *(str(run["counts"][state]) for state in states), str(run["cases"])]
        for run in document["parity"]
    ]
    title = "Properties on the device:\n\n"
    return title + _table(["implementation", "dtype", *states, "cases"], rows) if rows else ""


def _counters(document: dict[str, Any]) -> str:
    rows = [
        [entry["implementation"], str(entry["m"]), str(entry["steps"]), "equal" if entry["equal"] else "DIFFERENT"]
        for entry in document["counters"]
    ]
    title = "Counted work in float64, on the device against the CPU:\n\n"
    return title + _table(["implementation", "m", "steps", "counts"], rows) if rows else ""


def _trouble(document: dict[str, Any]) -> str:
    lines = [
        f"- {'FAILED' if entry['failed'] else 'left out'}: {entry['part']}, {entry['where']}: {entry['reason']}"
        for entry in document["trouble"]
    ]
    if not lines:
        return "Nothing failed, and nothing was left out."
    return "What failed or was left out:\n\n" + "\n".join(lines)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(header), ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _time(point: dict[str, Any] | None, cut: dict[str, Any] | None) -> str:
    if point is not None:
        return f"{_ms(median(point['seconds']))} ({_ms(point['median_iteration_seconds'])})"
    return f"~{_ms(cut['median_iteration_seconds'])}" if cut is not None else NOTHING


def _ratio(dense: dict[str, Any] | None, theirs: dict[str, Any] | None, known: dict[str, Any] | None) -> str:
    """The speed-up with its interval; of a width that is not whole, the bare ratio of the means."""
    if dense is None or theirs is None:
        return NOTHING
    if known is None:
        return f"{mean(dense['seconds']) / mean(theirs['seconds']):.3g}"
    ends = "" if known["low"] is None else f" [{known['low']:.3g}, {known['high']:.3g}]"
    return f"{known['value']:.3g}{ends}"


def _ms(seconds: float | None) -> str:
    return NOTHING if seconds is None else f"{1e3 * seconds:.3g}" if seconds < 1.0 else f"{1e3 * seconds:.0f}"


def _gib(size: float | None) -> str:
    return NOTHING if size is None else f"{size / GIB:.1f}"


def _peak(point: dict[str, Any] | None) -> str:
    return NOTHING if point is None or point["memory"] is None else _gib(point["memory"]["peak"])


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.0%}"


def _end(value: float | None) -> str:
    return "beyond" if value is None else "below" if value == 0.0 else f"{value:.0f}"
