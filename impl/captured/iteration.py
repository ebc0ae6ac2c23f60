"""A Gauss–Newton iteration replayed from CUDA graphs, with one wait for the device: where it is decided."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from impl.captured.counts import IterationCounts
from impl.captured.recorder import Recorder
from impl.captured.stages import Layers, Stages
from impl.weights import EagerWeights
from impl.work import WorkMeter
from reference.contract import SolveReport, StepReport
from reference.contract.shapes import Float

# Room for entries beyond those that were seen: supports change slowly, and where it is too small the step is taken
# plainly, and all is recorded anew.
SPARE, LEAST_SPARE = 1.25, 256


class CapturedIteration:
    """Takes steps that go as they usually go, and leaves all others to the plain course.

    At moderate widths a step on a GPU consists of waiting for some hundred small kernels to be launched. Their sizes
    depend on the supports, which the device finds; so arrays are given a fixed room, and the sizes stay there. What is
    recorded writes no weights until the host has seen that the step is sound. Batches of one size are recorded when the
    second of them comes in a row.

    Args:
        layers: The network, whose tables must not move.
        weights: Of all layers.
        recorder: Makes what records the stages.

    Attributes:
        notes: Why nothing can be recorded, where that was found.
    """

    def __init__(self, layers: Layers, weights: Sequence[EagerWeights], recorder: Callable[[], Recorder]):
        self._layers, self._weights, self._recorder = layers, weights, recorder
        self._device, self._dtype = layers.tables[0].device, layers.tables[0].dtype
        self._seen: tuple[int, list[int]] | None = None
        self._recorded: _Recorded | None = None
        self.notes: tuple[str, ...] = ()

    def observe(self, samples: int, entries: Sequence[int]) -> None:
        """What a step of the plain course has met.

        Args:
            samples: n.
            entries: Of the inputs' support, and of those of layers 1 … L.
        """
        self._seen = samples, list(entries)

    def step(
        self,
        X: Float[torch.Tensor, "n d"],
        y: Float[torch.Tensor, "n c"],
        *,
        learning_rate: float,
        damping: float,
    ) -> StepReport | None:
        """One iteration of Gauss–Newton with the squared loss, or None where the plain course has to take it.

        Nothing has changed then.
        """
        recorded = self._record_for(X.shape[0])
        if recorded is None:
            return None
        stages, work = recorded.stages, WorkMeter(self._device)
        stages.X.copy_(X)
        stages.y.copy_(y)
        stages.damping.fill_(damping)
        stages.learning_rate.fill_(learning_rate)
        with work.phase("forward"):
            recorded.forward()
        with work.phase("backward"):
            recorded.backward()
        with work.phase("gram"):
            recorded.gram()
        with work.phase("solve"):
            recorded.solve()
        with work.phase("update"):
            recorded.prepare()
            verdict = _Verdict(stages.verdict.tolist(), stages)  # the wait
            if not verdict.sound or not self._bounds_hold(verdict, len(X)):
                self._make_room(verdict)
                return None
            for layer, bound in zip(self._layers.trained, self._bounds(verdict, len(X)), strict=True):
                self._weights[layer - 1].magnitude = bound  # before, as nothing may fail afterwards
            recorded.apply()
        self._seen = None  # a batch of another size was not the last
        self._count(verdict, work)
        counts = verdict.counts[1:]
        return StepReport(
            loss=verdict.loss,
            work=work.phases,
            dead_samples=tuple(np.flatnonzero(counts.min(axis=0) == 0).tolist()),
            active_counts=tuple(counts.copy()),
            solver="cholesky",
            solve=SolveReport(),
        )

    def __getstate__(self) -> dict[str, Any]:
        """For copies: what was recorded reads and writes the arrays of this network, not the copy's."""
        return {**self.__dict__, "_recorded": None, "_seen": None}

    def _record_for(self, samples: int) -> _Recorded | None:
        """What was recorded for batches of this size; it is now, if one has come before."""
        if self._recorded is not None and self._recorded.samples == samples:
            return self._recorded
        if self.notes or self._seen is None or self._seen[0] != samples:
            return None
        self._recorded = None
        rooms = [int(SPARE * entries) + LEAST_SPARE for entries in self._seen[1]]
        try:
            self._recorded = _Recorded(Stages(self._layers, samples, rooms), samples, self._recorder())
        except RuntimeError as error:  # memory may be short, and the plain course needs less
            self.notes = (f"steps are not replayed, as recording failed: {str(error).splitlines()[0]}",)
        return self._recorded

    def _bounds(self, verdict: _Verdict, samples: int) -> list[float]:
        """Of the entries of the trained layers' weights after the step."""
        return [
            self._weights[layer - 1].magnitude + samples * right * left
            for layer, (right, left) in zip(self._layers.trained, verdict.update_sizes, strict=True)
        ]

    def _bounds_hold(self, verdict: _Verdict, samples: int) -> bool:
        return all(bound <= torch.finfo(self._dtype).max for bound in self._bounds(verdict, samples))

    def _make_room(self, verdict: _Verdict) -> None:
        """Where there was too little, what was recorded is of no more use."""
        recorded = self._recorded
        if recorded is not None and any(np.asarray(verdict.wanted) > recorded.stages.rooms):
            self._recorded = None

    def _count(self, verdict: _Verdict, work: WorkMeter) -> None:
        widths = [self._layers.tables[0].shape[0], *(table.shape[1] for table in self._layers.tables)]
        outputs = self._layers.readout.table.shape[1]
        counted = IterationCounts(widths, verdict.counts, outputs, self._layers.trained, self._dtype.itemsize)
        for name in ("forward", "backward", "gram", "solve", "update"):
            with work.counting(name):
                getattr(counted, name)(work)


class _Recorded:
    """The stages, recorded one after the other as they follow each other in a step."""

    def __init__(self, stages: Stages, samples: int, recorder: Recorder):
        self.stages, self.samples = stages, samples
        self.forward = recorder(stages.forward)
        self.backward = recorder(stages.backward)
        self.gram = recorder(stages.gram)
        self.solve = recorder(stages.solve)
        self.prepare = recorder(stages.prepare)
        self.apply = recorder(stages.apply, rehearse=False)  # it writes weights


class _Verdict:
    """What the host has to know of a step before weights are written.

    Attributes:
        counts: Entries of each support by sample, (L + 1, n).
        wanted: Entries of each support, had there been room.
        loss: Before the step.
        update_sizes: For every trained layer the largest right and left factor.
        sound: Whether there was room, all is finite, and Cholesky's factor is no noise.
    """

    def __init__(self, numbers: list[float], stages: Stages):
        supports, n = len(stages.rooms), stages.samples
        counts, rest = numbers[: supports * n], numbers[supports * n :]
        self.counts = np.array(counts, dtype=np.int64).reshape(supports, n)
        self.wanted = [int(number) for number in rest[:supports]]
        self.loss, sound = rest[supports], rest[supports + 1]
        flat = rest[supports + 2 :]
        self.update_sizes = list(zip(flat[::2], flat[1::2], strict=True))
        self.sound = bool(
            sound
            and math.isfinite(self.loss)
            and all(map(math.isfinite, flat))
            and all(wanted <= room for wanted, room in zip(self.wanted, stages.rooms, strict=True))
        )
