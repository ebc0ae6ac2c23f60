"""The random initialization: variances, signs, seeds."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from tests.planted.registry import Module, plant

VARIANCE = "initial_weights_have_variance_two_over_the_width "
READOUT = "initial_readout_is_a_fair_sign "


def redrawn(initialization: Module, change: Any) -> None:
    """Draws another network: change(network, seed) from the correct one."""
    correct = initialization.random_network

    def random_network(*arguments: Any, **options: Any) -> Any:
        return change(correct(*arguments, **options), options.get("seed", 0))

    initialization.random_network = random_network


def scaled(network: Any, factors: Any) -> Any:
    weights = [(factor * weight).astype(weight.dtype) for weight, factor in zip(network.weights, factors, strict=True)]
    return replace(network, weights=weights)


@plant("impl.initialization", killed_by=VARIANCE)
def variance_halved(initialization: Module) -> None:
    """Weights have the variance 1/m instead of 2/m."""
    redrawn(initialization, lambda network, seed: scaled(network, [0.5**0.5] * network.depth))


@plant("impl.initialization", killed_by=VARIANCE)
def variance_by_fan_in(initialization: Module) -> None:
    """The variance is 2 over the number of inputs, not of units: right in square layers."""
    redrawn(
        initialization,
        lambda network, seed: scaled(network, [(own / before) ** 0.5 for before, own in pairwise(network.widths)]),
    )


@plant("impl.initialization", killed_by="initial_weights_are_gaussian")
def uniform_weights(initialization: Module) -> None:
    """Weights are uniform, with the right variance."""

    def change(network: Any, seed: int) -> Any:
        generator = np.random.default_rng(seed)
        return replace(
            network,
            weights=[
                generator.uniform(-((6 / len(w)) ** 0.5), (6 / len(w)) ** 0.5, w.shape).astype(w.dtype)
                for w in network.weights
            ],
        )

    redrawn(initialization, change)


@plant("impl.initialization", killed_by=READOUT)
def readout_without_signs(initialization: Module) -> None:
    """All readout entries are 1."""
    redrawn(initialization, lambda network, seed: replace(network, readout=np.abs(network.readout)))


@plant("impl.initialization", killed_by=READOUT)
def readout_of_normal_entries(initialization: Module) -> None:
    """Readout entries are normal, with variance 1."""

    def change(network: Any, seed: int) -> Any:
        readout = np.random.default_rng(seed).standard_normal(network.readout.shape)
        return replace(network, readout=readout.astype(network.readout.dtype))

    redrawn(initialization, change)


@plant("impl.initialization", killed_by="initial_weights_are_independent")
def one_draw_for_all_layers(initialization: Module) -> None:
    """Layers of the same shape get the same weights."""

    def change(network: Any, seed: int) -> Any:
        first: dict[tuple[int, ...], np.ndarray] = {}
        return replace(network, weights=[first.setdefault(w.shape, w).copy() for w in network.weights])

    redrawn(initialization, change)


@plant("impl.initialization", killed_by="another_seed_gives_an_independent_network")
def seed_of_the_network_ignored(initialization: Module) -> None:
    """Whatever the seed, the same network is drawn."""
    correct = initialization.random_network
    initialization.random_network = lambda *arguments, **options: correct(*arguments, **{**options, "seed": 1})
