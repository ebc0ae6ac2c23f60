"""Which room may know which: oracle and implementation share plain data, never a computation."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("reference", "impl", "properties", "benchmarks", "tests")

#: What each room may import from the project; a name stands for all modules below it.
ARROWS = {
    "reference": ("reference",),
    "impl": ("impl", "reference.contract"),
    "properties": ("properties", "reference"),
    "benchmarks": ("benchmarks", "reference"),
}


def imported_modules(source, module, is_package=False):
    """Every dotted name that the source of `module` imports, statically or by a literal string."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
                base = f"{parent}.{base}"
            # `from a.b import c` may name the module a.b.c or something inside a.b: the module decides.
            yield from (f"{base}.{alias.name}".strip(".").replace("..", ".") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__", "load_factory") and isinstance(node.args[0].value, str):
                yield node.args[0].value.partition(":")[0]


def forbidden_imports(source, module, is_package=False):
    """The imports of project modules that the arrows do not allow."""
    allowed = ARROWS[module.partition(".")[0]]
    return [
        name
        for name in imported_modules(source, module, is_package)
        if name.partition(".")[0] in ROOMS and not any(f"{name}.".startswith(f"{prefix}.") for prefix in allowed)
    ]


def modules_of(room):
    for path in sorted((ROOT / room).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts), parts[-1] == "__init__"


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_only_what_its_arrows_allow(room):
    found = list(modules_of(room))
    assert len(found) > 5
    wrong = {
        str(path.relative_to(ROOT)): names
        for path, module, is_package in found
        if (names := forbidden_imports(path.read_text(encoding="utf-8"), module, is_package))
    }
    assert not wrong


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("impl.gram", "import reference"),
        ("impl.gram", "import numpy, reference.gram as oracle"),
        ("impl.gram", "from reference import gram"),
        ("impl.gram", "from reference import *"),
        ("impl.gram", "from reference.gram import gram"),
        ("impl.gram", "def f():\n    from reference.activation import scale"),
        ("impl.gram", "import importlib\nimportlib.import_module('reference.gram')"),
        ("impl.gram", "from importlib import import_module\nimport_module('properties')"),
        ("impl.gram", "__import__('reference')"),
        ("impl.gram", "from .. import reference"),
        ("impl.kernels.select", "from ...reference import gram"),
        ("impl.gram", "import reference.contractors"),
        ("reference.gram", "import impl.gram"),
        ("reference.contract.network", "from tests import planted"),
        ("reference.gram", "from properties.tolerances.rounding import exact"),
        ("properties.suite", "import impl"),
        ("properties.suite", "from benchmarks import rivals"),
        ("benchmarks.sweep", "from properties import rounding"),
        ("benchmarks.sweep", "from impl import factory"),
        ("benchmarks.sweep", "load_factory('impl:factory')"),
    ],
)
def test_a_planted_import_against_the_arrows_is_found(module, source):
    assert forbidden_imports(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("impl.gram", "import numpy\nfrom impl.support import Support\nfrom reference.contract import Network"),
        ("impl.gram", "from reference.contract.arguments import array\nfrom reference import contract"),
        (
            "impl.kernels.select",
            "from .interface import Kernels\nfrom . import portable\nfrom ..support import Support",
        ),
        ("properties.suite", "import reference.gram\nimport importlib\nimportlib.import_module(name)"),
        ("benchmarks.sweep", "import implementation\nimport testsuite\nfrom reference import random_network"),
    ],
)
def test_an_import_along_the_arrows_is_allowed(module, source):
    assert not forbidden_imports(source, module)
