"""What was measured, on what, in one line."""

from __future__ import annotations

from typing import Any


def setting(document: dict[str, Any]) -> str:
    """Problem, machine and length of a sweep, as far as they are known.

    Args:
        document: The contents of scaling.json.
    """
    problem, environment = document["problem"], document["environment"]
    threads = environment.get("threads")
    machine = [environment.get("cpu"), environment.get("device"), None if threads is None else f"{threads} threads"]
    return "; ".join(
        [
            f"Gauss–Newton on {problem['data']}, n = {problem['samples']}, d = {problem['dimension']}, "
            f"depth {problem['depth']}, {problem['dtype']}",
            *filter(None, [", ".join(str(part) for part in machine if part is not None)]),
            f"{problem['rounds']} rounds of {problem['iterations']} iterations, ended by {problem['ended_by']}",
        ]
    )
