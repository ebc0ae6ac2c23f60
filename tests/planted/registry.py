"""What a planted bug is, and the list of them all."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reference.contract import ArgumentError, Factory, configured
from tests.planted.private import PrivateCopy

#: A module of a private copy: what it holds is exchanged, beyond a type checker.
Module = Any
Change = Callable[[Module], None]

OURS = "impl:factory"
#: Ours where no kernel is compiled.
TORCH = "impl:factory?kernels=torch"
LAZY = "impl:factory?weights=lazy&maintenance=keep"
FOLDING = "impl:factory?weights=lazy"
STORED = LAZY + "&storage=bfloat16"
STORED_TORCH = STORED + "&kernels=torch"
SKETCHED = "impl:factory?solver=sketched-cg"
CG = "impl:factory?solver=cg"
CERTIFIED = "impl:factory?forward=certified"
ORACLE = "reference:factory"
RIVAL = "benchmarks.rivals.dense:factory"
NUMPY = "properties.examples.numpy_dense:factory"


@dataclass(frozen=True)
class Bug:
    """A defect of a few lines over a correct implementation.

    Attributes:
        name: The name of the function that plants it.
        kind: What sort of mistake it is: the module that has it.
        description: One line: what is wrong.
        base: The correct implementation, as `load_factory` takes it.
        module: The module of it that is changed.
        change: Changes a private copy of that module, in place.
        killers: Properties whose names say what is wrong; at least one of them is to fail.
    """

    name: str
    kind: str
    description: str
    base: str
    module: str
    change: Change
    killers: tuple[str, ...]

    @functools.cached_property
    def factory(self) -> Factory:
        """The contract's factory of the wrong implementation."""
        source, _, query = self.base.partition("?")
        module, _, attribute = source.partition(":")
        correct: Factory = getattr(PrivateCopy(self.module, self.change).load(module), attribute)
        options = dict(part.partition("=")[::2] for part in query.split("&")) if query else {}
        return configured(correct, **options) if options else correct


BUGS: dict[str, Bug] = {}


def plant(module: str, base: str = OURS, *, killed_by: str) -> Callable[[Change], Change]:
    """Registers a bug under its function's name; the function changes the module that it is given.

    Args:
        module: The module to change.
        base: The correct implementation.
        killed_by: Names of properties, at least one of which is to fail.
    """

    def add(change: Change) -> Change:
        name = getattr(change, "__name__", repr(change))
        kind = change.__module__.rpartition(".")[2]
        description = (change.__doc__ or "").partition("\n")[0]
        assert name not in BUGS and description, name
        BUGS[name] = Bug(name, kind, description, base, module, change, tuple(killed_by.split()))
        return change

    return add


def planted(name: str) -> Bug:
    """The bug of a name. Raises ArgumentError where there is none."""
    if name not in BUGS:
        raise ArgumentError("bug", "the name of a planted bug (python -m tests.planted --list)", repr(name))
    return BUGS[name]
