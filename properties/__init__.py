"""The verification suite: properties that any implementation of the contract can be put through."""

# Each module registers its properties, and they run in this order.
# isort: off
from properties import evaluation
from properties import training
from properties import bad_input

# isort: on
from properties.case import Case
from properties.suite import REGISTRY, Outcome, Property, Subject, run_property, run_suite

__all__ = ["REGISTRY", "Case", "Outcome", "Property", "Subject", "run_property", "run_suite"]
__all__ += ["bad_input", "evaluation", "training"]
