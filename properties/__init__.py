"""The verification suite: properties that any implementation of the contract can be put through."""

# Properties run in the order in which they are registered: claims about single cases, then those about many draws.
# isort: off
from properties import claims
from properties import statistics

# isort: on
from properties.cases.case import Case
from properties.suite import REGISTRY, Outcome, Property, Subject, run_property, run_suite

__all__ = [
    "REGISTRY",
    "Case",
    "Outcome",
    "Property",
    "Subject",
    "claims",
    "run_property",
    "run_suite",
    "statistics",
]
