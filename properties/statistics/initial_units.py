"""Statistical properties of the first hidden layer at the random initialization (reference/README.md, section 1).

For an input of norm 1 its preactivations are independent and N(0, 2/m), so that counts of active units are binomial.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy import special

from properties.cases.case import Case
from properties.runner.subject import Subject
from properties.statistics import pvalues
from properties.statistics.budget import ALPHA, Design, assert_probable, statistical
from properties.statistics.drawn import drawn_network, without_initialization
from properties.statistics.sample import Sample
from reference import activation as phi
from reference.contract import Activation
from reference.contract.shapes import Float

UNITS = 65536
BROAD = Sample(input_dimension=4, widths=(UNITS, 1), samples=1, b=0.5)

#: 33 groups, as for the sketches, over the units of a layer.
UNIT_MEANS = pvalues.MedianOfMeans(groups=33, size=UNITS // 33)


def _missed_share() -> float:
    """How often a share of active units that is off by a third passes, at the default threshold."""
    rate = _tail(math.sqrt(0.4 * math.log(UNITS)))
    return max(
        pvalues.binomial_miss(UNITS, rate, ALPHA / 4, 4 / 3 * rate),
        pvalues.binomial_miss(UNITS, 1 - rate, ALPHA / 4, 1 - 2 / 3 * rate),  # too many inactive ones
    )


def _tail(b: float) -> float:
    """Q(b)."""
    return float(special.ndtr(-b))


def norm_variance(activation: Activation) -> float:
    """Var of m·φ(z)² for z ~ N(0, 2/m), where E m·φ(z)² = 1.

    With g standard normal and M_k = E g^k 1[g > b]: M_0 = Q(b), M_1 = p(b), M_2 = Q + b·p, M_3 = (b² + 2)·p and
    M_4 = 3 M_2 + b³·p, and the moments of (g − b)₊ by the binomial theorem.

    Args:
        activation: With b given.
    """
    assert activation.b is not None
    b, tail = activation.b, _tail(activation.b)
    density = math.exp(-b * b / 2) / math.sqrt(2 * math.pi)
    moments = [tail, density, tail + b * density, (b * b + 2) * density]
    moments.append(3 * moments[2] + b**3 * density)
    shift = b if activation.kind == "shifted_relu" else 0.0
    second, fourth = (
        sum(math.comb(power, k) * moments[k] * (-shift) ** (power - k) for k in range(power + 1)) for power in (2, 4)
    )
    return fourth / second**2 - 1


@statistical(
    Design(
        null="E‖h_1‖² = ‖x‖² for ‖x‖ = 1, over the initialization",
        assumes="independent units, and the variance of m·φ(z)², which is derived",
        draws=f"one network of {UNITS} units, for each activation",
        alternative="a mean norm² off by 0.45 or more: the shifted ReLU without √c is off by 0.58",
        beta=UNIT_MEANS.miss(0.45 / math.sqrt(norm_variance(Activation("shifted_relu", 0.5))), ALPHA / 2),
    ),
    "jacobian_factors",
    examples={"shifted ReLU": BROAD, "thresholded identity": replace(BROAD, kind="thresholded_identity")},
    unless=without_initialization,
)
def initial_layers_keep_the_norm_of_their_input(subject: Subject, case: Case) -> None:
    """‖h_1‖² is a mean over units of m·φ(z)², with z ~ N(0, 2/m) independent, and c makes its expectation 1."""
    network = drawn_network(subject, case)
    hidden = subject.build(case, network).jacobian_factors(_unit_sample(case))[1][1]
    values = (UNITS * np.square(hidden.astype(np.float64)))[0, : UNIT_MEANS.draws]
    median = UNIT_MEANS.median(values)
    assert_probable(
        "norm of the first hidden layer",
        (),
        UNIT_MEANS.p(abs(median - 1) / math.sqrt(norm_variance(network.activation))),
        ALPHA / 2,
        lambda: f"expected ‖h‖² = 1, the median of {UNIT_MEANS.groups} means over {UNITS} units is {median:.4g}",
    )


@statistical(
    Design(
        null="a unit is active with probability Q(b), for ‖x‖ = 1, over the initialization",
        assumes="independent units",
        draws=f"one network of {UNITS} units, for b = 0.5 and for the default b = √(0.4·ln m)",
        alternative="a share off by a third or more: another threshold, another variance",
        beta=_missed_share(),
    ),
    "active_sets",
    examples={"b = 0.5": BROAD, "default threshold": replace(BROAD, b=None)},
    unless=without_initialization,
)
def initial_share_of_active_units_is_that_of_the_threshold(subject: Subject, case: Case) -> None:
    """The number of active units is binomial, as z/√(2/m) is standard normal."""
    network = drawn_network(subject, case)
    active = int(subject.build(case, network).active_sets(_unit_sample(case))[0].sum())
    rate = _tail(phi.threshold_parameter(network.activation, UNITS))
    assert_probable(
        "share of active units",
        (),
        pvalues.binomial_p(active, UNITS, rate),
        ALPHA / 2,
        lambda: f"expected a binomial number with mean {UNITS * rate:.0f}, got {active} of {UNITS} units",
    )


def _unit_sample(case: Case) -> Float[np.ndarray, "1 d"]:
    X = case.X[:1].astype(np.float64)
    return (X / np.linalg.norm(X)).astype(case.dtype)
