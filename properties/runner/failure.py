"""What is told of a failure: the numbers, where they are, and how to see them again.

After a Mismatch the runner asks `properties.oracles.arbitrate(case)` whether the oracles agree on the smallest case: ""
where they do, otherwise what they disagree on. Then, or where a check itself raises OraclesDisagree
(properties/runner/compare.py), the property is disputed and no implementation is blamed.
"""

from __future__ import annotations

import traceback
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from properties.cases.case import Case
from properties.runner import plain
from properties.runner.compare import Comparison, Difference, Mismatch, UnitDifference, recorded
from properties.runner.registry import Property
from properties.runner.reproduce import as_code, as_fields, command, script
from properties.runner.subject import Subject

#: Where the suite's own frames of a traceback are.
OWN = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Failure:
    """One property's failure on the smallest case that was found.

    Attributes:
        property: Its name.
        implementation: As the caller named it.
        message: What is wrong.
        case: The case, as code.
        fields: The case, as plain data.
        command: The shell command that tries it again.
        script: The same as a Python program.
        difference: The element that shows it, None where the failure is not about one.
        units: Units whose masks differ outside the rounding band, the first ten.
        samples: The samples that the element belongs to: one, or two for an element of the Gram matrix.
        plain_error: How far plain dense arithmetic of the case's dtype is from float64 at the same element, None
            where it has no such element.
        repeats: Whether the case failed again when it was tried once more.
        traceback: Where in the implementation an error was raised, innermost last; "" for a wrong result.
    """

    property: str
    implementation: str
    message: str
    case: str
    fields: dict[str, Any]
    command: str
    script: str
    difference: Difference | None = None
    units: tuple[UnitDifference, ...] = ()
    samples: tuple[int, ...] = ()
    plain_error: float | None = None
    repeats: bool = True
    traceback: str = ""

    def __str__(self) -> str:
        lines = [self.message]
        if self.difference is not None:
            dtype = self.fields["dtype"]
            plainly = "not to be had" if self.plain_error is None else f"{self.plain_error:.3g}"
            lines.append(
                f"error against float64: the implementation's {self.difference.error:.3g}, "
                f"that of plain dense {dtype} {plainly}"
            )
            if "row" in self.difference.index:
                lines.append(f"of the samples {' and '.join(map(str, self.samples))}")
        lines += [f"layer {unit.layer}, {unit}" for unit in self.units[1:]]
        lines += self.traceback.splitlines()
        if not self.repeats:
            lines.append("the same case did not fail when it was tried again: the implementation is not deterministic")
        return "\n".join([*lines, f"implementation: {self.implementation}", f"case: {self.case}", self.command])

    def as_data(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        data = asdict(self)
        if self.difference is not None:
            data["difference"] |= {"error_over_bound": self.difference.error_over_bound}
        return data


def describe(item: Property, subject: Subject, case: Case, error: BaseException) -> Failure:
    """Tells of a failure by what is known of it: the property, the case on which it failed, and what was raised."""
    difference, units = (error.difference, error.units) if isinstance(error, Mismatch) else (None, ())
    raised = error.__cause__ if isinstance(error, Mismatch) else error
    return Failure(
        item.name,
        subject.name,
        message(error),
        as_code(case),
        as_fields(case),
        command(subject, item.name, case),
        script(subject, item.name, case),
        difference=difference,
        units=units,
        samples=() if difference is None else _samples(difference, case.outputs),
        traceback="" if raised is None else _frames(raised),
    )


def examine(failure: Failure, item: Property, subject: Subject, case: Case) -> Failure:
    """Tries the case twice more: with the implementation, whose counts stay as they are, and with plain arithmetic."""
    comparisons, again = _compared(item, replace(subject), case)
    difference = failure.difference
    if difference is None or not isinstance(again, Mismatch) or again.difference != difference:
        return replace(failure, repeats=again is not None)
    plainly, _ = _compared(item, Subject("plain", plain.factory, run_length=subject.run_length), case)
    return replace(failure, plain_error=_plain_error(difference, comparisons, plainly))


def message(error: BaseException) -> str:
    """The kind of an error and its text, also where an implementation's error cannot be printed."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception as unprintable:
        return f"{type(error).__name__} (its text raises {type(unprintable).__name__})"


def _compared(item: Property, subject: Subject, case: Case) -> tuple[list[Comparison], BaseException | None]:
    with recorded() as comparisons, np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        try:
            item.check(subject, replace(case))  # with arrays of its own
        except (Exception, SystemExit, GeneratorExit) as error:
            return comparisons, error
    return comparisons, None


def _plain_error(difference: Difference, comparisons: list[Comparison], plainly: list[Comparison]) -> float | None:
    """The error in the comparison of the same label that comes at the same place among those of its label."""
    place = sum(comparison.what == difference.what for comparison in comparisons) - 1
    same = [comparison for comparison in plainly if comparison.what == difference.what]
    index = tuple(difference.index.values())
    if place >= len(same) or same[place].got.shape != comparisons[-1].got.shape:
        return None
    return abs(float(same[place].got[index]) - float(same[place].expected[index]))


def _samples(difference: Difference, outputs: int) -> tuple[int, ...]:
    index = difference.index
    if "sample" in index:
        return (index["sample"],)
    return tuple(dict.fromkeys(index[axis] // outputs for axis in ("row", "column") if axis in index))


def _frames(error: BaseException) -> str:
    """The traceback from where it leaves the suite, at most its last five frames."""
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if Path(frame.filename).resolve().parent != OWN]
    return "".join(traceback.format_list(outside[-5:]))
