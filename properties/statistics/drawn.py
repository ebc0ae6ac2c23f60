"""The random network that an implementation draws, for the properties of the initialization."""

from __future__ import annotations

from properties.cases.case import Case
from properties.runner.compare import Mismatch
from properties.runner.subject import Subject
from properties.statistics.sample import Sample
from reference.contract import Activation, Network


def without_initialization(subject: Subject) -> str:
    """Why the properties of the initialization are not for this subject, "" where they are."""
    return "" if subject.capabilities.initialization else "the implementation declares no random initialization"


def drawn_network(subject: Subject, case: Case, seed: int | None = None) -> Network:
    """The implementation's random network of the case's sizes.

    Args:
        subject: The implementation.
        case: Sizes, activation and dtype.
        seed: Of the network; None for the case's first.

    Raises:
        Mismatch: where it is not what was asked for.
    """
    draw = getattr(subject.factory, "random_network", None)
    if draw is None:
        raise Mismatch("random_network: an initialization is declared, but the factory has no such attribute")
    chosen = first_seed(case) if seed is None else seed
    activation = Activation(case.kind, case.b)
    network = draw(
        case.input_dimension, case.widths, outputs=case.outputs, activation=activation, seed=chosen, dtype=case.dtype
    )
    if not isinstance(network, Network):
        raise Mismatch(f"random_network: expected a Network, got {type(network).__name__}")
    got = (network.widths, network.outputs, network.activation, str(network.weights[0].dtype), network.biases)
    expected = ((case.input_dimension, *case.widths), case.outputs, activation, case.dtype, None)
    if got != expected:
        raise Mismatch(f"random_network: expected widths, outputs, activation, dtype, biases {expected}, got {got}")
    return network


def first_seed(case: Case) -> int:
    """The seed of the case's network."""
    assert isinstance(case, Sample)
    return case.seeds(1)[0]
