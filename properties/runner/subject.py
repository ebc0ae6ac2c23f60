"""The implementation under test, as the properties see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from properties.cases.case import Case
from properties.runner.boundary import Boundary
from properties.runner.compare import Mismatch, assert_masks
from properties.tolerances.replay import Replay, replay
from properties.tolerances.rounding import Arithmetic
from reference.contract import (
    ACTIVATIONS,
    DTYPES,
    LOSSES,
    METHODS,
    STORAGES,
    Capabilities,
    Factory,
    Implementation,
    Network,
    Summands,
    capabilities_of,
    load_factory,
)
from reference.contract.arguments import ArgumentError, one_of

#: Names that an implementation may declare, where the contract has a list of them.
DECLARED = {"dtypes": DTYPES, "activations": ACTIVATIONS, "methods": METHODS, "losses": LOSSES}


@dataclass
class Subject:
    """The implementation under test.

    Attributes:
        name: How the caller names it.
        factory: Builds it.
        device: Where.
        run_length: How many steps a property about long runs takes; the profile says (properties/runner/profiles.py).
        capabilities: What it declares.
        units: Units whose masks were compared.
        ambiguous_units: Those of them inside the rounding band, where either mask is legal.
        steps: Gauss–Newton steps compared.
        unresolved_steps: Those of them so ill-conditioned that rounding leaves the step open.
    """

    name: str
    factory: Factory
    device: str = "cpu"
    units: int = 0
    ambiguous_units: int = 0
    steps: int = 0
    unresolved_steps: int = 0
    run_length: int = 8
    capabilities: Capabilities = field(init=False)

    def __post_init__(self) -> None:
        self.capabilities = capabilities_of(self.factory)

    def build(self, case: Case, network: Network | None = None) -> Implementation:
        """The implementation of the case's network, or of another network in the case's dtype.

        Raises:
            Mismatch: where the factory raises or returns nothing.
        """
        options = {} if case.trained is None else {"trained_layers": case.trained}
        try:
            implementation = self.factory(network or case.network, device=self.device, dtype=case.dtype, **options)
        except Exception as error:
            raise Mismatch(f"factory: expected an implementation, got {type(error).__name__}: {error}") from error
        if implementation is None:
            raise Mismatch("factory: expected an implementation, got None")
        return Boundary(implementation)

    def summands(self, implementation: Implementation) -> Sequence[Summands] | None:
        """How the implementation holds its weights, where it says that it holds them as sums."""
        method = getattr(implementation, "summands", None)
        return None if method is None else method()

    def replay(self, case: Case, implementation: Implementation, network: Network | None = None) -> Replay:
        """The oracle replayed with the implementation's masks, after these were found legal."""
        masks = [np.asarray(mask) for mask in implementation.active_sets(case.X)]
        network = network or case.network
        shapes = [(case.samples, width) for width in network.widths[1:]]
        usable = masks if [mask.shape for mask in masks] == shapes else None
        summands = self.summands(implementation)
        oracle = replay(network, case.X.astype(np.float64), Arithmetic(case.dtype), usable, summands)
        self.units += sum(mask.size for mask in oracle.masks)
        self.ambiguous_units += sum(int(unclear.sum()) for unclear in oracle.ambiguous)
        assert_masks(masks, oracle)
        return oracle


def subject_named(name: str, device: str = "cpu", run_length: int = 8, *, dtype: str | None = None) -> Subject:
    """The subject that a command line names.

    Args:
        name: "package.module:factory", options may follow (see load_factory).
        device: A torch device.
        run_length: See Subject.
        dtype: In which all cases are tried; None for all that are declared.

    Raises:
        ArgumentError: where it cannot be imported, declares what is not in the contract, or does not declare the dtype.
    """
    try:
        subject = Subject(name, load_factory(name), device, run_length=run_length)
    except ArgumentError:
        raise
    except Exception as error:  # whatever a user's module raises when it is imported
        raise ArgumentError(
            "impl", "a module and capabilities that can be loaded", f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(subject.capabilities, Capabilities):
        raise ArgumentError("capabilities", "a Capabilities", type(subject.capabilities).__name__)
    for field_name, allowed in DECLARED.items():
        for word in getattr(subject.capabilities, field_name):
            if word not in allowed:
                raise ArgumentError(f"capabilities.{field_name}", "some of " + ", ".join(allowed), repr(word))
    storage, dtypes = subject.capabilities.storage, subject.capabilities.dtypes
    if storage not in (None, *STORAGES):
        raise ArgumentError("capabilities.storage", "None or one of " + ", ".join(STORAGES), repr(storage))
    if storage and tuple(dtypes) != ("float32",):
        raise ArgumentError("capabilities.dtypes", f"float32 alone, to which {storage} is widened", repr(dtypes))
    if dtype is not None:
        one_of("dtype", dtype, subject.capabilities.dtypes)
        subject.capabilities = replace(subject.capabilities, dtypes=(dtype,))
    return subject
