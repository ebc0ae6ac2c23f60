"""What every implementation must do: each module registers its properties, and they run in this order."""

# isort: off
from properties.claims import evaluation
from properties.claims import ties
from properties.claims import storage
from properties.claims import consistency
from properties.claims import differences
from properties.claims import symmetries
from properties.claims import training
from properties.claims import singular
from properties.claims import linearity
from properties.claims import runs
from properties.claims import sequences
from properties.claims import determinism
from properties.claims import standstill
from properties.claims import aliasing
from properties.claims import errors
from properties.claims import work
from properties.claims import footprint
from properties.claims import parity
from properties.claims import precision
from properties.claims import sizes
from properties.claims import overflow
from properties.claims import instances
from properties.claims import bad_input

# isort: on

__all__ = [
    "aliasing",
    "bad_input",
    "consistency",
    "determinism",
    "differences",
    "errors",
    "evaluation",
    "footprint",
    "instances",
    "linearity",
    "overflow",
    "parity",
    "precision",
    "runs",
    "sequences",
    "singular",
    "sizes",
    "standstill",
    "storage",
    "symmetries",
    "ties",
    "training",
    "work",
]
