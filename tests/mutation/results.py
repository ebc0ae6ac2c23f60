"""What became of the mutants: kept on the disk, summed up with an exact interval."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from tests.mutation.mutants import ROOT, Mutant, source_of

RESULTS = Path(__file__).with_name("results.json")
EQUIVALENT = Path(__file__).with_name("equivalent.toml")

#: Of the mutants that are not equivalent, at least so many are to be killed.
WANTED = 0.95


def load(path: Path = RESULTS) -> dict[str, Any]:
    """The stored results; empty ones where there are none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"mutants": {}}


def save(results: dict[str, Any], path: Path = RESULTS) -> None:
    """Writes them whole, or not at all."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(path)


def digest(module: str) -> str:
    """By which a module's later change is noticed."""
    return hashlib.sha256(source_of(module).encode()).hexdigest()[:12]


def record(mutant: Mutant, killer: str, seconds: float) -> dict[str, Any]:
    """One mutant's entry."""
    return {
        "module": mutant.module,
        "line": mutant.line,
        "definition": mutant.definition,
        "operator": mutant.operator.removeprefix("core/"),
        "difference": mutant.difference,
        "killer": killer,
        "seconds": round(seconds, 1),
        "digest": digest(mutant.module),
    }


def reasons(path: Path = EQUIVALENT) -> dict[str, str]:
    """For every mutant that is called equivalent, by its identity, why."""
    return {entry["identity"]: entry["reason"] for entry in tomllib.loads(path.read_text("utf-8"))["equivalent"]}


def interval(killed: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact (Clopper–Pearson) interval of a proportion."""
    found = stats.binomtest(killed, of).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)


@dataclass(frozen=True)
class Summary:
    """The mutants by what became of them, and the figures."""

    killed: dict[str, dict[str, Any]]
    equivalent: dict[str, dict[str, Any]]
    survived: dict[str, dict[str, Any]]
    stale: tuple[str, ...]
    contradicted: tuple[str, ...]

    @classmethod
    def of(cls, results: dict[str, Any], why: dict[str, str]) -> Summary:
        """From stored results; a mutant that was killed is not equivalent, whatever is said of it."""
        mutants = results["mutants"]
        left = {identity: entry for identity, entry in mutants.items() if not entry["killer"]}
        changed = {entry["module"] for entry in mutants.values() if not _is_present(entry)}
        return cls(
            killed={identity: entry for identity, entry in mutants.items() if entry["killer"]},
            equivalent={identity: entry for identity, entry in left.items() if identity in why},
            survived={identity: entry for identity, entry in left.items() if identity not in why},
            stale=tuple(sorted(changed)),
            contradicted=tuple(sorted(why.keys() & (mutants.keys() - left.keys()))),
        )

    @property
    def others(self) -> int:
        """How many are not equivalent."""
        return len(self.killed) + len(self.survived)

    @property
    def passed(self) -> bool:
        """Whether enough are killed, of mutants of the present sources, and no reason is contradicted."""
        return bool(
            self.others and len(self.killed) >= WANTED * self.others and not self.stale and not self.contradicted
        )


def _is_present(entry: dict[str, Any]) -> bool:
    return (ROOT / entry["module"]).exists() and digest(entry["module"]) == entry["digest"]
