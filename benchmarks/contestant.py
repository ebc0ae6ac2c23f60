"""Whom a sweep measures: implementations by name, reached through their factories only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from reference.contract import ArgumentError, Factory, Network, capabilities_of, load_factory

DENSE = "dense"
DENSE_FACTORY = "benchmarks.rivals.dense:factory"
#: What the gate times: every commit knows it.
OURS = "gather=impl:factory?forward=gather"
#: What a sweep measures beside the dense rival.
MEASURED = (OURS, "certified=impl:factory?forward=certified")

#: The methods of a step, for people.
METHOD_TITLES = {"gauss_newton": "Gauss–Newton", "gradient_descent": "gradient descent"}


@dataclass(frozen=True)
class Contestant:
    """An implementation that takes part.

    Attributes:
        name: In tables and files.
        source: "package.module:factory", with options if there are any.
        factory: The factory itself.
    """

    name: str
    source: str
    factory: Factory


def load_contestants(impls: Sequence[str], *, dtype: str, method: str = "gauss_newton") -> list[Contestant]:
    """The dense rival, then the given implementations.

    Args:
        impls: As load_contestant takes them.
        dtype: In which they will compute.
        method: Of their steps.

    Raises:
        ArgumentError: for what cannot be imported, names used twice, an implementation that declares that
            it cannot take such steps in this dtype.
    """
    contestants = [Contestant(DENSE, DENSE_FACTORY, load_factory(DENSE_FACTORY))]
    for impl in impls:
        contestant = load_contestant(impl, dtype=dtype, method=method)
        if not contestant.name or any(contestant.name == other.name for other in contestants):
            raise ArgumentError("impl", f"a name of its own (taken: {', '.join(c.name for c in contestants)})", impl)
        contestants.append(contestant)
    return contestants


def load_contestant(impl: str, *, dtype: str, method: str = "gauss_newton") -> Contestant:
    """An implementation by what is written for it.

    Args:
        impl: "name=package.module:factory", or "package.module:factory" alone, which is then its own name. Options of
            the factory may follow either, as in "lazy=impl:factory?weights=lazy&maintenance=keep".
        dtype: In which it will compute.
        method: Of its steps.

    Raises:
        ArgumentError: for what cannot be imported, or declares that it cannot take such steps in this dtype.
    """
    name, source = named(impl)
    contestant = Contestant(name, source, load_factory(source))
    can = capabilities_of(contestant.factory)
    if "step" not in can.operations or method not in can.methods or dtype not in can.dtypes:
        wanted = f"one that declares steps of {METHOD_TITLES[method]} in {dtype}"
        raise ArgumentError("impl", wanted, f"{impl}: {can}")
    return contestant


def as_stored(network: Network, contestants: Sequence[Contestant]) -> Network:
    """The network with its weights rounded to what any of the contestants stores them in: all then train the same."""
    for storage in {capabilities_of(contestant.factory).storage for contestant in contestants} - {None}:
        narrow = getattr(torch, str(storage))
        weights = [torch.tensor(weight).to(narrow).float().numpy() for weight in network.weights]
        network = replace(network, weights=weights)
    return network


def named(impl: str) -> tuple[str, str]:
    """Name and source of an implementation, from what load_contestant takes."""
    name, equals, source = impl.partition("=")
    if not equals or ":" in name:  # an "=" after the ":" belongs to an option
        return impl.removesuffix(":factory"), impl
    return name, source
