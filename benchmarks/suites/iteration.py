"""A whole iteration, timed by asv itself: with samples, which tell noise from change where it compares two commits."""

from __future__ import annotations

from .conditions import refuse_changes
from .settings import DENSE, DEPTH, DEVICES, IMPLEMENTATIONS, LEARNING_RATE, SAMPLES, VERSION


class Iteration:
    """One Gauss-Newton iteration after another, in float32."""

    params = (DEVICES, (DENSE, "eager"), (1024, 2048))
    param_names = ("device", "implementation", "m")
    version = VERSION
    timeout = 120
    rounds = 1  # each takes a process, and with it the start of torch
    warmup_time = 0.2

    def setup(self, device: str, name: str, m: int) -> None:
        """Builds the network and takes the first step, which may compile; skips a device that torch cannot use."""
        import torch

        from benchmarks.contestant import load_contestants
        from reference.contract import load_problem
        from reference.initialization import random_network

        refuse_changes()
        if device == "cuda" and not torch.cuda.is_available():
            raise NotImplementedError("torch cannot use cuda here")
        rivals = [f"{name}={source}" for rival, source in IMPLEMENTATIONS.items() if rival == name]
        factory = next(entry.factory for entry in load_contestants(rivals, dtype="float32") if entry.name == name)
        self.problem = load_problem("digits", SAMPLES)
        network = random_network(self.problem.X.shape[1], [m] * DEPTH, dtype="float32")
        self.implementation = factory(network, device=device, dtype="float32")
        self.time_iteration(device, name, m)

    def time_iteration(self, device: str, name: str, m: int) -> None:
        """The wall-clock time of step(), which ends when its device has done its work."""
        self.implementation.step(self.problem.X, self.problem.y, learning_rate=LEARNING_RATE)
