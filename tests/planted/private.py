"""A private copy of packages, with one module changed: the correct implementation never sees the change.

The copy's modules are executed anew from their source, outside sys.modules; what they import of the copied packages is
the copy's, everything else is shared. The change is made as soon as its module was executed, before any other
module of the copy takes names from it.
"""

from __future__ import annotations

import builtins
import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

#: What is copied, with everything below it, and what is not: plain data, and what numba or Triton has compiled.
COPIED = ("impl", "reference", "properties.examples", "benchmarks.rivals")
SHARED = (
    "impl.kernels.loops",
    "impl.kernels.factor_loops",
    "impl.kernels.meeting_loops",
    "impl.kernels.triton.device",
    "impl.certified.addresses",
    "impl.certified.append_loops",
    "impl.certified.collect_loops",
    "impl.certified.combine_loops",
    "impl.certified.course_loops",
    "impl.certified.layer_table",
    "impl.certified.loops",
    "impl.certified.rescreen_loops",
    "impl.certified.rest_loops",
    "impl.certified.row_loops",
    "impl.certified.transposed_loops",
    "impl.certified.views",
    "reference.contract",
)


class PrivateCopy:
    """Modules of COPIED, executed on demand.

    Args:
        name: The module to change.
        change: Changes it, in place.
    """

    def __init__(self, name: str, change: Callable[[ModuleType], None]):
        self.modules: dict[str, ModuleType] = {}
        self._name, self._change = name, change

    def load(self, name: str) -> ModuleType:
        """The copy's module of that name."""
        if name in self.modules:
            return self.modules[name]
        parent, _, last = name.rpartition(".")
        if is_copied(parent):
            self.load(parent)
            if name in self.modules:  # its package imports it
                return self.modules[name]
        spec = importlib.import_module(name).__spec__  # imported, as dataclasses look their module up by its name
        assert spec is not None and spec.origin is not None, name
        module = self.modules[name] = ModuleType(name)
        module.__file__, module.__package__ = spec.origin, name if spec.submodule_search_locations else parent
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": self._import}
        exec(_code(spec.origin), module.__dict__)
        if name == self._name:
            self._change(module)
        if is_copied(parent):
            setattr(self.modules[parent], last, module)
        return module

    def _import(
        self, name: str, scope: Any = None, inner: Any = None, wanted: tuple[str, ...] | None = (), level: int = 0
    ) -> ModuleType:
        """What `import` calls in the copy's modules, whose imports are absolute."""
        if level or not is_copied(name):
            return builtins.__import__(name, scope, inner, wanted or (), level)
        module = self.load(name)
        for part in wanted or ():
            if not hasattr(module, part):
                self.load(f"{name}.{part}")
        return module if wanted else self.load(name.partition(".")[0])


def is_copied(name: str) -> bool:
    """Whether a module is one of those that a copy has of its own."""
    below = f"{name}."
    return below.startswith(tuple(f"{root}." for root in COPIED)) and not below.startswith(
        tuple(f"{root}." for root in SHARED)
    )


@functools.cache
def _code(path: str) -> CodeType:
    return compile(Path(path).read_text(encoding="utf-8"), path, "exec", dont_inherit=True)
