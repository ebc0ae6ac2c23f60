"""Whether a document has the structure that benchmarks/analysis.py gives it: a report trusts no file.

A check takes a value and the path to it, and raises ArgumentError naming both.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from benchmarks.analysis import ALL_PHASES, SCHEMA
from reference.contract import ArgumentError

Check = Callable[[Any, str], None]

NAME = "scaling.json"


def check_structure(document: Any) -> None:
    """Checks the contents of scaling.json, as far as a report reads them.

    Raises:
        ArgumentError: for another schema, what is missing, and values of another type.
    """
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = f"schema {document['schema']!r}" if isinstance(document, dict) and "schema" in document else "none"
        raise ArgumentError(NAME, f"a measurement of schema {SCHEMA}", found)
    _DOCUMENT(document, "")
    _check_names_and_widths(document)


def _check_names_and_widths(document: dict[str, Any]) -> None:
    """Every implementation has a point, every rival a speed-up, for every width."""
    widths, implementations = document["problem"]["widths"], document["implementations"]
    if sorted(set(widths)) != widths or not widths:
        _refuse("problem.widths", "increasing widths", widths)
    if document["baseline"] not in implementations:
        _refuse("baseline", "the name of an implementation", document["baseline"])
    for name, implementation in implementations.items():
        if [point["m"] for point in implementation["points"]] != widths:
            _refuse(f"implementations.{name}.points", "one for each width", [p["m"] for p in implementation["points"]])
    rivals = implementations.keys() - {document["baseline"]}
    for key in ("speedups", "speedups_between_spikes", "crossover"):
        if document[key].keys() != rivals:
            _refuse(key, f"the names {sorted(rivals)}", sorted(document[key]))
    for key in ("speedups", "speedups_between_spikes"):
        for name, by_width in document[key].items():
            if set(by_width) != set(map(str, widths)):
                _refuse(f"{key}.{name}", "one for each width", sorted(by_width))


def _refuse(path: str, expected: str, value: object) -> NoReturn:
    got = repr(value)
    raise ArgumentError(f"{NAME}: {path}", expected, got if len(got) <= 80 else got[:77] + "…")


def _number(value: Any, path: str) -> None:
    # 1e999 is read as infinity, and a whole number may have thousands of digits
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        _refuse(path, "a finite number", value)


def _positive(value: Any, path: str) -> None:
    _number(value, path)
    if value <= 0:
        _refuse(path, "a positive number", value)


def _whole(value: Any, path: str) -> None:
    _positive(value, path)
    if not isinstance(value, int):
        _refuse(path, "a whole number", value)


def _text(value: Any, path: str) -> None:
    if not isinstance(value, str):
        _refuse(path, "a string", value)


def _flag(value: Any, path: str) -> None:
    if not isinstance(value, bool):
        _refuse(path, "true or false", value)


def _anything(value: Any, path: str) -> None:
    pass


def _or_null(check: Check) -> Check:
    return lambda value, path: None if value is None else check(value, path)


def _list(check: Check) -> Check:
    def check_list(value: Any, path: str) -> None:
        if not isinstance(value, list):
            _refuse(path, "a list", value)
        for number, item in enumerate(value):
            check(item, f"{path}[{number}]")

    return check_list


def _mapping(check: Check) -> Check:
    def check_mapping(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            _refuse(path, "an object", value)
        for key, item in value.items():
            check(item, f"{path}.{key}")

    return check_mapping


def _record(fields: dict[str, Check]) -> Check:
    def check_record(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            _refuse(path or "the document", "an object", value)
        for key, check in fields.items():
            if key not in value:
                _refuse(path or "the document", f"an object with the key {key!r}", sorted(value))
            check(value[key], f"{path}.{key}".removeprefix("."))

    return check_record


def _fields(keys: Iterable[str], check: Check) -> dict[str, Check]:
    return dict.fromkeys(keys, check)


_MAYBE = _or_null(_number)
_ESTIMATE = _fields(("value", "low", "high"), _MAYBE)
_COUNTS = _fields(("multiply_adds", "bytes"), _MAYBE)

_TIME = _record(
    {
        **_ESTIMATE,
        "floored": _record({**_ESTIMATE, "floor_seconds": _MAYBE}),
        "regime": _or_null(_record({"text": _text})),
        "held_out": _or_null(_record(_fields(("m", "plain_error", "floored_error"), _MAYBE))),
    }
)
_PHASE = {"seconds": _list(_number), **_fields(("median", "window_median", "window_maximum"), _MAYBE), **_COUNTS}
_SQUARE = {"square_layers": _record(_COUNTS)}
_ITERATION = {"seconds": _list(_positive)}
_POINT = _record(
    {
        "m": _whole,
        "phases": _record(
            {
                **_fields(ALL_PHASES, _record({**_PHASE, **_SQUARE})),
                "iteration": _record({**_PHASE, **_SQUARE, **_ITERATION}),
            }
        ),
        "agreement": _record({"agrees": _flag, "deviation": _MAYBE, "step": _number}),
        "extra_memory_bytes": _MAYBE,
        "weight_matrix_bytes": _positive,
    }
)
_IMPLEMENTATION = _record(
    {
        "factory": _text,
        "points": _list(_POINT),
        "exponents": _record(
            _fields(ALL_PHASES, _record({"work": _record(_fields(("value", "bytes"), _MAYBE)), "time": _TIME}))
        ),
        "memory_exponent": _record({"value": _MAYBE}),
    }
)
_SPEEDUPS = _mapping(_mapping(_record(_ESTIMATE)))
_DOCUMENT = _record(
    {
        "environment": _mapping(_anything),
        "problem": _record(
            {
                **_fields(("data", "dtype", "ended_by"), _text),
                **_fields(("samples", "dimension", "depth", "iterations", "rounds"), _whole),
                "widths": _list(_whole),
                "interrupted": _flag,
            }
        ),
        "implementations": _mapping(_IMPLEMENTATION),
        "baseline": _text,
        "speedups": _SPEEDUPS,
        "speedups_between_spikes": _SPEEDUPS,
        "crossover": _mapping(_record({**_fields(("m", "low", "high"), _MAYBE), "where": _text})),
        "theory": _mapping(_record({"work": _MAYBE, "local": _list(_number)})),
    }
)
