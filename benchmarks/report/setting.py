"""What was measured, on what, in one line."""

from __future__ import annotations

from typing import Any

from benchmarks.contestant import METHOD_TITLES
from benchmarks.learning_rate import STABLE


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
            f"{method(problem)} on {problem['data']}, n = {problem['samples']}, d = {problem['dimension']}, "
            f"depth {problem['depth']}, {problem['dtype']}",
            *filter(None, [", ".join(str(part) for part in machine if part is not None)]),
            f"{problem['rounds']} rounds of {problem['iterations']} iterations, ended by {problem['ended_by']}",
        ]
    )


def method(problem: dict[str, Any]) -> str:
    """The method of the steps with its learning rate, as far as they are known.

    Args:
        problem: Of scaling.json.
    """
    title = METHOD_TITLES.get(str(problem.get("method")), "steps of an unknown method")
    rate = problem.get("learning_rate")
    if rate == STABLE:
        return f"{title} at the largest stable learning rate"
    return f"{title} at the learning rate {rate:g}" if isinstance(rate, int | float) else title


def conditions(environment: dict[str, Any]) -> str:
    """The conditions of a measurement in one line.

    Args:
        environment: From benchmarks.environment.
    """
    commit = "no commit" if environment["commit"] is None else environment["commit"][:12]
    return (
        f"conditions: {environment['cpu']}, {environment['device']}, {environment['threads']} threads, torch "
        f"{environment['torch']} ({environment['blas']}), {commit}{', dirty' if environment['dirty'] else ''}"
        + _others(environment)
    )


def _others(environment: dict[str, Any]) -> str:
    share = environment.get("others_meanwhile")
    return "" if share is None else f", other processes on {share:.0%} of {environment['cores']} cores meanwhile"
