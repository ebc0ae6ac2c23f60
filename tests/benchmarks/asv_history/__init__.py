"""A repository with a planted slope regression, measured commit by commit by asv, and what its published history flags.

The repository holds this one's reference/, benchmarks/ and asv.conf.json, a smaller settings.py of the suites, and an
implementation whose forward phase costs m^1.5 until a commit makes it m^1.8; nothing else of it ever changes.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PLANTED = Path(__file__).resolve().parent / "planted"
BEFORE, AFTER = 1.5, 1.8

#: Few of the trackers, and yet both kinds of exponent, of all phases and implementations.
BENCHMARKS = r"exponents\.(Work\.track_work_exponent|Time\.track_time_exponent\()"


class History:
    """The repository.

    Attributes:
        folder: Where it is; it is made by the constructor, with everything that asv leaves.
        commits: Their hashes, the oldest first.
    """

    def __init__(self, folder: Path, commits: int, changed: int, rounds: int):
        """Makes the commits.

        Args:
            folder: To be created.
            commits: How many.
            changed: The number of the first one that costs more, counted from 0.
            rounds: Of each sweep; the more, the better for the time exponents, on which work exponents do not depend.
        """
        self.folder = folder
        self._home = folder / ".home"  # asv writes a file about the machine into it
        self._home.mkdir(parents=True)
        for part in ("reference", "benchmarks"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "example"))
        shutil.copy(ROOT / "asv.conf.json", folder)
        settings = (PLANTED / "settings.py").read_text(encoding="utf-8") + f"ROUNDS = {rounds}\n"
        (folder / "benchmarks" / "suites" / "settings.py").write_text(settings, encoding="utf-8")
        (folder / ".gitignore").write_text(".asv/\n.home/\n__pycache__/\n", encoding="utf-8")
        implementation = (PLANTED / "implementation.py").read_text(encoding="utf-8")
        before, after = f"EXPONENT = {BEFORE}", f"EXPONENT = {AFTER}"
        assert implementation.count(before) == 1
        self._git("init", "--quiet", "--initial-branch=main")
        self.commits = []
        for number in range(commits):
            text = implementation if number < changed else implementation.replace(before, after)
            (folder / "impl.py").write_text(text, encoding="utf-8")
            self._git("add", "--all")
            self._git("commit", "--quiet", "--allow-empty", f"--message=commit {number}", day=number)
            self.commits.append(self._git("rev-parse", "HEAD").strip())

    def measure(self, progress: Callable[[str], None] = lambda _: None) -> None:
        """Runs asv at every commit."""
        self._asv("machine", "--yes")
        for number, commit in enumerate(self.commits):
            progress(f"commit {number}: {commit[:8]}")
            self._git("checkout", "--quiet", commit)
            environment = f"existing:{sys.executable}"
            self._asv("run", "-E", environment, "--set-commit-hash", commit, "--bench", BENCHMARKS, "--show-stderr")
        self._git("checkout", "--quiet", "main")

    def regressions(self) -> dict[str, list[tuple[int, float, float]]]:
        """Publishes, and reads what is flagged: by tracker with its parameters the (commit, value before, after)."""
        self._asv("publish", "--no-pull")
        pages = self.folder / ".asv" / "html"
        hashes = json.loads((pages / "index.json").read_text(encoding="utf-8"))["revision_to_hash"]
        found = json.loads((pages / "regressions.json").read_text(encoding="utf-8"))["regressions"]
        return {
            name: [(self.commits.index(hashes[str(revision)]), before, after) for _, revision, before, after in jumps]
            for name, _, _, _, _, _, jumps in found
        }

    def series(self, tracker: str, *parameters: str) -> list[float]:
        """The published values of a tracker, commit by commit, NaN where it has none."""
        pages = self.folder / ".asv" / "html"
        described = json.loads((pages / "index.json").read_text(encoding="utf-8"))["benchmarks"][tracker]
        place = list(itertools.product(*described["params"])).index(tuple(map(repr, parameters)))
        (graph,) = (path for path in pages.rglob(f"{tracker}.json") if "summary" not in path.parts)
        values = [values[place] for _, values in json.loads(graph.read_text(encoding="utf-8"))]
        return [math.nan if value is None else value for value in values]

    def _asv(self, *arguments: str) -> None:
        self._run(sys.executable, "-m", "asv", *arguments)

    def _git(self, *arguments: str, day: int = 0) -> str:
        return self._run("git", *arguments, day=day)

    def _run(self, *command: str, day: int = 0) -> str:
        who, when = ("name", "name@example.org"), f"2024-01-{day + 1:02}T12:00:00+00:00"
        variables = {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in zip(("NAME", "EMAIL", "DATE"), (*who, when), strict=True)
        }
        variables |= {
            "GIT_CONFIG_GLOBAL": os.devnull,
            "HOME": str(self._home),
            "ASV_PYTHONPATH": str(self.folder),  # instead of whatever is installed beside asv
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(
            command, cwd=self.folder, env=os.environ | variables, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done.stdout
