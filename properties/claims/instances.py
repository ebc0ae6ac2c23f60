"""Properties of several instances in one process: what one of them was asked changes nothing for the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from properties.cases.case import Case
from properties.cases.strategies import NAMED_CASES, cases
from properties.runner.compare import assert_close, assert_identical
from properties.runner.registry import register
from properties.runner.subject import Subject

CORNERS = {name: NAMED_CASES[name] for name in ("one sample", "three outputs", "float32", "readout bias")}


@register("forward", "active_sets", strategy=cases, examples=CORNERS, weight=0.2)
def results_do_not_depend_on_another_instance(subject: Subject, case: Case) -> None:
    """Two networks of the same shapes are asked about the same samples in turn: each answers for its own weights."""
    other = replace(case, seed=case.seed + 1).network
    first, second = subject.build(case), subject.build(case, other)
    subject.replay(case, first)
    alone = np.array(first.forward(case.X))
    oracle = subject.replay(case, second, other)
    assert_close("forward of the other instance", ("sample", "output"), second.forward(case.X), oracle.outputs)
    subject.replay(case, first)
    assert_identical("forward, after another instance's", ("sample", "output"), first.forward(case.X), alone)
