"""A slope regression planted in a repository's history is flagged where asv publishes it, at its commit, alone.

Of the exponents only that of counted work is judged here, which no busy machine can change; the time exponent's turn
comes with `python -m tests.benchmarks.asv_history`.
"""

import ast

import pytest

from tests.benchmarks.asv_history import AFTER, BEFORE, PLANTED, ROOT, History

COMMITS, CHANGED = 4, 2
WORK = "exponents.Work.track_work_exponent('cpu', "


@pytest.fixture(scope="module")
def regressions(tmp_path_factory):
    history = History(tmp_path_factory.mktemp("history") / "planted", COMMITS, CHANGED, rounds=2)
    history.measure()
    return history.regressions()


def test_the_slope_is_flagged_at_its_commit(regressions):
    ((commit, before, after),) = regressions[f"{WORK}'planted', 'forward')"]
    assert commit == CHANGED
    assert before == pytest.approx(BEFORE, abs=1e-3) and after == pytest.approx(AFTER, abs=1e-3)
    ((commit, before, after),) = regressions[f"{WORK}'planted', 'iteration')"]
    assert commit == CHANGED and before < after


def test_nothing_that_did_not_change_is_flagged(regressions):
    flagged = {name for name in regressions if name.startswith(WORK)}
    assert flagged == {f"{WORK}'planted', 'forward')", f"{WORK}'planted', 'iteration')"}


def test_the_small_settings_set_all_that_the_suites_read():
    assert names_set(PLANTED / "settings.py") | {"ROUNDS"} == names_set(ROOT / "benchmarks" / "suites" / "settings.py")


def names_set(path):
    body = ast.parse(path.read_text(encoding="utf-8")).body
    targets = [node.targets[0] for node in body if isinstance(node, ast.Assign)]
    return {target.id for target in targets}
