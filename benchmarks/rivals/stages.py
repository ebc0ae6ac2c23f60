"""The stages of a dense iteration: run one by one, or replayed as CUDA graphs, where their shapes never change.

At small widths a dense iteration on a GPU consists of waiting for a hundred small kernels to be launched. A graph
launches those of a stage together. Between stages the host looks at what was computed, and decides whether the step
goes on: that stays outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch

from benchmarks.rivals.meter import Meter
from reference.contract import LayerWork

Result = TypeVar("Result")
#: Takes what is to be recorded; returns what replays it, and its result, which every replay overwrites.
Recorder = Callable[[Callable[[], Any]], tuple[Callable[[], None], Any]]

_WARM_UPS = 2  # libraries set up their workspaces at the first call, which a graph must not contain


class Stages(Protocol):
    """Runs stages, in the order in which they come in an iteration."""

    def load(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """The tensor from which stages read this value."""

    def run(self, name: str, compute: Callable[[Meter], Result], meter: Meter) -> Result:
        """The result of a stage, whose work is counted by the meter that it is given."""


class EagerStages:
    """See Stages: one operation after the other."""

    def load(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """See Stages."""
        return value

    def run(self, name: str, compute: Callable[[Meter], Result], meter: Meter) -> Result:
        """See Stages."""
        return compute(meter)


class ReplayedStages:
    """See Stages: recorded when they are first run, and replayed from then on.

    Args:
        recorder: Records a stage; by default as a CUDA graph.
    """

    def __init__(self, recorder: Recorder):
        self._recorder = recorder
        self._tensors: dict[str, torch.Tensor] = {}
        self._recorded: dict[str, _Recorded] = {}

    def load(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """See Stages. Always the same tensor, into which the value is copied."""
        if name not in self._tensors:
            self._tensors[name] = value.clone()
        return self._tensors[name].copy_(value)

    def run(self, name: str, compute: Callable[[Meter], Result], meter: Meter) -> Result:
        """See Stages. The result is overwritten the next time."""
        if name not in self._recorded:
            counted = Meter(torch.device("cpu"))  # only counts: what is recorded is not timed

            def counting() -> Result:
                counted.work.clear()
                counted.begin(name)
                return compute(counted)

            replay, kept = self._recorder(counting)
            self._recorded[name] = _Recorded(replay, kept, counted.work[name].layers)
        recorded = self._recorded[name]
        recorded.replay()
        meter.add(recorded.layers)
        result: Result = recorded.result
        return result


@dataclass(frozen=True)
class _Recorded:
    replay: Callable[[], None]
    result: Any
    layers: dict[int, LayerWork]


class CudaGraphs:
    """A recorder of CUDA graphs that share their memory, as stages follow each other.

    Args:
        device: A CUDA device.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._pool: Any = None

    def __call__(self, compute: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        """See Recorder."""
        with torch.cuda.device(self._device):
            here, side = torch.cuda.current_stream(), torch.cuda.Stream()
            side.wait_stream(here)
            with torch.cuda.stream(side):
                for _ in range(_WARM_UPS):
                    compute()
            here.wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):
                result = compute()
            self._pool = graph.pool()

        def replay() -> None:
            graph.replay()

        return replay, result
