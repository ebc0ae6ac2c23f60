"""Plain dense arithmetic, of which failures tell the error, is itself a correct implementation in its dtype."""

from dataclasses import replace

import numpy as np
import pytest

from properties import REGISTRY, Case, Subject
from properties.runner import plain
from properties.suite import run_property

ITEMS = [
    item for item in REGISTRY if item.name.endswith("match_the_oracle") or item.name.endswith("matches_the_oracle")
]


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.name)
def test_it_stays_within_the_bounds(item):
    outcome = run_property(item, Subject("plain", plain.factory), examples=40, random_seed=3)
    assert outcome.state == "passed", f"{outcome.failure}\n{outcome.case}"


def test_it_computes_in_its_dtype():
    case = Case(dtype="float32", widths=(9, 8), outputs=3, biases=True)
    rounded, wide = plain.factory(case.network, dtype="float32"), plain.factory(case.network)
    for implementation, dtype in ((rounded, "float32"), (wide, "float64")):
        assert implementation.forward(case.X).dtype == dtype
        assert implementation.gram(case.X).dtype == dtype
        implementation.step(case.X, case.y)
        assert {weight.dtype for weight in implementation.to_network().weights} == {np.dtype(dtype)}
    assert not np.array_equal(rounded.forward(case.X), wide.forward(replace(case, dtype="float32").X))
