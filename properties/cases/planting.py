"""Units planted at their threshold: ties, their neighbours, and margins within rounding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from properties.cases.storage import stored
from reference import activation as phi
from reference.contract import Network
from reference.contract.shapes import Float
from reference.forward import forward

#: In units of a layer's largest weight. Along a tiny h the least change is huge, and so is what comes of it: with this
#: factor in each of four layers, products of four of their numbers stay within float32's range.
LARGEST_CHANGE = 2.0**6


def at_the_threshold(
    network: Network, x: Float[np.ndarray, " d"], units: int, lattice: bool, storage: str | None = None
) -> Network:
    """Plants the first units of every layer at their threshold.

    Args:
        network: The network; it stays as it is.
        x: The sample that is to meet the threshold.
        units: How many a layer; all where a layer has fewer.
        lattice: Whether z is to be exact: weights of zero, and as biases in turn τ, the next number above and the
            next below. Otherwise the weights move along h, the least change that makes z = τ but for rounding.
        storage: What weights are rounded to. What that takes z from τ the biases make up for, where there are any.
    """
    for layer in range(network.depth):
        if lattice:
            network = _by_biases(network, layer, units)
        else:
            network = _by_weights(network, layer, units, x.astype(np.float64), storage)
    return network


def _by_biases(network: Network, layer: int, units: int) -> Network:
    weights, biases = list(network.weights), list(network.biases or [])
    weight, bias = weights[layer].copy(), biases[layer].copy()
    tau = bias.dtype.type(phi.threshold(network.activation, len(weight)))
    weight[:units] = 0.0
    infinity = bias.dtype.type(np.inf)
    bias[:units] = np.resize([tau, np.nextafter(tau, infinity), np.nextafter(tau, -infinity)], len(bias[:units]))
    weights[layer], biases[layer] = weight, bias
    return replace(network, weights=weights, biases=biases)


def _by_weights(network: Network, layer: int, units: int, x: Float[np.ndarray, " d"], storage: str | None) -> Network:
    trace = forward(_in_float64(network), x[None])
    h, z = trace.hidden[layer][0], trace.preactivations[layer][0, :units]
    norm = h @ h
    if not 0.0 < norm < np.inf:
        return network  # a dead sample meets no threshold
    weight = network.weights[layer].copy()
    tau = phi.threshold(network.activation, len(weight))
    change = np.outer((tau - z) / norm, h)
    planted = np.abs(change).max(axis=1) <= LARGEST_CHANGE * np.abs(weight).max()
    weight[:units][planted] += change[planted]
    weights = list(network.weights)
    weights[layer] = stored(weight, storage)
    biases = None if network.biases is None else list(network.biases)
    if storage is not None and biases is not None:
        bias = biases[layer].copy()
        bias[:units][planted] = tau - weights[layer][:units][planted].astype(np.float64) @ h
        biases[layer] = bias
    return replace(network, weights=weights, biases=biases)


def _in_float64(network: Network) -> Network:
    return replace(
        network,
        weights=[weight.astype(np.float64) for weight in network.weights],
        biases=None if network.biases is None else [bias.astype(np.float64) for bias in network.biases],
    )
