"""`python -m tests.benchmarks.asv_history`: does the published history flag a planted slope regression, and when?"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.asv_history import AFTER, BEFORE, History

TRACKERS = ("exponents.Work.track_work_exponent", "exponents.Time.track_time_exponent")
IMPLEMENTATION, PHASE = "planted", "forward"


def main() -> int:
    """Returns 0 where both exponents of the planted phase are flagged at the commit, and no other work exponent is."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.asv_history", description=__doc__)
    parser.add_argument("--commits", type=int, default=10, metavar="N", help="default: %(default)s")
    parser.add_argument("--changed", type=int, default=5, metavar="K", help="counted from 0, default: %(default)s")
    parser.add_argument("--rounds", type=int, default=9, metavar="R", help="of each sweep, default: %(default)s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder) / "planted", options.commits, options.changed, options.rounds)
        history.measure(lambda line: print(line, flush=True))
        regressions = history.regressions()
        series = {tracker: history.series(tracker, "cpu", IMPLEMENTATION, PHASE) for tracker in TRACKERS}
    print(f"planted: {PHASE} of {IMPLEMENTATION!r}, from m^{BEFORE} to m^{AFTER} at commit {options.changed}")
    for tracker, values in series.items():
        print(f"  {tracker}: {' '.join(f'{value:.3f}' for value in values)}")
    print("flagged:")
    for name, jumps in sorted(regressions.items()):
        for commit, before, after in jumps:
            print(f"  commit {commit}: {name}, {before:.3f} to {after:.3f}")
    return 0 if _as_planted(regressions, options.changed) else 1


def _as_planted(regressions: dict[str, list[tuple[int, float, float]]], changed: int) -> bool:
    """The iteration holds the planted phase, and may be flagged or not; times of the rest are left to the machine."""
    flagged = [f"{tracker}('cpu', '{IMPLEMENTATION}', '{PHASE}')" for tracker in TRACKERS]
    affected = {f"{TRACKERS[0]}('cpu', '{IMPLEMENTATION}', '{phase}')" for phase in (PHASE, "iteration")}
    found = all([jump[0] for jump in regressions.get(name, [])] == [changed] for name in flagged)
    return found and {name for name in regressions if name.startswith(TRACKERS[0])} <= affected


if __name__ == "__main__":
    sys.exit(main())
