"""A whole iteration over m, timed by asv itself: for the plots of its history."""

from __future__ import annotations

from benchmarks.contestant import DENSE, OURS, load_contestants
from reference.contract import load_problem
from reference.initialization import random_network


class Iteration:
    """One Gauss-Newton iteration of a network of depth 3 on 32 digits, in float32."""

    params = ((DENSE, OURS.partition("=")[0]), (512, 1024, 2048, 4096))
    param_names = ("implementation", "m")
    version = "1"
    timeout = 120
    rounds = 1  # each takes a process, and with it the start of torch
    warmup_time = 0.2

    def setup(self, name: str, m: int) -> None:
        """Builds the network and takes the first step, which may compile."""
        self.problem = load_problem("digits", 32)
        factory = next(entry.factory for entry in load_contestants([OURS], dtype="float32") if entry.name == name)
        network = random_network(self.problem.X.shape[1], [m] * 3, dtype="float32")
        self.implementation = factory(network, device="cpu", dtype="float32")
        self.time_iteration(name, m)

    def time_iteration(self, name: str, m: int) -> None:
        """The wall-clock time of step()."""
        self.implementation.step(self.problem.X, self.problem.y, learning_rate=0.3)
