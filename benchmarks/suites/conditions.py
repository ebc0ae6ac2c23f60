"""asv stores numbers under a commit and asks nothing: numbers of anything else must not get there."""

from __future__ import annotations

import os

#: Set to anything, it lets a tree with changes be measured: to try out a suite, with `asv run --dry-run`.
ALLOW_DIRTY = "ALLOW_DIRTY"


def refuse_changes() -> None:
    """Raises ArgumentError where the tree under test has changes that are not committed."""
    from benchmarks.environment import environment
    from reference.contract import ArgumentError

    conditions = environment("cpu")
    if conditions["dirty"] and not os.environ.get(ALLOW_DIRTY):
        raise ArgumentError(
            "tree",
            f"one without uncommitted changes to tracked files, or {ALLOW_DIRTY}=1 in the environment",
            f"changes to commit {conditions['commit'][:12]}",
        )
