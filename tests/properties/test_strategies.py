"""The strategies reach what the properties are about, in stated proportions."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings

import reference
from properties.strategies import NAMED_CASES, NAMED_LATTICE_CASES, cases, lattice_cases
from reference.contract import Capabilities


def drawn(strategy, count):
    found = []

    @settings(max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @seed(0)
    @given(strategy(Capabilities()))
    def collect(case):
        found.append(case)

    collect()
    return found


def test_random_cases_reach_every_kind_of_problem():
    seen = Counter()
    found = drawn(cases, 400)
    for case in found:
        counts = [mask.sum(axis=1) for mask in reference.factory(case.network).active_sets(case.X)]
        seen["dead sample"] += any((count == 0).any() for count in counts)
        seen["all active"] += all((count == width).all() for count, width in zip(counts, case.widths, strict=True))
        seen["live"] += all((count > 0).any() for count in counts)
        seen["duplicates"] += case.duplicates > 0
        seen["three outputs"] += case.outputs == 3
        seen["biases"] += case.biases
        seen["float32"] += case.dtype == "float32"
        seen["one sample"] += case.samples == 1
        seen["one unit"] += 1 in case.widths
        seen["unequal widths"] += len(set(case.widths)) > 1
        seen["four layers"] += len(case.widths) == 4
        seen["thresholded identity"] += case.kind == "thresholded_identity"
        seen["extreme magnitude"] += case.magnitude != 0
    assert {name for name in seen if seen[name] < 0.04 * len(found)} == set()
    assert seen["live"] > 0.4 * len(found)


def test_integer_cases_meet_the_threshold_exactly():
    ties = 0
    found = drawn(lattice_cases, 100)
    for case in found:
        z = case.X @ case.network.weights[0].T
        if case.biases:
            z = z + case.network.biases[0]
        ties += bool((z == 0).any())
    assert ties > 0.5 * len(found)


@pytest.mark.parametrize("name", NAMED_CASES | NAMED_LATTICE_CASES)
def test_a_named_case_is_what_its_name_says(name):
    case = (NAMED_CASES | NAMED_LATTICE_CASES)[name]
    masks = reference.factory(case.network).active_sets(case.X)
    if "dead" in name:
        assert any((~mask.any(axis=1)).any() for mask in masks)
    elif "all units active" in name:
        assert all(mask.all() for mask in masks)
    elif "ties" in name:
        z = case.X @ case.network.weights[0].T + (case.network.biases[0] if case.biases else 0)
        assert (z == 0).any()
    elif "duplicate" in name:
        assert len(np.unique(case.X, axis=0)) < len(case.X)
    else:
        assert all(mask.any() for mask in masks)
