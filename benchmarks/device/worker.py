"""The process that has the device: does what it is asked, a line at a time, and may die of it.

An error on a GPU may spoil everything that a process does afterwards. So the measurement is taken by a process that can
be replaced. Requests and replies are JSON, one a line; whatever else is printed goes to standard error.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from dataclasses import replace
from typing import Any

import torch

from benchmarks.contestant import load_contestant
from benchmarks.device.conditions import device_environment
from benchmarks.device.counters import compare_counts
from benchmarks.device.limits import measure_limits
from benchmarks.device.network import drawn_network
from benchmarks.device.plan import Memory
from benchmarks.learning_rate import settled
from benchmarks.memory import extra_memory
from benchmarks.sweep import MEMORY_WINDOW
from benchmarks.visit import Training, step, visit
from reference.contract import ArgumentError, Network, SolveError, load_problem
from reference.initialization import random_network

COUNTED_STEPS = 8
_WARM_UP_STEPS = 2


class Worker:
    """What the process keeps from request to request: samples and contestants, and nothing on the device."""

    def __init__(self, setting: dict[str, Any]):
        if setting["threads"] is not None:
            torch.set_num_threads(setting["threads"])
        torch.set_float32_matmul_precision("high" if setting["tf32"] else "highest")
        seed, dimension = setting["seed"], setting["dimension"]
        problem = load_problem(setting["data"], setting["samples"], seed=seed, dimension=dimension)
        self._setting, self._device = setting, torch.device(setting["device"])
        names = ("iterations", "learning_rate", "device", "dtype", "method")
        self._training = Training(problem, **{name: setting[name] for name in names}, tf32=setting["tf32"])
        self._contestants = {
            name: load_contestant(f"{name}={source}", dtype=setting["dtype"], method=setting["method"])
            for name, source in setting["implementations"].items()
        }

    def conditions(self) -> dict[str, Any]:
        """The environment."""
        return device_environment(self._device)

    def limits(self) -> list[float]:
        """Of the device."""
        return list(measure_limits(self._device, getattr(torch, self._training.dtype)))

    def has(self, source: str) -> bool:
        """Whether a factory takes the options that are written for it."""
        tiny = random_network(2, [4], dtype=self._training.dtype)
        try:
            load_contestant(source, dtype=self._training.dtype).factory(tiny, dtype=self._training.dtype)
        except (ArgumentError, TypeError):
            return False
        return True

    def counters(self, name: str, m: int) -> dict[str, Any]:
        """Counted work against the CPU's."""
        problem, depth, seed = self._training.problem, self._setting["depth"], self._setting["seed"]
        network = random_network(problem.X.shape[1], [m] * depth, seed=seed, dtype="float64")
        training = replace(self._training, dtype="float64", iterations=COUNTED_STEPS)
        contestant = self._contestants[name]
        training = settled(training, contestant.factory(network, dtype="float64"))
        return compare_counts(training, contestant, network, self._setting["device"])

    def prepare(self, name: str, m: int, limit: float, learning_rate: float | str) -> dict[str, Any]:
        """Takes a few steps, so that libraries and compilers have started at this width, and follows memory."""
        contestant, cuda = self._contestants[name], self._device.type == "cuda"
        training = replace(self._training, learning_rate=learning_rate)
        deadline = time.perf_counter() + limit
        if cuda:
            torch.cuda.reset_peak_memory_stats(self._device)
        implementation = contestant.factory(self._network(m), device=training.device, dtype=training.dtype)
        construction = torch.cuda.max_memory_allocated(self._device) if cuda else None
        training = settled(training, implementation)
        for _ in range(_WARM_UP_STEPS):
            step(training, implementation)
        held = torch.cuda.memory_allocated(self._device) if cuda else None

        def window() -> None:
            for _ in range(min(training.iterations, MEMORY_WINDOW)):
                if time.perf_counter() < deadline:
                    step(training, implementation)

        extra = extra_memory(window, training.device)
        peak = torch.cuda.max_memory_allocated(self._device) if cuda else None
        return {"memory": list(Memory(extra, held, construction, peak)), "learning_rate": training.learning_rate}

    def visit(self, name: str, m: int, number: int, limit: float, learning_rate: float) -> dict[str, Any]:
        """A window of iterations, as far as it comes in so many seconds."""
        training, network = replace(self._training, learning_rate=learning_rate), self._network(m)
        deadline = time.perf_counter() + limit
        return visit(training, self._contestants[name], network, number, deadline=deadline).plain()

    def clear(self) -> bool:
        """Gives memory back; whether the device still answers."""
        gc.collect()
        if self._device.type == "cuda":
            try:
                torch.cuda.synchronize(self._device)
                torch.cuda.empty_cache()
            except RuntimeError:
                return False
        return True

    def _network(self, m: int) -> Network:
        dimension, setting = self._training.problem.X.shape[1], self._setting
        widths = [m] * setting["depth"]
        return drawn_network(dimension, widths, seed=setting["seed"], device=self._device, dtype=setting["dtype"])


def reply_to(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    """The reply to a request: under "value" what a method of the worker returns, or under "error" why it failed."""
    method = getattr(worker, request.pop("do"))
    try:
        reply: dict[str, Any] = {"value": method(**request)}
    except (ArgumentError, SolveError) as error:
        reply = {"error": str(error)}
    except torch.OutOfMemoryError as error:
        reply = {"error": f"out of memory: {_one_line(error)}"}
    except MemoryError as error:
        reply = {"error": f"out of memory on the host: {_one_line(error)}"}
    except Exception as error:  # the code under measurement may raise anything, and the run must say what
        reply = {"error": f"{type(error).__name__}: {_one_line(error)}"}
    return reply


def main() -> None:
    """Serves until its input ends, or until the device no longer answers."""
    gc.freeze()  # each visit collects garbage, which would walk through all that the libraries hold
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker: Worker | None = None
    for line in sys.stdin:
        request = json.loads(line)
        if worker is None:
            try:
                worker = Worker(request)
                reply: dict[str, Any] = {"value": worker.conditions()}
            except Exception as error:  # whatever keeps the process from starting is the reply
                reply = {"error": f"{type(error).__name__}: {_one_line(error)}"}
        else:
            reply = reply_to(worker, request)
            if not worker.clear():
                reply["spoiled"] = True
        print(json.dumps(reply), file=replies, flush=True)
        if reply.get("spoiled"):
            os._exit(1)  # libraries may wait for the device in vain when they are taken down


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


if __name__ == "__main__":
    main()
