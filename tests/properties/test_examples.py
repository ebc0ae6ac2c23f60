"""The worked examples and the README's template go through the whole suite, and skip what they declare."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from properties import REGISTRY
from reference.contract import METHODS, OPERATIONS
from tests.test_arrows import imported_modules

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = {name: f"properties.examples.{name}:factory" for name in ("numpy_dense", "scipy_sparse", "torch_module")}
README = (ROOT / "properties" / "README.md").read_text(encoding="utf-8")

#: What those that declare less have not.
UNDECLARED = ("jacobian_factors", "gram")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The folder of mine.py, as a reader would make it from the README."""
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "class Mine" in block)
    folder = tmp_path_factory.mktemp("template")
    (folder / "mine.py").write_text(code, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def results(template):
    """The suite's JSON for every example and for the template, each from a process of its own, and its exit status."""
    return {name: _run(implementation, ROOT) for name, implementation in EXAMPLES.items()} | {
        "template": _run("mine:factory", template)
    }


def _run(implementation, folder):
    # A plain process: the checks of annotations, which the tests switch on, are not the readers'.
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    finished = subprocess.run(
        [sys.executable, "-m", "properties", "--impl", implementation, "--profile", "dev", "--json", "-"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.stdout, finished.stderr
    return finished.returncode, json.loads(finished.stdout)


def _skips(data):
    return {outcome["property"]: outcome["skipped"] for outcome in data["outcomes"] if outcome["state"] == "skipped"}


@pytest.mark.parametrize("name", [*EXAMPLES, "template"])
def test_it_passes_the_whole_suite(name, results):
    status, data = results[name]
    failed = [outcome["failure"]["message"] for outcome in data["outcomes"] if outcome["failure"]]
    assert (status, failed) == (0, [])
    assert len(data["outcomes"]) == len(REGISTRY)
    assert data["counts"]["passed"] > 10


@pytest.mark.parametrize("name", ["numpy_dense", "torch_module"])
def test_the_whole_contract_skips_for_no_operation_or_method(name, results):
    reasons = _skips(results[name][1]).values()
    assert not [reason for reason in reasons for word in (*OPERATIONS, *METHODS) if f"no {word}" in reason]


@pytest.mark.parametrize("name", ["scipy_sparse", "template"])
def test_what_is_not_declared_is_skipped_with_that_reason(name, results):
    skips = _skips(results[name][1])
    needing = {item.name for item in REGISTRY if item.needs & set(UNDECLARED)}
    assert needing <= set(skips)
    assert all(any(word in skips[name] for word in UNDECLARED) for name in needing)
    # What else is skipped is skipped for the whole contract as well, or for what is declared beside the operations.
    further = set(skips) - needing - set(_skips(results["numpy_dense"][1]))
    declared = ("gauss_newton", "several outputs", "more than one output", "biases", "thresholded_identity")
    assert not [skips[name] for name in further if not any(word in skips[name] for word in declared)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_takes_plain_data_only(name):
    source = (ROOT / "properties" / "examples" / f"{name}.py").read_text(encoding="utf-8")
    ours = [
        module
        for module in imported_modules(source, f"properties.examples.{name}")
        if module.partition(".")[0] in ("reference", "impl", "properties", "benchmarks", "tests")
    ]
    assert ours
    assert all(module.startswith("reference.contract") for module in ours)


def test_the_template_is_short(template):
    assert len((template / "mine.py").read_text(encoding="utf-8").splitlines()) <= 60


def test_the_readme_names_every_field_of_the_capabilities(results):
    fields = results["numpy_dense"][1]["header"]["capabilities"]
    assert [field for field in fields if f"| `{field}` |" not in README] == []
