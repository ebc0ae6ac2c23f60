"""The folder of a run on a device: written anew whenever something is complete, so that nothing is lost with it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.contestant import Contestant
from benchmarks.device.analysis import device_document, scaling
from benchmarks.device.plan import Findings, Plan, Trouble
from benchmarks.device.tables import markdown
from benchmarks.files import raw_samples, write_atomically
from reference.contract import Problem


class Written(NamedTuple):
    """What was written.

    Attributes:
        paths: Of the files.
        document: The contents of cuda.json.
        sweep: Those of scaling.json; None where there is none.
        text: Those of cuda.md.
    """

    paths: list[Path]
    document: dict[str, Any]
    sweep: dict[str, Any] | None
    text: str

    @property
    def right(self) -> bool:
        """Whether nothing failed, and results agree with the dense rival's."""
        swept = [] if self.sweep is None else self.sweep["implementations"].values()
        agree = all(point["agreement"]["agrees"] for entry in swept for point in entry["points"])
        return agree and not any(trouble["failed"] for trouble in self.document["trouble"])


def write_files(
    plan: Plan, findings: Findings, problem: Problem, contestants: list[Contestant], folder: Path
) -> Written:
    """Writes cuda.json, cuda.md, scaling.csv, and scaling.json where enough widths are whole."""
    trouble = list(findings.trouble)
    try:
        sweep = scaling(plan, findings, problem, contestants)
    except (ArithmeticError, ValueError) as error:  # the raw figures are worth more than what is made of them
        sweep = None
        trouble.append(Trouble("analysis", "scaling.json", str(error), True))
    document = device_document(plan, replace(findings, trouble=trouble), sweep)
    text = markdown(document, sweep)
    contents = {"cuda.json": _json(document), "cuda.md": text, "scaling.csv": _csv(plan, findings)}
    if sweep is not None:
        contents["scaling.json"] = _json(sweep)
    else:
        (folder / "scaling.json").unlink(missing_ok=True)  # of another run
    for name, content in contents.items():
        write_atomically(folder / name, content.encode())
    return Written([folder / name for name in contents], document, sweep, text)


def _csv(plan: Plan, findings: Findings) -> str:
    """All whole windows, those of widths and rounds that are not whole, too."""
    order = [(name, m) for name in plan.implementations for m in plan.widths]
    visits = {point: findings.visits[point] for point in order if point in findings.visits}
    return raw_samples(visits)


def _json(document: dict[str, Any]) -> str:
    return json.dumps(_finite(document), indent=1, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """Numbers that JSON does not have become null."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
