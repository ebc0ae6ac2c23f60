"""What every room may know: plain data, names, the contract, checks of arguments. Nothing here computes."""

from reference.contract.arguments import DTYPES, ArgumentError, SolveError
from reference.contract.implementation import (
    LOSSES,
    METHODS,
    OPERATIONS,
    Capabilities,
    Factory,
    Implementation,
    capabilities_of,
    load_factory,
)
from reference.contract.network import ACTIVATIONS, Activation, Network
from reference.contract.problem import DATA, Problem, load_problem
from reference.contract.report import PHASES, LayerWork, PhaseWork, StepReport

__all__ = [
    "ACTIVATIONS",
    "DATA",
    "DTYPES",
    "LOSSES",
    "METHODS",
    "OPERATIONS",
    "PHASES",
    "Activation",
    "ArgumentError",
    "Capabilities",
    "Factory",
    "Implementation",
    "LayerWork",
    "Network",
    "PhaseWork",
    "Problem",
    "SolveError",
    "StepReport",
    "capabilities_of",
    "load_factory",
    "load_problem",
]
