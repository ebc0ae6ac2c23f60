"""Factories for the tests of the sweep: they do no useful work, but keep the contract."""

import gc
import os
import signal
import time
from contextlib import contextmanager

import numpy as np
import torch

from benchmarks.rivals.dense import blas_factory
from reference.contract import ArgumentError, Capabilities, LayerWork, PhaseWork, StepReport

STEPS = {"count": 0, "stop_at": None}


@contextmanager
def undisturbed():
    """Steps are counted from 0 and never stopped, and a sweep of tiny networks is quick.

    Every visit collects garbage, which takes long beside all that a test suite has imported; and threads that wait for
    each other take longer than tiny matrices do.
    """
    STEPS.update(count=0, stop_at=None)
    torch.set_num_threads(1)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        STEPS.update(count=0, stop_at=None)


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


class Slow(Counting):
    """As Counting, over milliseconds, so that a signal finds it at work."""

    def step(self, X, y, **options):
        time.sleep(0.002)
        return super().step(X, y, **options)


class WrongOutputs:
    """The dense rival, losses and all, but for the outputs that it evaluates."""

    def __init__(self, network, dtype):
        self.inner = blas_factory(network, dtype=dtype)

    def step(self, X, y, **options):
        return self.inner.step(X, y, **options)

    def forward(self, X):
        return 1.01 * self.inner.forward(X)


class Silent:
    """Counts nothing, and is wrong."""

    def __init__(self, network):
        pass

    def step(self, X, y, **options):
        return StepReport(float("nan"))


def counting(network, *, device="cpu", dtype="float32"):
    return Counting(network)


counting.capabilities = Capabilities(operations=("step",))


def slow(network, *, device="cpu", dtype="float32"):
    return Slow(network)


slow.capabilities = counting.capabilities


def wrong_outputs(network, *, device="cpu", dtype="float32"):
    return WrongOutputs(network, dtype)


def silent(network, *, device="cpu", dtype="float32"):
    return Silent(network)


silent.capabilities = counting.capabilities


def stepless(network, *, device="cpu", dtype="float32"):
    raise AssertionError("must not be built")


stepless.capabilities = Capabilities(operations=("forward",))


def fastidious(network, *, device="cpu", dtype="float32"):
    raise ArgumentError("network", "a nicer one", "this one")


not_callable = 3


class VerySlow(Counting):
    """Takes seconds for a step."""

    def step(self, X, y, **options):
        time.sleep(1.0)
        return super().step(X, y, **options)


def very_slow(network, *, device="cpu", dtype="float32"):
    return VerySlow(network)


very_slow.capabilities = counting.capabilities


def deadly(network, *, device="cpu", dtype="float32"):
    os.kill(os.getpid(), signal.SIGKILL)


deadly.capabilities = counting.capabilities


def newtonian(network, *, device="cpu", dtype="float32"):
    raise AssertionError("must not be built")


newtonian.capabilities = Capabilities(methods=("gauss_newton",))
