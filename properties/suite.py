"""The suite's names, for those who write properties and for those who run them."""

from properties.runner.registry import REGISTRY, Check, Property, register
from properties.runner.run import Interrupted, Outcome, run_property, run_suite
from properties.runner.subject import Subject

__all__ = [
    "REGISTRY",
    "Check",
    "Interrupted",
    "Outcome",
    "Property",
    "Subject",
    "register",
    "run_property",
    "run_suite",
]
