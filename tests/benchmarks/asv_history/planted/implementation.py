"""The implementation of the planted history: its forward phase costs m^EXPONENT, counted and timed, its update m.

It computes sines, of a block that stays in the cache. The losses that it reports are those of the dense rival, which it
lets take the same steps when it is built: the suites fail where an implementation disagrees.
"""

import time

import numpy as np

from benchmarks.rivals.dense import factory as dense
from benchmarks.suites.settings import ITERATIONS, LEARNING_RATE, SAMPLES
from reference.contract import PHASES, Capabilities, LayerWork, PhaseWork, StepReport, load_problem

EXPONENT = 1.5
SINES = 32  # times m^EXPONENT: enough for the time to be felt
BLOCK = np.linspace(0.0, 1.0, 4096)


class Planted:
    """A step that costs what it says."""

    def __init__(self, network):
        m = network.widths[-1]
        self._sines = {"forward": round(SINES * m**EXPONENT), "update": SINES * m}
        self._losses = _losses(m, network)
        self._taken = 0

    def step(self, X, y, **options):
        work = {phase: _phase(self._sines.get(phase, 1)) for phase in PHASES}
        self._taken += 1
        return StepReport(self._losses[(self._taken - 1) % len(self._losses)], work)


def factory(network, *, device="cpu", dtype="float32"):
    return Planted(network)


factory.capabilities = Capabilities(operations=("step",), methods=("gauss_newton",), counts_work=True)


def _phase(sines):
    begin = time.perf_counter()
    for _ in range(sines // BLOCK.size):
        np.sin(BLOCK)
    np.sin(BLOCK[: sines % BLOCK.size])
    return PhaseWork({2: LayerWork(sines, 8 * sines)}, time.perf_counter() - begin)


def _losses(m, network):
    if m not in _known:
        rival, problem = dense(network, device="cpu", dtype="float32"), load_problem("digits", SAMPLES)
        options = {"method": "gauss_newton", "learning_rate": LEARNING_RATE, "damping": 1e-6}
        _known[m] = [rival.step(problem.X, problem.y, **options).loss for _ in range(ITERATIONS)]
    return _known[m]


_known = {}
