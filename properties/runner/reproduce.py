"""A failure once more: cases as code, the command that tries one of them, and the same as a script."""

from __future__ import annotations

import ast
import difflib
import shlex
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

import numpy as np

from properties.cases.case import Case
from properties.runner.registry import REGISTRY, Property
from properties.runner.subject import Subject
from reference.contract import load_factory
from reference.contract.arguments import ArgumentError


def reproduce(implementation: str, name: str, case: Case, *, device: str = "cpu", run_length: int = 8) -> None:
    """Tries one case; what the check raises comes through, for a debugger.

    Args:
        implementation: "package.module:factory".
        name: The property's.
        case: The case.
        device: A torch device.
        run_length: See Subject.
    """
    item = property_named(name)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        item.check(Subject(implementation, load_factory(implementation), device, run_length=run_length), case)


def property_named(name: str) -> Property:
    """The property of that name.

    Raises:
        ArgumentError: where there is none.
    """
    for item in REGISTRY:
        if item.name == name:
            return item
    names = [item.name for item in REGISTRY]
    likely = difflib.get_close_matches(name, names, n=5, cutoff=0.3) or names
    raise ArgumentError("--only", f"the name of a property, such as {', '.join(likely)}", repr(name))


def command(subject: Subject, name: str, case: Case) -> str:
    """The shell command that tries one case again."""
    words = ["python", "-m", "properties", "--impl", subject.name, "--only", name]
    if subject.device != "cpu":
        words += ["--device", subject.device]
    if subject.run_length != Subject.run_length:
        words += ["--run-length", str(subject.run_length)]
    return shlex.join([*words, "--reproduce", as_code(case)])


def script(subject: Subject, name: str, case: Case) -> str:
    """A Python program that tries one case again, and ends with the failure's own traceback."""
    return (
        f"from {type(case).__module__} import {type(case).__name__}\n"
        "from properties.runner.reproduce import reproduce\n\n"
        f"case = {as_code(case)}\n"
        f"reproduce({subject.name!r}, {name!r}, case, device={subject.device!r}, run_length={subject.run_length})\n"
    )


def as_code(case: Case) -> str:
    """The call that makes a case, with what differs from the defaults."""
    arguments = [
        f"{field.name}={getattr(case, field.name)!r}"
        for field in _arguments(case)
        if field.default is MISSING or getattr(case, field.name) != field.default
    ]
    return f"{type(case).__name__}({', '.join(arguments)})"


def as_fields(case: Case) -> dict[str, Any]:
    """A case as plain data: what is not a number, a string or a tuple of them is given as code."""
    return {field.name: _plain(getattr(case, field.name)) for field in _arguments(case)}


def from_code(text: str) -> Case:
    """Makes a case from what `as_code` or its repr says; nothing else is evaluated.

    Raises:
        ArgumentError: for other code, unknown fields, or fields that make no case.
    """
    try:
        case = _value(ast.parse(text, mode="eval").body)
    except (SyntaxError, TypeError, ValueError) as error:
        raise ArgumentError("--reproduce", "code as in Case(widths=(3,), seed=1)", f"{text!r} ({error})") from error
    if not isinstance(case, Case):
        raise ArgumentError("--reproduce", "code as in Case(widths=(3,), seed=1)", repr(text))
    return case


def _arguments(case: Case) -> Iterator[Field[Any]]:
    return (field for field in fields(case) if field.init)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


def _value(node: ast.expr) -> Any:
    """Literals, tuples of values, and calls of the classes that cases are made of."""
    if isinstance(node, ast.Tuple):
        return tuple(_value(part) for part in node.elts)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in (known := _classes(Case)):
        arguments = {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
        return known[node.func.id](*map(_value, node.args), **arguments)
    return ast.literal_eval(node)


def _classes(base: type[Any]) -> dict[str, type]:
    """A class and all below it, by name, with the dataclasses of their modules, of which fields may be made."""
    found: dict[str, type] = {
        name: value
        for name, value in vars(sys.modules[base.__module__]).items()
        if isinstance(value, type) and is_dataclass(value)
    }
    for subclass in base.__subclasses__():
        found |= _classes(subclass)
    return found
