"""Factories for the tests of the sweep: they do no useful work, but keep the contract."""

import time

import numpy as np

from reference.contract import ArgumentError, Capabilities, LayerWork, PhaseWork, StepReport

STEPS = {"count": 0, "stop_at": None}


class Counting:
    """Reports work m^1.5 in the square layers, and losses 2^-t."""

    def __init__(self, network):
        self.m, self.t = network.widths[-1], 0

    def step(self, X, y, **options):
        STEPS["count"] += 1
        if STEPS["count"] == STEPS["stop_at"]:
            raise KeyboardInterrupt
        begin = time.perf_counter()
        np.ones(self.m)
        self.t += 1
        work = PhaseWork(
            {0: LayerWork(1, 1), 1: LayerWork(self.m, self.m), 2: LayerWork(round(self.m**1.5), self.m)},
            time.perf_counter() - begin,
        )
        return StepReport(2.0**-self.t, dict.fromkeys(("forward", "backward", "gram", "solve", "update"), work))


class Silent:
    """Counts nothing, and is wrong."""

    def __init__(self, network):
        pass

    def step(self, X, y, **options):
        return StepReport(float("nan"))


def counting(network, *, device="cpu", dtype="float32"):
    return Counting(network)


def silent(network, *, device="cpu", dtype="float32"):
    return Silent(network)


def stepless(network, *, device="cpu", dtype="float32"):
    raise AssertionError("must not be built")


stepless.capabilities = Capabilities(operations=("forward",))


def fastidious(network, *, device="cpu", dtype="float32"):
    raise ArgumentError("network", "a nicer one", "this one")


not_callable = 3
