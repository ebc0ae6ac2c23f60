"""Pieces of HTML. What comes from a document becomes HTML only by `shown`, which escapes it; the types see to that."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NewType

Html = NewType("Html", str)

DASH = Html("–")
NOTHING = Html("")


def shown(value: object) -> Html:
    """Text from anywhere, escaped; a character that is none is shown as �."""
    text = "".join(character if character.isprintable() else "�" for character in str(value))
    return Html(html.escape(text))


def joined(*parts: Html, by: str = "") -> Html:
    """Pieces after one another."""
    return Html(html.escape(by).join(parts))


def element(tag: str, *content: Html, **attributes: object) -> Html:
    """An element; `class_` is the attribute class, and a true attribute has no value."""
    written = "".join(
        f" {name.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{html.escape(str(value))}"')
        for name, value in attributes.items()
    )
    return Html(f"<{tag}{written}>{''.join(content)}</{tag}>")


def number(value: float | None, form: Callable[[float], str] | str = ".2f") -> Html:
    """A number for people, which carries the exact one as its `value`; a dash for None."""
    if value is None:
        return DASH
    text = form(value) if callable(form) else plain_number(value, form)
    return element("data", shown(text), value=repr(value))


def estimate(found: Mapping[str, Any], form: Callable[[float], str] | str = ".2f") -> Html:
    """A value with its interval, if it has one."""
    if found["value"] is None:
        return DASH
    return joined(number(found["value"], form), interval(found, form))


def interval(found: Mapping[str, Any], form: Callable[[float], str] | str = ".2f") -> Html:
    """A space and an interval in brackets, or nothing; counted work has none."""
    ends = found.get("low"), found.get("high")
    if ends == (None, None):
        return NOTHING
    low, high = (number(end, form) for end in ends)
    return Html(f' <span class="interval">[{low}, {high}]</span>')


def plain_number(value: float, form: str) -> str:
    """A number by a format specification, with a true minus sign, and none before a zero."""
    text = format(value, form)
    if text.startswith("-") and not text.strip("-0.%"):
        text = text[1:]
    return text.replace("-", "−")


def percent(value: float) -> str:
    """12.3 %"""
    return plain_number(100.0 * value, ".1f") + " %"


def signed_percent(value: float) -> str:
    """+12 %"""
    return plain_number(100.0 * value, "+.0f") + " %"


def significant(value: float) -> str:
    """Three digits that count, without an exponent where it is readable: 0.0123, 1.23, 1230."""
    if value == 0.0 or not 1e-4 <= abs(value) < 1e6:
        return plain_number(value, ".3g")
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return plain_number(value, f".{digits}f")


def milliseconds(value: float) -> str:
    """Seconds in milliseconds, without the unit."""
    return significant(1e3 * value)


def megabytes(value: float) -> str:
    """Bytes in MB, without the unit."""
    return significant(1e-6 * value)


def row(header: Html, *cells: Html, class_: str = "") -> Html:
    """A row of a table, its first cell a header."""
    return line(element("th", header, scope="row"), *(element("td", cell) for cell in cells), class_=class_)


def line(*cells: Html, class_: str = "") -> Html:
    """A row of a table of ready cells."""
    return element("tr", *cells, **({"class_": class_} if class_ else {}))


def table(name: str, caption: Html, columns: Sequence[Html], *bodies: Sequence[Html]) -> Html:
    """A table that scrolls within a box of its own.

    Args:
        name: Its id.
        caption: What it shows.
        columns: Their headers.
        bodies: Groups of rows, from `row` and `line`.
    """
    written = element(
        "table",
        element("caption", element("span", caption), id=f"{name}-caption"),
        element("thead", line(*(element("th", column, scope="col") for column in columns))),
        *(element("tbody", *rows) for rows in bodies),
        id=name,
    )
    return element("div", written, class_="scroll", role="region", aria_labelledby=f"{name}-caption", tabindex=0)
