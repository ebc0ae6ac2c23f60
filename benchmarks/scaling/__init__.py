"""Estimators: pure functions from widths and costs to exponents, ratios and crossovers, usable on anybody's numbers."""

from benchmarks.scaling.crossover import Crossover, crossover
from benchmarks.scaling.exponent import TimeExponent, floored_exponent, plain_exponent, time_exponent, work_exponent
from benchmarks.scaling.held_out import HeldOut, held_out
from benchmarks.scaling.interval import Interval, half_width
from benchmarks.scaling.power_law import (
    FlooredPowerLaw,
    PowerLaw,
    fit_floored_power_law,
    fit_power_law,
    local_exponents,
)
from benchmarks.scaling.ratio import Ratio, ratios
from benchmarks.scaling.regime import RegimeChange, regime_change
from benchmarks.scaling.rounds import Settled, settle_columns, settle_rounds
from benchmarks.scaling.theory import active_count, sparse_exponents, sparse_work

__all__ = [
    "Crossover",
    "FlooredPowerLaw",
    "HeldOut",
    "Interval",
    "PowerLaw",
    "Ratio",
    "RegimeChange",
    "Settled",
    "TimeExponent",
    "active_count",
    "crossover",
    "fit_floored_power_law",
    "fit_power_law",
    "floored_exponent",
    "half_width",
    "held_out",
    "local_exponents",
    "plain_exponent",
    "ratios",
    "regime_change",
    "settle_columns",
    "settle_rounds",
    "sparse_exponents",
    "sparse_work",
    "time_exponent",
    "work_exponent",
]
