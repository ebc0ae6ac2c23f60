"""A whole iteration, timed by asv itself: with samples, which tell noise from change where it compares two commits."""

from __future__ import annotations

from .conditions import refuse_changes
from .settings import DENSE, DEPTH, IMPLEMENTATIONS, LEARNING_RATE, SAMPLES, VERSION


class Iteration:
    """One Gauss-Newton iteration after another on the CPU, in float32."""

    params = ((DENSE, "eager"), (1024, 2048))
    param_names = ("implementation", "m")
    version = VERSION
    timeout = 120
    rounds = 1  # each takes a process, and with it the start of torch
    warmup_time = 0.2

    def setup(self, name: str, m: int) -> None:
        """Builds the network and takes the first step, which may compile."""
        from benchmarks.contestant import load_contestants
        from reference.contract import load_problem
        from reference.initialization import random_network

        refuse_changes()
        rivals = [f"{name}={source}" for rival, source in IMPLEMENTATIONS.items() if rival == name]
        factory = next(entry.factory for entry in load_contestants(rivals, dtype="float32") if entry.name == name)
        self.problem = load_problem("digits", SAMPLES)
        network = random_network(self.problem.X.shape[1], [m] * DEPTH, dtype="float32")
        self.implementation = factory(network, device="cpu", dtype="float32")
        self.time_iteration(name, m)

    def time_iteration(self, name: str, m: int) -> None:
        """The wall-clock time of step()."""
        self.implementation.step(self.problem.X, self.problem.y, learning_rate=LEARNING_RATE)
