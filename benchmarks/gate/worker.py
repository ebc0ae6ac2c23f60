"""A version under measurement: a process that imports one commit's code and does what it is asked, a line at a time.

Run as `python -m benchmarks.gate.worker` in a folder that holds the commit's files. Requests and replies are JSON, one
a line; whatever the code under measurement prints goes to standard error.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import Any

import torch

from benchmarks.contestant import load_contestant
from benchmarks.memory import extra_memory
from benchmarks.sweep import window_memory
from benchmarks.visit import Training, visit
from reference.contract import ArgumentError, Network, SolveError, load_problem
from reference.initialization import random_network


class Worker:
    """What a process keeps from request to request: samples, networks, contestants."""

    def __init__(self, setting: dict[str, Any]):
        if setting["threads"] is not None:
            torch.set_num_threads(setting["threads"])
        problem = load_problem(setting["data"], setting["samples"], seed=setting["seed"])
        self._training = Training(
            problem, setting["iterations"], setting["learning_rate"], setting["device"], setting["dtype"]
        )
        self._depth, self._seed = setting["depth"], setting["seed"]
        self._networks: dict[int, Network] = {}
        self._contestants = {
            name: load_contestant(f"{name}={source}", dtype=setting["dtype"])
            for name, source in setting["implementations"].items()
        }
        for m in setting["draw"]:
            self._network(m)

    def visit(self, name: str, m: int, number: int) -> dict[str, Any]:
        """A window of iterations."""
        return visit(self._training, self._contestants[name], self._network(m), number).plain()

    def memory(self, name: str, m: int) -> dict[str, int]:
        """Peak bytes of iterations, and of the construction."""
        contestant, training = self._contestants[name], self._training
        network = self._network(m)

        def construct() -> None:
            contestant.factory(network, device=training.device, dtype=training.dtype)

        return {
            "iteration": window_memory(training, contestant, network),
            "construction": extra_memory(construct, training.device),
        }

    def _network(self, m: int) -> Network:
        if m not in self._networks:
            self._networks[m] = random_network(
                self._training.problem.X.shape[1], [m] * self._depth, seed=self._seed, dtype=self._training.dtype
            )
        return self._networks[m]


def main() -> None:
    """Serves until its input ends."""
    gc.freeze()  # each visit collects garbage, which would walk through all that the libraries hold
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker: Worker | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "set":
                worker = Worker(request["setting"])
                reply: dict[str, Any] = {"torch": torch.__version__, "threads": torch.get_num_threads()}
            elif worker is not None and request["do"] == "visit":
                reply = worker.visit(request["implementation"], request["m"], request["round"])
            elif worker is not None and request["do"] == "memory":
                reply = worker.memory(request["implementation"], request["m"])
            else:
                reply = {"error": f"cannot do {request['do']!r}"}
        except (ArgumentError, SolveError) as error:
            reply = {"error": str(error)}
        except Exception as error:  # the code under measurement may raise anything, and the gate must say what
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
