"""What theory expects of the counted work at the very widths measured, rather than in the limit.

A unit of a freshly initialized layer is active with probability Q(b), b = √(0.4·ln m), Q the upper tail of
the standard normal. So k = m·Q(b) units of m are, and products over columns, over k × k blocks and over pairs
of samples cost n·m·k, n·k² and n²·k (reference/README.md, section 4).
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from benchmarks.scaling.power_law import fit_power_law
from reference.contract.shapes import Float


def active_count(m: Float[np.ndarray, " widths"]) -> Float[np.ndarray, " widths"]:
    """k = m·Q(√(0.4·ln m)), the mean number of active units at initialization."""
    m = np.asarray(m, dtype=np.float64)
    count: np.ndarray = m * ndtr(-np.sqrt(0.4 * np.log(m)))
    return count


def sparse_work(m: Float[np.ndarray, " widths"], samples: int) -> dict[str, Float[np.ndarray, " widths"]]:
    """By phase the multiply-adds that sparsity leaves of one m × m layer.

    Args:
        m: Widths.
        samples: n, for the weight of the Gram matrix in the whole iteration.

    Returns:
        Work for forward, backward, gram, update and iteration.
    """
    k = active_count(m)
    work = {
        "forward": samples * m * k,
        "backward": samples * k**2,
        "gram": 2.0 * samples**2 * k,
        "update": samples * k**2,
    }
    work["iteration"] = np.sum(list(work.values()), axis=0)
    return work


def sparse_exponents(m: Float[np.ndarray, " widths"], samples: int) -> dict[str, float]:
    """By phase the exponent of sparse_work, fitted over the widths m.

    Args:
        m: At least three widths.
        samples: n.
    """
    return {phase: float(fit_power_law(m, counts).exponent) for phase, counts in sparse_work(m, samples).items()}
