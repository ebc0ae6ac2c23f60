"""Planted bugs: small realistic defects over correct implementations, which the suite must find.

`tests.planted:factory?bug=NAME` is the contract's factory of a bug; `python -m tests.planted` puts all of them through
the suite and prints which property finds which. A module is a kind of mistake.
"""

from __future__ import annotations

from typing import Any

from reference.contract import Capabilities, Implementation, Network, capabilities_of
from tests.planted import (
    activation,
    aliasing,
    backward,
    caching,
    certificates,
    counting,
    determinism,
    errors,
    footprint,
    gram,
    initialization,
    lazy,
    losses,
    precision,
    reports,
    rivals,
    sketching,
    solving,
    storage,
    supports,
    updates,
)
from tests.planted.registry import BUGS, Bug, planted

__all__ = ["BUGS", "Bug", "factory", "planted"]
__all__ += [
    "activation",
    "aliasing",
    "backward",
    "caching",
    "certificates",
    "counting",
    "determinism",
    "errors",
    "footprint",
]
__all__ += [
    "footprint",
    "gram",
    "initialization",
    "lazy",
    "losses",
    "precision",
    "reports",
    "rivals",
    "sketching",
    "solving",
    "storage",
    "supports",
    "updates",
]


def factory(network: Network, *, bug: str, **options: Any) -> Implementation:
    """The contract's factory of a planted bug.

    Args:
        network: The initial network.
        bug: Its name.
        options: As for the correct implementation.

    Raises:
        ArgumentError: for a name that is no bug's.
    """
    return planted(bug).factory(network, **options)


def _capabilities(*, bug: str, **_: Any) -> Capabilities:
    return capabilities_of(planted(bug).factory)


factory.capabilities = _capabilities  # type: ignore[attr-defined]  # functions have attributes, but no type for them
