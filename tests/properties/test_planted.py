"""The suite finds the planted bugs, and names them."""

import pytest

from properties.__main__ import main

KILLERS = {
    "flipped_sign": {"jacobian_factors_match_the_oracle", "gradient_matches_automatic_differentiation"},
    "tie_is_active": {"evaluation_is_exact_on_integers"},
    "lost_row": {"active_sets_are_the_units_above_the_threshold"},
    "forgotten_layer": {"gradient_descent_step_matches_the_oracle", "gauss_newton_step_matches_the_oracle"},
}


@pytest.mark.parametrize("bug", KILLERS)
def test_a_planted_bug_is_found_by_the_properties_that_name_it(bug, capsys):
    assert main(["--impl", f"tests.planted.{bug}:factory", "--examples", "20"]) == 1
    printed = capsys.readouterr().out
    failed = {line.split()[1] for line in printed.splitlines() if line.strip().startswith("FAILED")}
    assert KILLERS[bug] <= failed, printed


def test_the_suite_runs_every_property_on_a_bug_and_ends_with_the_counts(capsys):
    main(["--impl", "tests.planted.lost_row:factory", "--examples", "2"])
    passed, failed, skipped = (int(word) for word in capsys.readouterr().out.split("\n")[-2].split()[::2])
    assert failed >= 1
    assert passed + failed + skipped == 13
