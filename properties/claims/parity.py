"""Properties of devices: what a device computes is what the same implementation computes on the CPU."""

from __future__ import annotations

import numpy as np

from properties.cases.case import Case
from properties.cases.strategies import NAMED_CASES, cases
from properties.claims.steps import expected_weights, take
from properties.runner.compare import assert_close
from properties.runner.registry import register
from properties.runner.subject import Subject
from properties.tolerances.rounding import Bounded

CORNERS = {
    name: NAMED_CASES[name]
    for name in ("default threshold", "four layers", "three outputs", "float32", "dead samples", "softmax, float32")
}


def _is_the_cpu(subject: Subject) -> str:
    return f"the device is {subject.device}, the CPU itself" if subject.device.partition(":")[0] == "cpu" else ""


@register(
    "step",
    "forward",
    "to_network",
    "active_sets",
    strategy=cases,
    examples=CORNERS,
    weight=0.5,
    unless=_is_the_cpu,
)
def results_on_the_device_are_those_on_the_cpu(subject: Subject, case: Case) -> None:
    """Outputs and the weights after a step, where ambiguous units are decided alike; within the bounds of both."""
    host = Subject(subject.name, subject.factory, "cpu")
    there, here = subject.build(case), host.build(case)
    masks = [[np.asarray(mask) for mask in side.active_sets(case.X)] for side in (there, here)]
    oracle = subject.replay(case, there)
    host.replay(case, here)
    if any((a != b).any() for a, b in zip(*masks, strict=True)):
        return
    assert_close(
        "forward on the device against the CPU",
        ("sample", "output"),
        there.forward(case.X),
        Bounded(here.forward(case.X).astype(np.float64), 2.0 * oracle.outputs.error),
    )
    for method in subject.capabilities.methods:
        there, here = subject.build(case), host.build(case)
        bounds = expected_weights(subject, case, there, there.to_network(), method)
        if bounds is None:
            continue
        take(there, case, method)
        take(here, case, method)
        for layer, (got, expected, bound) in enumerate(
            zip(there.to_network().weights, here.to_network().weights, bounds, strict=True), start=1
        ):
            assert_close(
                f"weights after {method} on the device against the CPU, layer {layer}",
                ("unit", "input"),
                got,
                Bounded(expected.astype(np.float64), 2.0 * bound.error),
            )
