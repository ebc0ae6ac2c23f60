"""The checker of the array annotations: beartype, for arguments and results whose annotation names an array's shape.

Names and numbers are left to the checks of arguments in the code itself, so that the tests see its own errors.
"""

import typing
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder

from beartype import beartype
from jaxtyping import AbstractArray

from tests.compiled import COMPILED

TRITON = "impl.kernels.triton.device."


def check(function: Callable) -> Callable:
    """Checks the array annotations of a function, which jaxtyping hands over with annotations evaluated."""
    arrays = {name: hint for name, hint in function.__annotations__.items() if names_an_array(hint)}
    if not arrays:
        return function
    function.__annotations__ = arrays
    return beartype(function)


def names_an_array(hint: object) -> bool:
    """Whether an annotation is, or contains, a jaxtyping array."""
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(names_an_array(part) for part in typing.get_args(hint))


class PlainFinder:
    """Finds the modules that are to be left alone, ahead of jaxtyping's import hook."""

    @staticmethod
    def find_spec(name: str, path: typing.Any = None, target: typing.Any = None) -> ModuleSpec | None:
        """See importlib.abc.MetaPathFinder."""
        return PathFinder.find_spec(name, path, target) if name in COMPILED or name.startswith(TRITON) else None
