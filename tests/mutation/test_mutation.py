"""The mutation run draws what its seed says, runs what it draws, and counts it rightly."""

import ast
import importlib
import sys

import pytest

pytest.importorskip("cosmic_ray", reason="needs the extra 'mutation'")

from tests.mutation.killing import COMPILED, Replacing, cache_for
from tests.mutation.mutants import sample, source_of
from tests.mutation.results import Summary, digest, interval, reasons

MODULES = ["impl/backward.py", "impl/weights/table.py"]


def test_a_sample_is_determined_by_its_seed_and_larger_ones_contain_it():
    drawn, sites = sample(20, 0, MODULES)
    assert drawn == sample(20, 0, MODULES)[0]
    assert {mutant.identity for mutant in drawn} < {mutant.identity for mutant in sample(40, 0, MODULES)[0]}
    assert drawn != sample(20, 1, MODULES)[0]
    assert len(drawn) == 20 < sites


def left_alone(source):
    """Its strings and annotations."""
    nodes = list(ast.walk(ast.parse(source)))
    return sorted(n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)), [
        ast.dump(node.annotation) for node in nodes if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation
    ]


def test_every_mutant_is_another_program_with_the_same_strings_and_annotations():
    everything, _ = sample(10**6, 0, MODULES)
    assert len({mutant.source for mutant in everything}) == len({mutant.identity for mutant in everything}) > 80
    for mutant in everything:
        lines, mutated = source_of(mutant.module).splitlines(), mutant.source.splitlines()
        assert lines[: mutant.line - 1] == mutated[: mutant.line - 1]
        assert ast.dump(ast.parse(mutant.source)) != ast.dump(ast.parse(source_of(mutant.module)))
        assert left_alone(mutant.source) == left_alone(source_of(mutant.module))


def test_a_replaced_module_is_the_one_that_is_imported(monkeypatch):
    name = "tests.mutation.replaced"
    monkeypatch.setattr(sys, "meta_path", [Replacing(name, "value = 3 is 3"), *sys.meta_path])
    try:
        assert importlib.import_module(name).value is True
    finally:
        sys.modules.pop(name, None)


def test_compiled_kernels_are_kept_but_for_the_mutated_one_and_those_that_call_it(tmp_path):
    source = source_of(COMPILED)
    (tmp_path / "unmutated").mkdir()
    for name in ("gather", "subtract_outer", "_subtract_sum"):
        assert f"def {name}(" in source
        (tmp_path / "unmutated" / f"loops.{name}-1.py311.nbi").touch()
    assert cache_for(source, tmp_path) == tmp_path / "unmutated"
    mutated = source.replace("while t < factor.size:", "while t <= factor.size:")
    assert mutated != source
    assert [file.name for file in cache_for(mutated, tmp_path).iterdir()] == ["loops.gather-1.py311.nbi"]


@pytest.mark.parametrize("of", [10, 300])
def test_the_interval_is_exact_where_it_has_a_closed_form(of):
    bound = 0.025 ** (1 / of)
    assert interval(of, of) == (pytest.approx(bound, rel=1e-12), 1.0)
    assert interval(0, of) == (0.0, pytest.approx(1 - bound, rel=1e-12))


def entries(killed, survived, module="impl/gram.py"):
    one = {"module": module, "digest": digest(module)}
    return {
        "mutants": {
            **{f"k{index}": {**one, "killer": "test"} for index in range(killed)},
            **{f"s{index}": {**one, "killer": ""} for index in range(survived)},
        }
    }


def test_95_per_cent_of_those_that_are_not_equivalent_are_to_be_killed():
    assert Summary.of(entries(95, 5), {}).passed
    assert not Summary.of(entries(94, 5), {}).passed
    excused = Summary.of(entries(94, 5), {"s1": "why"})
    assert excused.passed and excused.others == 98 and list(excused.equivalent) == ["s1"]
    assert not Summary.of(entries(0, 0), {}).passed


def test_a_killed_mutant_is_not_equivalent_and_a_changed_module_is_to_be_run_again():
    assert not Summary.of(entries(100, 0), {"k3": "why"}).passed
    stale = entries(100, 0)
    stale["mutants"]["k0"]["digest"] = "another"
    assert Summary.of(stale, {}).stale == ("impl/gram.py",)
    assert not Summary.of(stale, {}).passed


def test_reasons_are_given_once_and_in_words():
    assert all(len(reason.split()) > 3 for reason in reasons().values())
