"""The error budget: what every statistical property claims, assumes and draws, and how often it errs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from properties.cases.case import Case
from properties.runner.registry import Check, register
from properties.runner.subject import Subject
from properties.statistics.sample import Sample, seeded

#: How often a run of the whole suite may fail a correct implementation by chance.
BUDGET = 1e-5

#: The same for one property, shared by Bonferroni's inequality among all that it compares: 20 of them fit the budget.
ALPHA = 5e-7


class Improbable(AssertionError):
    """A statistic that a correct implementation shows more rarely than its share of ALPHA allows."""


@dataclass(frozen=True)
class Design:
    """One statistical property.

    Attributes:
        null: What holds for a correct implementation.
        assumes: What else the false-alarm rate rests on.
        draws: The fixed sample size, in words.
        alternative: What is found, with the size of the effect.
        beta: The rate at which that is missed, at most.
        alpha: The rate at which a correct implementation fails, at most.
    """

    null: str
    assumes: str
    draws: str
    alternative: str
    beta: float
    alpha: float = ALPHA


_DESIGNS: dict[str, Design] = {}


def error_budget() -> dict[str, Design]:
    """All statistical properties, by name. By Bonferroni's inequality the rates of false alarms add up."""
    return dict(_DESIGNS)


def statistical(
    design: Design, *needs: str, examples: dict[str, Sample], unless: Callable[[Subject], str]
) -> Callable[[Check], Check]:
    """Registers a property that is tried once a run on each of its named cases, and declares its error rates.

    Args:
        design: What it claims.
        needs: See properties.runner.registry.Property.
        examples: All of its cases: nothing is searched for.
        unless: See Property.
    """
    cases: dict[str, Case] = dict(examples)

    def add(check: Check) -> Check:
        _DESIGNS[getattr(check, "__name__", repr(check))] = design
        only = st.sampled_from(list(cases.values()))
        return register(*needs, strategy=lambda _: only, examples=cases, unless=unless, seeded=seeded)(check)

    return add


def assert_probable(what: str, axes: tuple[str, ...], p: np.ndarray, alpha: float, tell: Callable[..., str]) -> None:
    """Compares p-values with their share of a false-alarm rate.

    Args:
        what: What is tested.
        axes: The names of the axes of p.
        p: Of several tests.
        alpha: Of all of them together, shared equally.
        tell: Makes the rest of the message from the index of the smallest p.

    Raises:
        Improbable: where one is at or below its share.
    """
    p = np.asarray(p)
    share = alpha / max(p.size, 1)
    if (p > share).all():  # NaN is improbable
        return
    worst = np.unravel_index(int(np.argmin(np.nan_to_num(p, nan=-1.0))), p.shape)
    where = ", ".join(f"{axis} {int(index)}" for axis, index in zip(axes, worst, strict=True))
    raise Improbable(
        f"{what}{' at ' + where if where else ''}: {tell(*map(int, worst))}; a correct implementation shows this with "
        f"probability {p[worst]:.2g} at most, below the allowed {share:.2g}"
    )
