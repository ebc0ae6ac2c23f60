"""What every room may know: plain data, names, the contract, checks of arguments. Nothing here computes."""

from reference.contract.arguments import DTYPES, STORAGES, ArgumentError, SolveError
from reference.contract.device_array import DeviceArray, is_device_array
from reference.contract.implementation import (
    METHODS,
    OPERATIONS,
    Capabilities,
    Factory,
    Implementation,
    Summands,
    capabilities_of,
    configured,
    load_factory,
)
from reference.contract.network import ACTIVATIONS, Activation, Network
from reference.contract.problem import DATA, Classes, Problem, load_digit_classes, load_problem
from reference.contract.report import PHASES, LayerCertificate, LayerWork, PhaseWork, SolveReport, StepReport
from reference.contract.targets import LOSSES, targets

__all__ = [
    "ACTIVATIONS",
    "DATA",
    "DTYPES",
    "LOSSES",
    "METHODS",
    "OPERATIONS",
    "PHASES",
    "STORAGES",
    "Activation",
    "ArgumentError",
    "Capabilities",
    "Classes",
    "DeviceArray",
    "Factory",
    "Implementation",
    "LayerCertificate",
    "LayerWork",
    "Network",
    "PhaseWork",
    "Problem",
    "SolveError",
    "SolveReport",
    "StepReport",
    "Summands",
    "capabilities_of",
    "configured",
    "is_device_array",
    "load_digit_classes",
    "load_factory",
    "load_problem",
    "targets",
]
