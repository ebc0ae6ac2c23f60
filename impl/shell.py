"""A network without its weight matrices: what is small, and is not trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reference.contract import Activation, Network
from reference.contract.shapes import Float


@dataclass(frozen=True, eq=False)
class Shell:
    """Biases, readout, activation and widths, as in Network.

    Attributes:
        widths: (d, m_1, …, m_L).
        biases: β_1 … β_L, or None.
        readout: A, (c, m_L).
        activation: Kind and threshold parameter.
        readout_bias: (c,), or None.
    """

    widths: tuple[int, ...]
    biases: tuple[Float[np.ndarray, " _"], ...] | None
    readout: Float[np.ndarray, "c m"]
    activation: Activation
    readout_bias: Float[np.ndarray, " c"] | None

    @classmethod
    def of(cls, network: Network, dtype: str) -> Shell:
        """The network's, as copies in `dtype`."""
        return cls(
            network.widths,
            None if network.biases is None else tuple(bias.astype(dtype) for bias in network.biases),
            network.readout.astype(dtype),
            network.activation,
            None if network.readout_bias is None else network.readout_bias.astype(dtype),
        )

    @property
    def depth(self) -> int:
        """L."""
        return len(self.widths) - 1

    def with_weights(self, weights: list[Float[np.ndarray, "_ _"]]) -> Network:
        """The whole network again, as copies."""
        return Network(
            weights=weights,
            biases=None if self.biases is None else [bias.copy() for bias in self.biases],
            readout=self.readout.copy(),
            activation=self.activation,
            readout_bias=None if self.readout_bias is None else self.readout_bias.copy(),
        )
