"""Counted work and ranks of lazy weights by width: `python -m tests.impl.lazy_work MAINTENANCE WIDTH...` prints JSON.

In a process of its own, where no array annotation is checked: that takes five times as long as the steps.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import torch

import impl
from reference import load_problem, random_network

ITERATIONS = 64
SAMPLES = 8
DEPTH = 3


def measured(width: int, maintenance: str) -> dict:
    """Trains on another mini-batch in every step.

    Returns:
        Multiply-adds of the m × m layers, which are all but layer 1, over all phases of all steps; and for every step
        folds, recompressions and ranks.
    """
    data = load_problem("digits", 4 * SAMPLES)
    generator = np.random.default_rng(0)
    network = random_network(64, [width] * DEPTH, dtype="float32")
    implementation = impl.factory(network, weights="lazy", maintenance=maintenance)
    work, steps = 0, []
    for _ in range(ITERATIONS):
        chosen = generator.choice(len(data.X), SAMPLES, replace=False)
        report = implementation.step(data.X[chosen], data.y[chosen], learning_rate=0.3, damping=1e-2)
        for phase in report.work.values():
            work += sum(counted.multiply_adds for layer, counted in phase.layers.items() if layer > 1)
        steps.append([report.folds, report.recompressions, report.ranks])
    return {"width": width, "work": work, "steps": steps, "ranks": implementation.ranks}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps([measured(int(width), sys.argv[1]) for width in sys.argv[2:]]))
