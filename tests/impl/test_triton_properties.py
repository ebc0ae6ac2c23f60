"""A part of the property suite over Triton's kernels, interpreted: on small corner cases, since that is slow.

All of it, on all cases, is run on a CUDA device by test_cuda.py.
"""

from dataclasses import replace

import pytest
from hypothesis import strategies

import impl
from properties.cases.strategies import NAMED_CASES
from properties.suite import REGISTRY, Subject, run_property
from reference.contract import configured
from tests.impl.kernel_choices import needs_interpreter

pytestmark = needs_interpreter

CHOICES = {
    "eager": {},
    "lazy, keeping": {"weights": "lazy", "maintenance": "keep"},
    "lazy, folding": {"weights": "lazy"},
}
PROPERTIES = ("jacobian_factors_match_the_oracle", "every_step_of_a_run_matches_the_oracle")
CORNERS = ("one unit a layer, three layers", "three outputs", "one sample")


@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize("choice", CHOICES)
def test_a_property_holds_for_interpreted_kernels(choice, name):
    item = next(item for item in REGISTRY if item.name == name)
    corners = {corner: NAMED_CASES[corner] for corner in CORNERS}
    narrowed = replace(item, examples=corners, strategy=lambda _: strategies.just(corners["three outputs"]), weight=1.0)
    subject = Subject(choice, configured(impl.factory, kernels="triton", **CHOICES[choice]))
    outcome = run_property(narrowed, subject, 1, 0)
    assert not outcome.failure, f"{outcome.failure}\n{outcome.case}"
    assert outcome.examples >= len(CORNERS)
