"""The tables of a comparison of choices, once as plain rows: for a terminal and as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.table import conditions
from reference.contract import PHASES


@dataclass(frozen=True)
class Sheet:
    """A table as text.

    Attributes:
        title: Above it.
        caption: Below it.
        columns: Their heads.
        rows: Each with as many cells; None stands for a line between groups.
    """

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...] | None, ...]


def print_tables(document: dict[str, Any], console: Console) -> None:
    """Prints the contents of choices.json for people.

    Args:
        document: From benchmarks.choices.analysis.
        console: Where.
    """
    for sheet in sheets(document):
        table = Table(title=sheet.title, caption=sheet.caption)
        for column in sheet.columns:
            text = column in ("batch", "choice", "fastest", "least work", "faster")
            table.add_column(column, justify="left" if text else "right", no_wrap=True)
        for row in sheet.rows:
            if row is None:
                table.add_section()
            else:
                table.add_row(*row)
        console.print(table)
    for line in remarks(document):
        console.print(line, highlight=False, markup=False)


def markdown(document: dict[str, Any]) -> str:
    """The same tables and conditions as Markdown."""
    lines = []
    for sheet in sheets(document):
        lines += [f"### {sheet.title}", "", _markdown_row(sheet.columns), "|" + "---|" * len(sheet.columns)]
        lines += [_markdown_row(row) for row in sheet.rows if row is not None]
        lines += ["", sheet.caption[:1].upper() + sheet.caption[1:] + ".", ""]
    return "\n".join([*lines, *(f"- {line}" for line in remarks(document))]) + "\n"


def sheets(document: dict[str, Any]) -> Iterator[Sheet]:
    """For every comparison who is the fastest, the break-even points, and the counted work."""
    for name, comparison in document["comparisons"].items():
        yield _verdicts(name, comparison)
        yield _break_even(comparison)
        yield _work(comparison)


def remarks(document: dict[str, Any]) -> list[str]:
    """For every comparison disagreements, what solvers had to remark, and who won how often; then the conditions."""
    lines = []
    for name, comparison in document["comparisons"].items():
        wrong = 0
        for setting in comparison["settings"]:
            for choice, entry in setting["choices"].items():
                if not entry["agreement"]["agrees"]:
                    wrong += 1
                    lines.append(
                        f"DISAGREES: {choice} at {_described(setting, _PLACE)}: its loss leaves the tolerance around "
                        f"that of {comparison['baseline']}, worst at step {entry['agreement']['step']}, by "
                        f"{_number(entry['agreement']['deviation'], '.2g')} of it"
                    )
        if not wrong:
            lines.append(f"{name}: the losses of all choices agree at every setting and step")
        for setting in comparison["settings"]:
            for choice, entry in setting["choices"].items():
                lines += [f"{choice} at {_described(setting, _PLACE)}: {note}" for note in entry["solve"]["notes"]]
        wins = Counter(setting["fastest"] for setting in comparison["settings"])
        counted = ", ".join(f"{choice} in {wins[choice]}" for choice in comparison["choices"])
        lines.append(f"{name}: the fastest of {len(comparison['settings'])} settings: {counted}")
    problem = document["problem"]
    lines.append(
        f"problem: digits, d = 64, {problem['dtype']}, Gauss–Newton, learning rate {problem['learning_rate']:g}, "
        f"damping {problem['damping']:g}, seed {problem['seed']}, medians of {problem['rounds']} rounds"
        + (f" of {problem['rounds_asked_for']} (interrupted)" if problem["interrupted"] else "")
    )
    lines.append(conditions(document["environment"]))
    return lines


def _verdicts(name: str, comparison: dict[str, Any]) -> Sheet:
    measures, extra, place = comparison["measures"], _EXTRA[name], _varying(comparison)
    rows: list[tuple[str, ...] | None] = []
    for setting in comparison["settings"]:
        for choice, entry in setting["choices"].items():
            estimates = [entry["measures"][measure] for measure in measures]
            rows.append(
                (
                    *(_fixed(setting, key) for key in place),
                    choice,
                    _with_interval(estimates[0], 1e3),
                    *(_significant(1e3 * estimate["value"]) for estimate in estimates[1:]),
                    _with_interval(estimates[0]["ratio"]),
                    *(text(entry) for text in extra.values()),
                    _verdict(setting, choice),
                )
            )
        rows.append(None)
    return Sheet(
        f"{comparison['title']} ({_constant(comparison)})",
        f"{comparison['note']}; ratio: to the best, by {next(iter(measures))}; 95 % intervals over rounds; fastest: "
        "the least median, ≈ where the noise does not tell a choice from it",
        (*place, "choice", *measures.values(), "ratio", *extra, "fastest"),
        tuple(rows),
    )


def _break_even(comparison: dict[str, Any]) -> Sheet:
    axis = comparison["axis"]
    points = comparison["break_even"][0][axis]
    place = [key for key in _varying(comparison) if key != axis]
    rows = tuple(
        (
            *(_fixed(line, key) for key in place),
            line["choice"],
            *(_with_interval(ratio) for ratio in line["ratios"]),
            _faster(line, axis),
        )
        for line in comparison["break_even"]
    )
    return Sheet(
        f"Break-even with {comparison['baseline']}",
        f"time of {comparison['baseline']} over that of the choice: above 1 the choice is faster; faster: where, "
        "interpolated between the points measured, with a 95 % interval over rounds",
        (*place, "choice", *(f"{axis} = {point}" for point in points), "faster"),
        rows,
    )


def _work(comparison: dict[str, Any]) -> Sheet:
    rows: list[tuple[str, ...] | None] = []
    place = _varying(comparison)
    for setting in comparison["settings"]:
        least = min(entry["measured_multiply_adds"] for entry in setting["choices"].values())
        for choice, entry in setting["choices"].items():
            adds = entry["multiply_adds"]
            rows.append(
                (
                    *(_fixed(setting, key) for key in place),
                    choice,
                    *(_millions(adds[phase]) for phase in PHASES),
                    _millions(entry["measured_multiply_adds"]),
                    _number(entry["active_share"], ".1%"),
                    "least" if entry["measured_multiply_adds"] == least else "",
                )
            )
        rows.append(None)
    return Sheet(
        f"{comparison['title'].partition(':')[0]}: counted work of an iteration, millions of multiply-adds",
        "means over the window, the same on every machine; compared: what goes with the time that decides; active: "
        "share of the units",
        (*place, "choice", *PHASES, "compared", "active", "least work"),
        tuple(rows),
    )


_PLACE = ("batch", "n", "b", "m")


def _varying(comparison: dict[str, Any]) -> tuple[str, ...]:
    """What tells the settings of a comparison apart: the rest is said once, in the title."""
    settings = comparison["settings"]
    return tuple(key for key in _PLACE if len({setting[key] for setting in settings}) > 1)


def _constant(comparison: dict[str, Any]) -> str:
    first, varying = comparison["settings"][0], _varying(comparison)
    return _described(first, [*(key for key in _PLACE if key not in varying), "depth"])


def _described(setting: dict[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(_fixed(setting, key) if key == "batch" else f"{key} = {_fixed(setting, key)}" for key in keys)


def _fixed(setting: dict[str, Any], key: str) -> str:
    return "√(0.4 ln m)" if key == "b" and setting["b"] is None else str(setting[key])


def _verdict(setting: dict[str, Any], choice: str) -> str:
    return "fastest" if choice == setting["fastest"] else "≈" if choice in setting["as_fast"] else ""


def _faster(line: dict[str, Any], axis: str) -> str:
    if line["at"] is None:
        return str(line["wins"])
    low, high = (("beyond" if line[end] is None else f"{line[end]:.0f}") for end in ("low", "high"))
    return f"{line['wins']} {axis} = {line['at']:.0f} [{low}, {high}]"


def _with_interval(estimate: dict[str, Any], scale: float = 1.0) -> str:
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if low is None:
        return _significant(scale * value)
    return f"{_significant(scale * value)} [{_significant(scale * low)}, {_significant(scale * high)}]"


def _significant(value: float) -> str:
    """Three digits, or three decimals, without an exponent."""
    digits = next((digits for digits, least in enumerate((100.0, 10.0, 1.0)) if value >= least), 3)
    return f"{value:.{digits}f}"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _millions(count: int | None) -> str:
    return "–" if count is None else _significant(1e-6 * count)


def _markdown_row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


#: What is told of every choice beside its times, by comparison and column.
_EXTRA: dict[str, dict[str, Any]] = {
    "weights": {
        "rank": lambda entry: _number(max(entry["ranks"], default=None), "d"),
        "folds": lambda entry: str(entry["folds"]),
        "recompr.": lambda entry: str(entry["recompressions"]),
    },
    "solver": {
        "steps": lambda entry: _number(entry["solve"].get("iterations"), "d"),
        "κ before": lambda entry: _number(entry["solve"].get("condition_before"), ".1e"),
        "κ after": lambda entry: _number(entry["solve"].get("condition_after"), ".1e"),
        "error": lambda entry: _number(entry["solve"].get("backward_error"), ".1e"),
    },
    "gram": {},
}
