"""Cases of statistical properties: beside the network, what the implementation itself is to draw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from properties.cases.case import Case
from reference.contract import Network


@dataclass(frozen=True)
class Sample(Case):
    """A case with a seed for what the implementation draws.

    The network is fixed, so that what a test can find is; only the draws change from run to run.

    Attributes:
        draw_seed: Determines every seed that is handed to the implementation.
        positive: Whether weights, readout and inputs are replaced by their absolute values. All rows of the Jacobian
            then lie near one direction, the same in all layers of equal shape.
    """

    draw_seed: int = 0
    positive: bool = False

    def seeds(self, count: int, stream: int = 0) -> list[int]:
        """Distinct seeds below 2³¹, drawn uniformly: neighbouring ones may share what layers draw.

        Args:
            count: How many.
            stream: Of the case's several sequences.
        """
        generator = np.random.default_rng((self.draw_seed, stream))
        return [int(seed) for seed in generator.choice(2**31 - 1, count, replace=False)]

    @cached_property
    def network(self) -> Network:
        """See Case."""
        network = super().network
        if not self.positive:
            return network
        return replace(network, weights=[np.abs(weight) for weight in network.weights], readout=np.abs(network.readout))

    @cached_property
    def X(self) -> np.ndarray:
        """See Case."""
        return np.abs(super().X) if self.positive else super().X


def seeded(case: Case, seed: int) -> Case:
    """The case with the run's seed for the draws."""
    return replace(case, draw_seed=seed) if isinstance(case, Sample) else case
