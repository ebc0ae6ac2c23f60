"""One test case: a network and a batch, determined by a few numbers that shrink and print well."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

import reference
from properties.cases import planting
from properties.cases.storage import stored
from reference.contract import Activation, Network


@dataclass(frozen=True)
class Case:
    """A reproducible network and batch; its repr is the code that makes it again.

    Attributes:
        input_dimension: d.
        widths: m_1 … m_L.
        outputs: c.
        kind: The activation.
        b: Its threshold parameter; None for the default, very negative for all units active.
        biases: Whether there are biases.
        readout_bias: Whether there is a readout bias.
        loss: Of gradients and steps; targets are drawn from its domain.
        trained: The layers that steps train; None for all.
        samples: n.
        duplicates: How many samples repeat the first one.
        spread: How far these lie from it, in units of a sample; 0 for exact repetition. Small ones make the Gram matrix
            ill-conditioned.
        zeros: How many samples (the last ones) are zero: dead where τ ≥ 0 and there are no biases.
        planted: How many units of every layer, the first ones, are planted at their threshold. On the lattice they
            have weights of zero and as biases, in turn, τ and the next numbers above and below. Elsewhere their
            weights are moved so that z = τ up to rounding for the first sample, which makes them ambiguous.
        magnitude: Binary exponent of the inputs' size.
        weight_magnitude: Binary exponent of the size of the hidden layers' weights.
        sparse: Whether about half of the weights and of the readout's elements are zero.
        lattice: Whether all numbers are small integers, so that sums of products are exact.
        dtype: The dtype under test; all numbers are representable in it.
        storage: What weights are stored in, if not in dtype; all weights are representable in it, too.
        learning_rate: η; for gradient descent in units of 1/‖G‖₂, so that no run diverges by itself.
        relative_damping: λ over the mean diagonal element of the Gram matrix.
        seed: Draws the numbers.
    """

    input_dimension: int = 3
    widths: tuple[int, ...] = (8, 7)
    outputs: int = 1
    kind: str = "shifted_relu"
    b: float | None = 0.25
    biases: bool = False
    readout_bias: bool = False
    loss: str = "squared"
    trained: tuple[int, ...] | None = None
    samples: int = 3
    duplicates: int = 0
    spread: float = 0.0
    zeros: int = 0
    planted: int = 0
    magnitude: int = 0
    weight_magnitude: int = 0
    sparse: bool = False
    lattice: bool = False
    dtype: str = "float64"
    storage: str | None = None
    learning_rate: float = 0.5
    relative_damping: float = 1e-2
    seed: int = 0

    @cached_property
    def network(self) -> Network:
        """The network, in the dtype under test, its weights in the storage."""
        generator = np.random.default_rng((self.seed, 0))
        sizes = [self.input_dimension, *self.widths]

        def numbers(*shape: int, spread: float) -> np.ndarray:
            if self.lattice:
                return generator.integers(-2, 3, shape).astype(self.dtype)
            return (spread * generator.standard_normal(shape)).astype(self.dtype)

        size = 2.0**self.weight_magnitude
        weights = [numbers(b, a, spread=size * np.sqrt(2.0 / b)) for a, b in pairwise(sizes)]
        biases = [numbers(m, spread=np.sqrt(1.0 / m)) for m in self.widths] if self.biases else None
        readout = numbers(self.outputs, sizes[-1], spread=1.0)
        readout_bias = numbers(self.outputs, spread=1.0) if self.readout_bias else None
        if self.sparse:
            chosen = np.random.default_rng((self.seed, 3))
            for array in (*weights, readout):
                array[chosen.integers(2, size=array.shape) == 0] = 0.0
        weights = [self.stored(weight) for weight in weights]
        network = Network(weights, biases, readout, Activation(self.kind, self.b), readout_bias)
        if not self.planted:
            return network
        return planting.at_the_threshold(network, self.X[0], self.planted, self.lattice, self.storage)

    def stored(self, weight: np.ndarray) -> np.ndarray:
        """What an implementation holds of weights that it is given, in the dtype under test."""
        return stored(weight, self.storage)

    @cached_property
    def X(self) -> np.ndarray:
        """Samples (n, d)."""
        generator = np.random.default_rng((self.seed, 1))
        if self.lattice:
            X = generator.integers(-3, 4, (self.samples, self.input_dimension)).astype(np.float64)
        else:
            X = generator.standard_normal((self.samples, self.input_dimension))
        copies = X[1 : 1 + self.duplicates]
        copies[...] = X[0] + self.spread * copies
        X[self.samples - self.zeros :] = 0.0
        return (2.0**self.magnitude * X).astype(self.dtype)

    @cached_property
    def y(self) -> np.ndarray:
        """Targets (n, c)."""
        generator = np.random.default_rng((self.seed, 2))
        if self.loss == "softmax_cross_entropy":
            return np.eye(self.outputs, dtype=self.dtype)[generator.integers(self.outputs, size=self.samples)]
        if self.loss == "logistic":
            return generator.choice([-1.0, 1.0], (self.samples, self.outputs)).astype(self.dtype)
        return generator.integers(-4, 5, (self.samples, self.outputs)).astype(self.dtype)

    @cached_property
    def damping(self) -> float:
        """λ, absolute."""
        scale = float(np.mean(np.diag(self._gram)))
        return self.relative_damping * (scale if scale > 0 else 1.0)

    def rate(self, method: str) -> float:
        """η as a step takes it."""
        if method != "gradient_descent":
            return self.learning_rate
        scale = float(np.linalg.norm(self._gram, 2))
        return self.learning_rate / (scale if scale > 0 else 1.0)

    @cached_property
    def _gram(self) -> np.ndarray:
        return reference.factory(self.network, trained_layers=self.trained).gram(self.X)
