"""How sparse a network is on given data, before anything is trained sparsely."""

from __future__ import annotations

import numpy as np
import torch

from impl.construction import factory
from reference.contract import Network
from reference.contract.shapes import Real


def density(
    network: Network, X: Real[np.ndarray, "n d"], *, device: str | torch.device = "cpu", dtype: str = "float32"
) -> tuple[float, ...]:
    """The mean share of active units, layer by layer; the cost of an iteration follows from it
    (reference/README.md, section 4).

    Args:
        network: The network.
        X: Samples (n, d), the data that it is to be trained on.
        device: A torch device to evaluate on.
        dtype: "float32" or "float64", to evaluate in.

    Returns:
        For every layer ℓ the mean over the samples of k_ℓ/m_ℓ, from 0 to 1.

    Raises:
        ArgumentError: for what impl.factory refuses, and samples that are not right.
        SolveError: where a number overflows on the way.
    """
    counts = factory(network, device=device, dtype=dtype).active_counts(X)
    return tuple(
        int(count.sum()) / (count.size * width) for count, width in zip(counts, network.widths[1:], strict=True)
    )
