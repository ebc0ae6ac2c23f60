"""Mutation testing of impl/'s numeric modules: `run` runs a random sample of mutants, `report` says what became of it.

`run` resumes: a mutant that was killed, or that is equivalent, is run again only if its module has changed; one that
survived always. What killed a mutant once is not asked again: after tests were taken away, begin with no results.
`report` has exit status 0 only if at least 95 % of the mutants that are not equivalent are killed.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from reference.contract.command_line import run as run_command
from reference.contract.command_line import whole
from tests.mutation.mutants import MODULES, sample, source_of
from tests.mutation.results import RESULTS, WANTED, Summary, digest, interval, load, reasons, record, save


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["baseline", "run", "report"])
    parser.add_argument("--sample", type=whole(1), default=330, metavar="N", help="mutants, default: %(default)s")
    parser.add_argument("--seed", type=whole(0), default=0, help="of the sample, default: %(default)s")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, metavar="FILE", help="default: tests/mutation/results.json"
    )
    parser.add_argument("--jobs", type=whole(1), default=2, help="processes, default: %(default)s")
    return run_command(parser, lambda options: ACTIONS[options.action](options), argv)


def _baseline(options: argparse.Namespace) -> int:
    """Unmutated modules in the mutants' place, one for each choice of tests: nothing may kill them."""
    from tests.mutation.killing import tests_of
    from tests.mutation.workers import run

    chosen = {tuple(tests_of(module)): module for module in MODULES}
    tasks = [(module, source_of(module)) for module in chosen.values()]
    failed = 0
    for (module, _), killer, seconds in run(tasks, options.jobs):
        print(f"{module} ({seconds:.0f} s) {killer or 'passes'}", flush=True)
        failed += bool(killer)
    return int(failed > 0)


def _run(options: argparse.Namespace) -> int:
    from tests.mutation.killing import COMPILED  # imports torch, which `report` does without
    from tests.mutation.workers import run

    mutants, sites = sample(options.sample, options.seed)
    before = load(options.results)["mutants"]
    results = {
        "tool": f"cosmic-ray {version('cosmic-ray')}",
        "seed": options.seed,
        "sites": sites,
        "mutants": {
            mutant.identity: before[mutant.identity]
            for mutant in mutants
            if mutant.identity in before and before[mutant.identity]["digest"] == digest(mutant.module)
        },
    }
    known = results["mutants"]
    settled = {identity for identity, entry in known.items() if entry["killer"]} | (known.keys() & reasons().keys())
    todo = {(mutant.module, mutant.source): mutant for mutant in mutants if mutant.identity not in settled}
    print(f"{len(mutants)} mutants of {sites}, seed {options.seed}; {len(todo)} to run", flush=True)
    unmutated = (COMPILED, source_of(COMPILED))  # first, since mutants of the kernels share what it compiles
    done = 0
    for task, killer, seconds in run([unmutated, *todo], options.jobs):
        if task == unmutated:
            print(f"unmutated code ({seconds:.0f} s) {killer or 'passes'}", flush=True)
            if killer:
                return 1
            continue
        mutant, done = todo[task], done + 1
        known[mutant.identity] = record(mutant, killer, seconds)
        order = {other.identity: place for place, other in enumerate(mutants)}
        results["mutants"] = known = dict(sorted(known.items(), key=lambda entry: order[entry[0]]))
        save(results, options.results)
        place = f"{mutant.module}:{mutant.line}"
        print(f"{done}/{len(todo)} {mutant.identity} {place} ({seconds:.0f} s) {killer or 'SURVIVED'}", flush=True)
    return _report(options)


def _report(options: argparse.Namespace) -> int:
    results, why = load(options.results), reasons()
    summary = Summary.of(results, why)
    for identity, entry in summary.equivalent.items():
        _print(identity, entry, f"equivalent: {why[identity]}")
    for identity, entry in summary.survived.items():
        _print(identity, entry, "SURVIVED")
    for identity in summary.contradicted:
        _print(
            identity,
            results["mutants"][identity],
            f"called equivalent, but killed by {results['mutants'][identity]['killer']}",
        )
    if summary.stale:
        print(f"changed since their mutants were run: {', '.join(summary.stale)}")
    ways = Counter(entry["killer"].split()[0].rstrip(":") for entry in summary.killed.values())
    low, high = interval(len(summary.killed), summary.others)
    print(
        f"{results['tool']}, seed {results['seed']}: {len(results['mutants'])} mutants of {results['sites']}, "
        f"{len(summary.equivalent)} equivalent, {len(summary.survived)} survived\n"
        f"killed {len(summary.killed)} of {summary.others} that are not equivalent: "
        f"{len(summary.killed) / summary.others:.1%}, 95 % interval {low:.1%} to {high:.1%}, wanted {WANTED:.0%}\n"
        f"killed by {', '.join(f'{way} {count}' for way, count in ways.most_common())}"
    )
    return 0 if summary.passed else 1


def _print(identity: str, entry: dict, verdict: str) -> None:
    print(f"{entry['module']}:{entry['line']} {entry['definition']} [{identity}] {entry['operator']}")
    print(textwrap.indent(entry["difference"], "    "))
    print(textwrap.fill(verdict, 116, initial_indent="    ", subsequent_indent="    ") + "\n")


ACTIONS = {"baseline": _baseline, "run": _run, "report": _report}

if __name__ == "__main__":
    sys.exit(main())
