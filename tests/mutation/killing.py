"""What a mutant is put through, in a process of its own, until something notices it."""

from __future__ import annotations

import ast
import contextlib
import importlib.abc
import importlib.util
import os
import resource
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

import numba
import pytest
import safetensors.torch  # noqa: F401  # imported once for all mutants, as what impl imports else
import scipy.special  # noqa: F401
import torch

from properties.suite import REGISTRY, Subject, run_property
from reference.contract import load_factory
from tests.mutation.mutants import ROOT, source_of

CONFIGURATIONS = (
    "impl:factory",
    "impl:factory?weights=lazy&solver=cg",
    "impl:factory?weights=lazy&maintenance=keep&solver=sketched-cg",
    "impl:factory?kernels=torch&weights=lazy&solver=sketched-cg-tensor-sketch",
)

# A property, beside its named cases: a mutant is noticed at the first few, or hardly ever.
RANDOM_CASES = 4

# Test files, quick ones for all modules and others by the module that they are about. Those that start processes of
# their own, which would run unmutated code, are not among them.
_QUICK = ("exact_work", "course", "promises")
_OTHERS = {
    "impl/kernels": ("kernels", "determinism", "lazy_weights", "all_or_nothing"),
    "impl/sketch": ("sketch", "solvers"),
    "impl/solvers": ("solvers", "ill_conditioned"),
    "impl/weights": ("lazy_weights", "all_or_nothing", "nothing_quadratic"),
    "impl/loss": ("losses", "ill_conditioned"),
    "impl/curvature": ("losses", "ill_conditioned"),
    "impl/gauss_newton": ("ill_conditioned", "solvers", "losses"),
    "impl/gram": ("solvers", "nothing_quadratic"),
    "impl/jacobian": ("solvers",),
    "impl/support": ("kernels", "sketch", "lazy_weights"),
    "impl/history": ("lazy_weights",),
    "impl/implementation": ("bad_input", "lazy_weights", "solvers", "losses", "all_or_nothing", "pretrained"),
    "impl/initialization": ("initialization", "training_command"),
}
_SLOW = ("amortized",)  # parts of names of tests that run longer than all the others of their file

COMPILED = "impl/kernels/loops.py"

MEMORY = 24 * 2**30  # of address space: a mutant that asks for more is stopped before the machine is


def kill(module: str, source: str, caches: Path, tell: Callable[[str], None]) -> str:
    """Runs the code with one module's source replaced.

    Args:
        module: Its path in the repository.
        source: What to run in its place; it is never written to the disk.
        caches: A folder for compiled kernels.
        tell: Is told what begins; who hears nothing for long knows what hangs.

    Returns:
        What noticed it, with its message's first line; "" if nothing did.
    """
    first, *others = CONFIGURATIONS
    return (
        _import(module, source, caches, tell)
        or _properties([first], tell)
        or _tests(_QUICK, tell)
        or _properties(others, tell)
        or _tests(tests_of(module), tell)
    )


def tests_of(module: str) -> list[str]:
    """The test files about a module, without those for all modules."""
    return [name for prefix, names in _OTHERS.items() if module.startswith(prefix) for name in names]


def _import(module: str, source: str, caches: Path, tell: Callable[[str], None]) -> str:
    tell("import")
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    if module == COMPILED:
        numba.config.CACHE_DIR = str(cache_for(source, caches))
    name = module.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")
    assert not any(loaded.split(".")[0] == "impl" for loaded in sys.modules), "impl was imported before its mutant"
    sys.meta_path.insert(0, Replacing(name, source))
    try:
        import impl  # noqa: F401
    except Exception as error:
        return f"import: {_line(error)}"
    return ""


def cache_for(source: str, caches: Path) -> Path:
    """A folder with the kernels that are what they were.

    numba itself knows a function by its bytecode without constants: it would hand out an unmutated one.
    """
    before, after = ({ast.dump(node) for node in ast.parse(text).body} for text in (source_of(COMPILED), source))
    kept = caches / "unmutated"
    if before == after:
        return kept
    own = Path(tempfile.mkdtemp(dir=caches))
    body = ast.parse(source).body
    changed = [node for node in body if ast.dump(node) not in before]
    if kept.exists() and all(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in changed):
        shutil.copytree(kept, own, dirs_exist_ok=True)
        stale = {node.name for node in changed}
        for node in reversed(body):  # what calls a kernel has it compiled in, and stands before it
            if stale & {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}:
                stale |= {getattr(node, "name", "")}
        for file in [file for name in stale for file in own.rglob(f"loops.{name}-*")]:
            file.unlink()
    return own


def _properties(configurations: Sequence[str], tell: Callable[[str], None]) -> str:
    for name in configurations:
        try:
            subject = Subject(name, load_factory(name))
        except Exception as error:
            return f"{name}: {_line(error)}"
        for item in REGISTRY:
            tell(f"{item.name} of {name}")
            outcome = run_property(item, subject, RANDOM_CASES, 0)
            if outcome.failure:
                return f"property {item.name} of {name}: {outcome.failure.splitlines()[0]}"
    return ""


def _tests(names: Sequence[str], tell: Callable[[str], None]) -> str:
    if not names:
        return ""
    watcher = _Watcher(tell)
    arguments = ["-x", "--noconftest", "-m", "not cuda", "-k", " and ".join(f"not {part}" for part in _SLOW)]
    # hypothesis is imported, and has run, before pytest begins
    for warning in ("pytest.PytestAssertRewriteWarning", "hypothesis.errors.HypothesisSideeffectWarning"):
        arguments += ["-W", f"ignore::{warning}"]
    os.chdir(ROOT)
    status = pytest.main([*arguments, *(f"tests/impl/test_{name}.py" for name in names)], plugins=[watcher])
    if status and not watcher.failed:
        raise RuntimeError(f"pytest ended with status {int(status)}, and no test had failed")
    return watcher.failed


class _Watcher:
    def __init__(self, tell: Callable[[str], None]):
        self.tell, self.failed = tell, ""

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.tell(nodeid)

    def pytest_exception_interact(self, node: pytest.Item, call: pytest.CallInfo) -> None:
        self.failed = f"test {node.nodeid.removeprefix('tests/impl/')}: {_line(call.excinfo.value)}"


class Replacing(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a string."""

    def __init__(self, name: str, source: str):
        self.name, self.source = name, source

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The module's own spec, with this loader."""
        if fullname != self.name:
            return None
        file = ROOT.joinpath(*fullname.split("."))
        package = file.is_dir()
        file = file / "__init__.py" if package else file.with_suffix(".py")
        return importlib.util.spec_from_file_location(
            fullname, file, loader=self, submodule_search_locations=[str(file.parent)] if package else None
        )

    def create_module(self, spec: ModuleSpec) -> None:
        """As usual."""

    def exec_module(self, module: ModuleType) -> None:
        """Runs the string."""
        exec(self.code(module.__file__ or ""), module.__dict__)

    def code(self, file: str) -> CodeType:
        """The string compiled, without warnings: a mutant is killed by what it does."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return compile(self.source, file, "exec")


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Nothing that is run prints."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    yield


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0][:200]
