"""Every combination of weights × solver × activation × loss against the properties: `python -m tests.impl.choices`.

In a process of its own, where no array annotation is checked: that takes five times as long as the combinations.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import product

import impl
from properties.cases.case import Case
from properties.cases.strategies import NAMED_CASES, cases
from properties.suite import REGISTRY, Subject, run_property
from reference.contract import ACTIVATIONS, LOSSES, configured

WEIGHTS = {
    "eager": {},
    "lazy, folding": {"weights": "lazy"},
    "lazy, keeping": {"weights": "lazy", "maintenance": "keep"},
}
SOLVERS = ("cholesky", "cg", "sketched-cg", "sketched-cg-tensor-sketch")

# What a combination has a part in, with the number of random cases. The other properties see one choice at a time; they
# are run over whole configurations by `make test`.
PROPERTIES = {
    "gauss_newton_step_matches_the_oracle": 6,
    "every_step_of_a_run_matches_the_oracle": 3,  # both methods in turns
    "report_describes_the_step": 1,
}
CORNERS = (
    "one unit a layer, three layers",
    "four layers",
    "duplicate samples",
    "dead samples",
    "all units active",
    "three outputs",
    "float32",
    "readout bias",
    "the first and the last layer trained",
)


def of(case: Case, kind: str, loss: str) -> Case:
    """The case with another activation and loss."""
    outputs = max(case.outputs, 3) if loss == "softmax_cross_entropy" else case.outputs
    return replace(case, kind=kind, loss=loss, outputs=outputs)


def failures(weights: str, solver: str) -> list[str]:
    """Runs the properties for every activation and loss; returns what failed, in words."""
    found = []
    for kind, loss in product(ACTIVATIONS, LOSSES):
        subject = Subject("combination", configured(impl.factory, solver=solver, **WEIGHTS[weights]))
        random_cases = cases(replace(subject.capabilities, activations=(kind,), losses=(loss,)))
        for item in REGISTRY:
            if item.name not in PROPERTIES:
                continue
            narrowed = replace(
                item,
                examples={name: of(NAMED_CASES[name], kind, loss) for name in CORNERS},
                strategy=lambda _, drawn=random_cases, kind=kind, loss=loss: drawn.map(lambda c: of(c, kind, loss)),
                weight=1.0,
            )
            outcome = run_property(narrowed, subject, PROPERTIES[item.name], 0)
            if outcome.failure or outcome.examples < len(CORNERS):
                found.append(f"{kind}, {loss}, {item.name}: {outcome.failure}\n{outcome.case}")
        if subject.unresolved_steps > 0.5 * subject.steps:  # the bounds settle most steps
            found.append(f"{kind}, {loss}: {subject.unresolved_steps} of {subject.steps} steps left open")
    return found


if __name__ == "__main__":
    problems = failures(*sys.argv[1:])
    print("\n".join(problems))
    sys.exit(bool(problems))
