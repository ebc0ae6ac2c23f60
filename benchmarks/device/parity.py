"""The properties on the device: the verification suite, as a command of its own, for so long at most."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.device.process import ROOT, PartError

#: On the device as on the CPU; and, since both might be wrong alike, as the oracle has it.
PROPERTIES = (
    "results_on_the_device_are_those_on_the_cpu",
    "outputs_match_the_oracle",
    "gram_matrix_matches_the_oracle",
    "gauss_newton_step_matches_the_oracle",
    "every_step_of_a_run_matches_the_oracle",
    "wide_networks_are_evaluated_to_their_last_unit",
)
PROFILE, EXAMPLES = "dev", 8  # a part of the named cases and as many random ones: there is little time
_GRACE_SECONDS = 10


def run_properties(impl: str, device: str, dtype: str, seconds: float) -> dict[str, Any]:
    """Runs the properties; what has not been tried in time is said to be missing.

    Args:
        impl: A factory with its options.
        device: A torch device.
        dtype: In which all cases are tried.
        seconds: After which the run is interrupted.

    Returns:
        In plain JSON types: the counts, the failures, the command.

    Raises:
        PartError: where the command gives no result.
    """
    command = ["-m", "properties", "--impl", impl, "--device", device, "--dtype", dtype]
    command += ["--profile", PROFILE, "--examples", str(EXAMPLES)]
    for name in PROPERTIES:
        command += ["--only", name]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        result = Path(folder) / "result.json"
        with _interrupts_are_heard():
            process = subprocess.Popen(
                [sys.executable, *command, "--json", str(result)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the parent, which ends it
            )
        try:
            wait(process, seconds, log.fileno())
        finally:
            process.kill()
            process.wait()
        if not result.exists():
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines()
            raise PartError(f"{lines[-1][:300] if lines else 'nothing said'} (exit status {process.returncode})")
        found = json.loads(result.read_text(encoding="utf-8"))
    tried = [outcome["property"] for outcome in found["outcomes"]]
    return {
        "implementation": impl,
        "dtype": dtype,
        "device": device,
        "command": "python " + " ".join(command),
        "seconds": found["seconds"],
        "counts": found["counts"],
        "cases": sum(outcome["examples"] for outcome in found["outcomes"]),
        "missing": [name for name in PROPERTIES if name not in tried],
        "failures": [
            {"property": outcome["property"], "message": outcome["failure"]["message"]}
            for outcome in found["outcomes"]
            if outcome["failure"] is not None
        ],
    }


def wait(process: subprocess.Popen[bytes], seconds: float, log: int) -> None:
    """Until it ends; after its time it is interrupted, and then writes what it has.

    An interrupt that Python meets in a callback is lost, and so it is sent again until the log tells that it was heard.

    Args:
        process: Of properties.
        seconds: Its time.
        log: The descriptor of what it prints.
    """
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    for _ in range(_GRACE_SECONDS):
        if process.poll() is not None:
            return
        if b"interrupted: " not in os.pread(log, os.fstat(log).st_size, 0):
            process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1.0)


@contextmanager
def _interrupts_are_heard() -> Iterator[None]:
    """A process begun here heeds SIGINT, also where this one, begun in the background by a shell, ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
