"""What a run on a device is to do, and what it has found so far: plain data that crosses between its processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.visit import Visit


@dataclass(frozen=True)
class Plan:
    """What to do.

    Attributes:
        device: A torch device.
        implementations: By name the factories that are swept, the dense rival among them.
        data: Name of the problem.
        samples: n.
        dimension: d of the synthetic problem.
        depth: L.
        seed: Chooses samples, weights and the order within rounds.
        dtype: "float32" or "float64".
        method: Of the steps.
        learning_rate: Of the steps, or "stable".
        tf32: Whether products may be taken in TF32.
        widths: m, increasing.
        counted_widths: m at which counted work is compared with the CPU's.
        iterations: Of a window.
        rounds: At most.
        budget: Seconds of the whole run.
        threads: CPU threads, None for torch's own choice.
    """

    device: str
    implementations: dict[str, str]
    data: str
    samples: int
    dimension: int
    depth: int
    seed: int
    dtype: str
    method: str
    learning_rate: float | str
    tf32: bool
    widths: tuple[int, ...]
    counted_widths: tuple[int, ...]
    iterations: int
    rounds: int
    budget: float
    threads: int | None


class Limits(NamedTuple):
    """The most that a device was seen to do.

    Attributes:
        copy: Bytes a second read and written by a copy.
        read: Bytes a second read by a sum.
        multiply_adds: A second, of a square product in the dtype of the sweep.
        buffer: Bytes that were copied and read.
        size: Of the product.
    """

    copy: float
    read: float
    multiply_adds: float
    buffer: int
    size: int

    @property
    def bandwidth(self) -> float:
        """Bytes a second, of the better of copy and read."""
        return max(self.copy, self.read)


class Memory(NamedTuple):
    """Bytes of torch's allocator on the device; None where it keeps no account.

    Attributes:
        extra: Peak of iterations beyond what is held between them.
        held: Between iterations.
        construction: Peak while the implementation is built.
        peak: Of the iterations, all in all.
    """

    extra: int
    held: int | None = None
    construction: int | None = None
    peak: int | None = None


class Trouble(NamedTuple):
    """A part that failed or was left out.

    Attributes:
        part: "parity", "counters", "limits" or "sweep".
        where: What of it: an implementation, a width.
        reason: In words.
        failed: Whether it failed; else there was no time.
    """

    part: str
    where: str
    reason: str
    failed: bool


@dataclass
class Findings:
    """What was found so far.

    Attributes:
        environment: The conditions, from the process that measures.
        parity: What became of the properties, run by run.
        counters: Counted work on the device against the CPU's, case by case.
        limits: None until they are measured.
        visits: By (implementation, m), whole windows only.
        partial: Windows that were cut off for lack of time.
        memory: By (implementation, m).
        trouble: What failed or was left out.
        seconds: By part.
        ended_by: "rounds", "budget" or "interruption".
    """

    environment: dict[str, Any] = field(default_factory=dict)
    parity: list[dict[str, Any]] = field(default_factory=list)
    counters: list[dict[str, Any]] = field(default_factory=list)
    limits: Limits | None = None
    visits: dict[tuple[str, int], list[Visit]] = field(default_factory=dict)
    partial: list[Visit] = field(default_factory=list)
    memory: dict[tuple[str, int], Memory] = field(default_factory=dict)
    trouble: list[Trouble] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    ended_by: str = "interruption"
