"""The paper's random initialization (reference/README.md, section 1)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from reference.contract.arguments import DTYPES, ArgumentError, affordable, dtype_name, whole_number
from reference.contract.network import DEFAULT_ACTIVATION, Activation, Network, check_activation


def random_network(
    input_dimension: int,
    widths: Sequence[int],
    *,
    outputs: int = 1,
    activation: Activation = DEFAULT_ACTIVATION,
    biases: bool = False,
    seed: int = 0,
    dtype: str = "float64",
) -> Network:
    """Draws a network: W_ℓ entries N(0, 2/m_ℓ), readout entries ±1, biases N(0, 2/m_ℓ) if asked for.

    Args:
        input_dimension: d.
        widths: m_1 … m_L.
        outputs: c.
        activation: Kind and threshold parameter, in any form that Network takes.
        biases: Whether the network has biases; the paper's has none.
        seed: Determines every number.
        dtype: "float32" or "float64"; the numbers are drawn in it.

    Raises:
        ArgumentError: for arguments outside their domains, and where the weights exceed the memory.
    """
    activation = check_activation(activation)
    kind = np.dtype(dtype_name("dtype", dtype, DTYPES))
    if not isinstance(widths, Sequence) or isinstance(widths, str) or not widths:
        raise ArgumentError("widths", "a sequence of at least one width", repr(widths))
    sizes = [whole_number("input_dimension", input_dimension, 1)]
    sizes += [whole_number(f"widths[{index}]", width, 1) for index, width in enumerate(widths)]
    outputs = whole_number("outputs", outputs, 1)
    affordable("widths", kind.itemsize * sum(a * b for a, b in pairwise(sizes)))
    affordable("outputs", 2 * 8 * outputs * sizes[-1])  # the readout, and the signs' indices
    generator = np.random.default_rng(whole_number("seed", seed, 0))

    def gaussian(*shape: int) -> np.ndarray:
        numbers = generator.standard_normal(shape, dtype=kind.type)
        numbers *= kind.type(np.sqrt(2.0 / shape[0]))  # in place: the largest may be most of the memory
        return numbers

    return Network(
        weights=[gaussian(fan_out, fan_in) for fan_in, fan_out in pairwise(sizes)],
        readout=generator.choice(np.array([-1.0, 1.0], kind), (outputs, sizes[-1])),
        biases=[gaussian(width) for width in sizes[1:]] if biases else None,
        activation=activation,
    )
