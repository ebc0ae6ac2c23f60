"""The course of a run on a device: its parts in their order, each within its share of the time, none able to end it.

What fails is recorded, and the run goes on with the next part. What is left of the time goes to the sweep, from the
largest width down, since that is where the question is; then to more rounds of it, in random order, each begun only
where it fits.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.device.parity import run_properties
from benchmarks.device.plan import Findings, Limits, Memory, Plan, Trouble
from benchmarks.device.process import DeviceProcess, PartError, TooLateError
from benchmarks.visit import Visit

#: Whom the properties are tried on; those with options that a factory does not take are left out.
PARITY = ("impl:factory", "impl:factory?forward=certified&self_check=true")
PARITY_DTYPES = ("float32", "float64")
BFLOAT16 = "impl:factory?weights=lazy&maintenance=keep&storage=bfloat16"

# Of the budget, at most: for the properties, for counted work, for one visit of the sweep.
PARITY_SHARE, COUNTERS_SHARE, VISIT_SHARE = 0.3, 0.12, 0.12
LIMITS_SECONDS = 60.0
# A visit is told to end by itself; only a process that does not is ended.
PATIENCE_SECONDS = 45.0
# What is kept for the end: the analysis and the files.
RESERVE_SECONDS = 8.0

Store = Callable[[Findings], None]
Progress = Callable[[str], None]


class Course:
    """A run.

    Args:
        plan: What to do.
        store: Called with the findings whenever a part of them is complete, and with each visit as it is taken.
        keep: Called with every visit and every figure of memory, as an entry of a journal.
        progress: Called with what is being done.
    """

    def __init__(self, plan: Plan, store: Store, keep: Callable[[dict[str, Any]], None], progress: Progress):
        self.findings = Findings()
        self._plan, self._store, self._keep, self._progress = plan, store, keep, progress
        self._process = DeviceProcess(plan)
        self._begin = time.monotonic()
        self._rates: dict[int, float] = {}
        self._spent: dict[tuple[str, int], float] = {}
        self._ready: set[tuple[int, str, int]] = set()  # in which start of the process whom, at which width

    def run(self) -> Findings:
        """Does everything; Ctrl-C ends it early with what there is."""
        self._store(self.findings)  # the folder says what is running there
        try:
            self._part("limits", self._limits)
            self._part("parity", self._parity)
            self._part("counters", self._counters)
            self._part("sweep", self._sweep)
        except KeyboardInterrupt:
            self.findings.ended_by = "interruption"
        finally:
            self._process.close()
        return self.findings

    @property
    def _left(self) -> float:
        """Seconds of the budget."""
        return self._plan.budget - RESERVE_SECONDS - (time.monotonic() - self._begin)

    def _part(self, name: str, do: Callable[[], None]) -> None:
        begin = time.monotonic()
        try:
            do()
        finally:
            self.findings.seconds[name] = time.monotonic() - begin
            self.findings.environment = self._process.environment or self.findings.environment
            self._store(self.findings)

    @contextmanager
    def _recorded(self, part: str, where: str) -> Iterator[None]:
        """What fails inside is recorded."""
        self._progress(f"{part}: {where}")
        try:
            yield
        except PartError as error:
            self.findings.trouble.append(Trouble(part, where, str(error), True))

    def _left_out(self, part: str, where: str, reason: str = "no time was left") -> None:
        self.findings.trouble.append(Trouble(part, where, reason, False))

    def _limits(self) -> None:
        with self._recorded("limits", self._plan.device):
            copy, read, multiply_adds, buffer, size = self._process.ask(LIMITS_SECONDS, "limits")
            self.findings.limits = Limits(copy, read, multiply_adds, int(buffer), int(size))

    def _parity(self) -> None:
        impls = list(PARITY)
        with self._recorded("parity", BFLOAT16):
            if self._process.ask(LIMITS_SECONDS, "has", source=BFLOAT16):
                impls.append(BFLOAT16)
            else:
                self._left_out("parity", BFLOAT16, "the factory does not have it")
        runs = [(impl, dtype) for dtype in PARITY_DTYPES for impl in impls if impl != BFLOAT16 or dtype == "float32"]
        end = time.monotonic() + PARITY_SHARE * self._plan.budget
        for number, (impl, dtype) in enumerate(runs):
            where, seconds = f"{impl} in {dtype}", (end - time.monotonic()) / (len(runs) - number)
            if min(seconds, self._left) < 1.0:
                self._left_out("parity", where)
                continue
            with self._recorded("parity", where):
                found = run_properties(impl, self._plan.device, dtype, min(seconds, self._left))
                self.findings.parity.append(found)
                if found["missing"]:
                    self._left_out("parity", f"{where}: {', '.join(found['missing'])}")
                for failure in found["failures"]:
                    self.findings.trouble.append(Trouble("parity", where, failure["property"], True))

    def _counters(self) -> None:
        end = time.monotonic() + COUNTERS_SHARE * self._plan.budget
        for m in self._plan.counted_widths:
            for name in self._plan.implementations:
                where, seconds = f"{name} at m = {m}", min(end - time.monotonic(), self._left)
                if seconds < 1.0:
                    self._left_out("counters", where)
                    continue
                with self._recorded("counters", where):
                    try:
                        found = self._process.ask(seconds, "counters", name=name, m=m)
                    except TooLateError as error:  # its share of the budget, not what a device might need
                        self._left_out("counters", where, str(error))
                        continue
                    self.findings.counters.append(found)
                    if not found["equal"]:
                        self.findings.trouble.append(Trouble("counters", where, _first_difference(found), True))

    def _sweep(self) -> None:
        points = [(name, m) for m in reversed(self._plan.widths) for name in self._plan.implementations]
        for place, (name, m) in enumerate(points):
            self._visit(name, m, 0, f"round 1, {place + 1} of {len(points)}")
            if name == points[-1][0]:  # a width is complete
                self._store(self.findings)
        self.findings.ended_by = "rounds"
        whole = [m for m in self._plan.widths if all((name, m) in self._spent for name in self._plan.implementations)]
        points = [(name, m) for name, m in points if m in whole]
        longest = sum(self._spent[point] for point in points)
        for number in range(1, self._plan.rounds):
            if not points or self._left < 1.1 * longest:
                self.findings.ended_by = "budget" if points else "rounds"
                break
            random.Random(f"{self._plan.seed} {number}").shuffle(points)
            for place, (name, m) in enumerate(points):
                self._visit(name, m, number, f"round {number + 1}, {place + 1} of {len(points)}")
            self._store(self.findings)

    def _prepare(self, name: str, m: int, limit: float) -> None:
        """Starts everything at this width, in a process that has not yet, and follows memory."""
        if self._process.alive and (self._process.starts, name, m) in self._ready:
            return
        arguments = {
            "name": name,
            "m": m,
            "limit": limit,
            "learning_rate": self._rates.get(m, self._plan.learning_rate),
        }
        found = self._process.ask(limit + PATIENCE_SECONDS, "prepare", **arguments)
        self._ready.add((self._process.starts, name, m))
        self._rates.setdefault(m, found["learning_rate"])
        if (name, m) not in self.findings.memory:
            memory = self.findings.memory[name, m] = Memory(*found["memory"])
            self._keep({"kind": "memory", "implementation": name, "m": m, "bytes": memory.extra})

    def _visit(self, name: str, m: int, number: int, place: str) -> None:
        where = f"{name} at m = {m}, {place}"
        limit = min(VISIT_SHARE * self._plan.budget, self._left)
        if limit < 1.0:
            self._left_out("sweep", where)
            return
        with self._recorded("sweep", where):
            self._prepare(name, m, limit / 2.0)
            begin = time.monotonic()
            arguments = {"name": name, "m": m, "number": number, "limit": limit, "learning_rate": self._rates[m]}
            plain = self._process.ask(limit + PATIENCE_SECONDS, "visit", **arguments)
            self._keep({"kind": "visit", "elapsed": time.monotonic() - begin, "visit": plain})
            taken = Visit.of_plain(plain)
            if len(taken.losses) < self._plan.iterations:
                self.findings.partial.append(taken)
                done = f"{len(taken.losses)} of {self._plan.iterations} iterations were taken"
                self._left_out("sweep", where, f"{done} in {limit:.0f} s")
                return
            self._spent.setdefault((name, m), time.monotonic() - begin)
            self.findings.visits.setdefault((name, m), []).append(taken)


def _first_difference(found: dict[str, Any]) -> str:
    first = found["differences"][0]
    return f"{first['what']} in step {first['step']}: {first.get('device')} on the device, {first['cpu']} on the CPU"
