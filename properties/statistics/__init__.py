"""Statistical properties: sketches and the random initialization, tested with stated error rates.

Each draws a number of samples that is fixed in advance, once a run, and declares how often it fails a correct
implementation and how often it passes a wrong one (`error_budget`, or `python -m properties.statistics`).
"""

from properties.statistics import initial_units, initial_weights, sketches
from properties.statistics.budget import ALPHA, BUDGET, Design, Improbable, error_budget
from properties.statistics.sample import Sample

__all__ = [
    "ALPHA",
    "BUDGET",
    "Design",
    "Improbable",
    "Sample",
    "error_budget",
    "initial_units",
    "initial_weights",
    "sketches",
]
