"""Anybody's costs, read from a CSV file and put through the estimators of a sweep.

A row is one sample: a width, a cost, and where the file has them a round and the columns that tell groups apart.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.analysis import time_exponent_document
from benchmarks.scaling import Interval, crossover, ratios, time_exponent
from benchmarks.scaling.power_law import FEWEST_WIDTHS
from reference.contract import ArgumentError
from reference.contract.shapes import Float

SCHEMA = 1


@dataclass(frozen=True)
class Columns:
    """Which columns of the file hold what.

    Attributes:
        width: m.
        cost: In any unit.
        round: What is equal for samples taken close together in time; None where there is no such column, and then
            the k-th row of a width within its group is of the k-th round.
        group: Their values together name a group.
    """

    width: str
    cost: str
    round: str | None
    group: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """The samples of one group.

    Attributes:
        name: Its values of the grouping columns.
        m: Widths, increasing.
        rounds: Names of the rounds that hold every width, in the order of the file.
        dropped: Names of the others.
        cost: Of those rounds.
    """

    name: tuple[str, ...]
    m: Float[np.ndarray, " widths"]
    rounds: tuple[str, ...]
    dropped: tuple[str, ...]
    cost: Float[np.ndarray, "rounds widths"]


def read_groups(path: Path, columns: Columns) -> list[Group]:
    """Reads a file's groups, in the order in which they appear.

    Args:
        path: A CSV file with a header.
        columns: Which columns hold what.

    Raises:
        ArgumentError: for a file that cannot be read, a missing column, a width or cost that is not positive, two
            samples of one group, round and width, a group with too few widths or without a complete round.
    """
    samples: dict[tuple[str, ...], dict[str, dict[float, float]]] = {}
    for line, row in _rows(path, (columns.width, columns.cost, columns.round, *columns.group)):
        name = tuple(row[column] for column in columns.group)
        m, cost = (_positive(row[column], column, line) for column in (columns.width, columns.cost))
        rounds = samples.setdefault(name, {})
        if columns.round is None:
            number = str(sum(m in of_round for of_round in rounds.values()))
        else:
            number = row[columns.round]
        of_round = rounds.setdefault(number, {})
        if m in of_round:
            raise ArgumentError(
                "data",
                "one sample for each group, round and width",
                f"another of {title(name)}, round {number}, width {m:g} in line {line}",
            )
        of_round[m] = cost
    if not samples:
        raise ArgumentError("data", "rows of samples", f"none in {str(path)!r}")
    return [_group(name, rounds) for name, rounds in samples.items()]


def header(path: Path) -> tuple[str, ...]:
    """The names of a file's columns.

    Raises:
        ArgumentError: for a file that cannot be read.
    """
    for _, fields in _lines(path):
        return tuple(field.strip() for field in fields)
    raise ArgumentError("data", "a header and rows of samples", f"nothing in {str(path)!r}")


def fit(groups: Sequence[Group], columns: Columns, baseline: str | None) -> dict[str, Any]:
    """Everything that the estimators say of the groups, in plain JSON types.

    Args:
        groups: From read_groups.
        columns: Likewise.
        baseline: The value of the first grouping column whose groups the others are held against.

    Raises:
        ArgumentError: for a baseline that no group has, or groups that share no round and two widths with theirs.
    """
    return {
        "schema": SCHEMA,
        "columns": {"width": columns.width, "cost": columns.cost, "round": columns.round, "group": list(columns.group)},
        "baseline": baseline,
        "groups": [
            {
                "name": list(group.name),
                "widths": group.m.tolist(),
                "rounds": len(group.rounds),
                "dropped_rounds": list(group.dropped),
                "time": time_exponent_document(time_exponent(group.m, group.cost)),
                "against_baseline": _against(group, rival) if rival is not None else None,
            }
            for group, rival in zip(groups, _rivals(groups, columns, baseline), strict=True)
        ],
    }


def title(name: Sequence[str]) -> str:
    """A group's name, for people."""
    return ", ".join(name) or "all rows"


def _rivals(groups: Sequence[Group], columns: Columns, baseline: str | None) -> list[Group | None]:
    """For every group that of the baseline which it is held against; None for the baseline's own and without one."""
    if baseline is None:
        return [None] * len(groups)
    if not columns.group:
        raise ArgumentError("--baseline", "a grouping column that has it", "none (--group names them)")
    values = {group.name[0]: None for group in groups}
    if baseline not in values:
        raise ArgumentError("--baseline", f"one of {', '.join(values)}, from column {columns.group[0]!r}", baseline)
    of_name = {group.name: group for group in groups}
    return [None if group.name[0] == baseline else of_name.get((baseline, *group.name[1:])) for group in groups]


def _against(group: Group, rival: Group) -> dict[str, Any]:
    """The baseline's cost over the group's, and from which width on the group costs less, in the rounds of both."""
    rounds = [number for number in group.rounds if number in rival.rounds]
    m = np.intersect1d(group.m, rival.m)
    if not rounds or len(m) < 2:
        raise ArgumentError(
            "--baseline",
            "groups that share a complete round and two widths with its own",
            f"{len(rounds)} rounds and {len(m)} widths shared by {title(rival.name)} and {title(group.name)}",
        )
    slow, fast = (
        one.cost[[one.rounds.index(number) for number in rounds]][:, np.isin(one.m, m)] for one in (rival, group)
    )
    crossing = crossover(m, slow, fast)
    where = "below the widths measured" if crossing.m == 0.0 else "in range"
    return {
        "rounds": len(rounds),
        "rounds_not_shared": [number for one in (group, rival) for number in one.rounds if number not in rounds],
        "widths": m.tolist(),
        "widths_not_shared": np.setxor1d(group.m, rival.m).tolist(),
        "ratios": [{"value": ratio.value, **_ends(ratio.interval)} for ratio in ratios(slow, fast)],
        "crossover": {
            "m": crossing.m if 0.0 < crossing.m < math.inf else None,
            "where": where if crossing.m < math.inf else "none in range",
            **_ends(crossing.interval),
        },
    }


def _group(name: tuple[str, ...], rounds: dict[str, dict[float, float]]) -> Group:
    m = sorted({width for of_round in rounds.values() for width in of_round})
    if len(m) < FEWEST_WIDTHS:
        raise ArgumentError("data", f"at least {FEWEST_WIDTHS} widths for every group", f"{len(m)} in {title(name)}")
    whole = [number for number, of_round in rounds.items() if len(of_round) == len(m)]
    if not whole:
        raise ArgumentError("data", "a round with every width for every group", f"none in {title(name)}")
    return Group(
        name,
        np.array(m),
        tuple(whole),
        tuple(number for number in rounds if number not in whole),
        np.array([[rounds[number][width] for width in m] for number in whole]),
    )


def _rows(path: Path, needed: Sequence[str | None]) -> Iterator[tuple[int, dict[str, str]]]:
    """Every row but the header by column, with the number of its line."""
    names = header(path)
    for column in needed:
        if column is not None and names.count(column) != 1:
            raise ArgumentError("data", f"one column {column!r}", f"{', '.join(names)} in {str(path)!r}")
    lines = _lines(path)
    next(lines)
    for line, fields in lines:
        if len(fields) != len(names):
            raise ArgumentError("data", f"{len(names)} fields in every line", f"{len(fields)} in line {line}")
        yield line, dict(zip(names, map(str.strip, fields), strict=True))


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The fields of every line that is not empty, with its number."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for fields in reader:
                if fields:
                    yield reader.line_num, fields
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ArgumentError("data", "a CSV file that can be read", f"{str(path)!r} ({error})") from None


def _positive(text: str, column: str, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise ArgumentError("data", f"positive finite numbers in column {column!r}", f"{text!r} in line {line}")
    return value


def _ends(interval: Interval) -> dict[str, float | None]:
    """Both ends; None for an infinite one, and for none at all."""
    return {end: value if math.isfinite(value) else None for end, value in interval._asdict().items()}
