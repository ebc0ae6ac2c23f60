"""Estimators: pure functions from widths and costs to exponents, ratios and crossovers, usable on anybody's numbers."""

from benchmarks.scaling.bootstrap import Interval, interval, resampled_medians, round_choices
from benchmarks.scaling.crossover import Crossover, crossover
from benchmarks.scaling.exponent import TimeExponent, time_exponent, work_exponent
from benchmarks.scaling.power_law import (
    FlooredPowerLaw,
    PowerLaw,
    fit_floored_power_law,
    fit_power_law,
    local_exponents,
)
from benchmarks.scaling.ratio import Ratio, ratios
from benchmarks.scaling.theory import active_count, sparse_exponents

__all__ = [
    "Crossover",
    "FlooredPowerLaw",
    "Interval",
    "PowerLaw",
    "Ratio",
    "TimeExponent",
    "active_count",
    "crossover",
    "fit_floored_power_law",
    "fit_power_law",
    "interval",
    "local_exponents",
    "ratios",
    "resampled_medians",
    "round_choices",
    "sparse_exponents",
    "time_exponent",
    "work_exponent",
]
