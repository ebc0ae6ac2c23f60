"""`python -m properties.statistics`: what every statistical property claims, and how often it errs."""

from __future__ import annotations

import textwrap

from properties.statistics import BUDGET, error_budget

WIDTH = 116


def main() -> None:
    """Prints the table."""
    designs = error_budget()
    print(f"{'false alarms':>12} {'misses':>8}  property")
    for name, design in designs.items():
        print(f"{design.alpha:12.1e} {design.beta:8.1e}  {name}")
        for label, text in (
            ("claims", design.null),
            ("assumes", design.assumes),
            ("draws", design.draws),
            ("finds", design.alternative),
        ):
            indent = 23 * " "
            print(textwrap.fill(f"{label} {text}", WIDTH, initial_indent=indent, subsequent_indent=indent + "  "))
    total = sum(design.alpha for design in designs.values())
    print(f"{total:12.1e}           a run of the suite, at most; the budget is {BUDGET:.0e}")


if __name__ == "__main__":
    main()
