"""The array annotations: jaxtyping where it is installed, as it is for the tests, which check them.

A bare installation runs without jaxtyping; there the annotations are documentation only. So is `Real` everywhere:
it stands for what a caller hands in, which reference.contract.arguments takes in any form that it can convert,
and refuses with a message of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["Bool", "Float", "Int", "Real", "UInt"]


class _Undescribed:
    def __class_getitem__(cls, item: Any) -> Any:
        return Any


if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Real, UInt
else:
    Real = _Undescribed
    try:
        from jaxtyping import Bool, Float, Int, UInt
    except ModuleNotFoundError:
        Bool = Float = Int = UInt = _Undescribed
