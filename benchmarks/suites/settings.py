"""What the suites measure. Only the standard library here: asv starts a process for every tracked value."""

from __future__ import annotations

from pathlib import Path

#: Raise it by hand with every change of this module, of a tracker, or of anything that changes what an unchanged
#: implementation measures as: benchmarks/scaling, the sweep, its analysis, the dense rival. asv then compares no
#: numbers across the change, of which it sees the tracker's own source at most.
VERSION = "4"

#: Of the devices those that this machine seems to have; torch has the last word (setup of SharedSweep).
DEVICES = ("cpu", "cuda") if Path("/dev/nvidiactl").exists() else ("cpu",)

#: The rival that all others are held against; benchmarks.contestant defines it.
DENSE = "dense"

#: Whom the sweep measures beside the dense rival: by how weights are kept, by how the system is solved, and by how the
#: forward pass is taken.
#: What the factory of an older commit does not know by these options cannot be measured.
IMPLEMENTATIONS = {
    "eager": "impl:factory?weights=eager&solver=cholesky",
    "lazy-folding": "impl:factory?weights=lazy&maintenance=fold&solver=cholesky",
    "lazy-keeping": "impl:factory?weights=lazy&maintenance=keep&solver=cholesky",
    "cg": "impl:factory?weights=eager&solver=cg",
    "sketched-cg": "impl:factory?weights=eager&solver=sketched-cg",
    "certified": "impl:factory?forward=certified",
}
NAMES = (DENSE, *IMPLEMENTATIONS)

PHASES = ("initialization", "forward", "backward", "gram", "solve", "update", "iteration")

#: Those that exponents are fitted over, and of them those of which costs are tracked one by one.
WIDTHS = {
    "cpu": (256, 362, 512, 724, 1024, 1448, 2048),
    "cuda": (512, 724, 1024, 1448, 2048, 2896, 4096, 5792, 8192),
}
TRACKED_WIDTHS = tuple(sorted({m for device in DEVICES for m in WIDTHS[device] if m >= 512 and m & (m - 1) == 0}))

SAMPLES = 32
DEPTH = 3
#: Of a window, from the initial weights on.
ITERATIONS = 16
LEARNING_RATE = 0.3
ROUNDS = 15
#: Seconds of each device's sweep, after which no round is begun.
BUDGET = 150.0
