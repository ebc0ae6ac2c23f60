"""What was found, in words, and what to hold against it."""

from __future__ import annotations

from typing import Any

from benchmarks.load import BUSY
from benchmarks.report.markup import Html, element, estimate, interval, joined, number, shown


def headline(document: dict[str, Any]) -> Html:
    """A few sentences: exponents of work and time, the crossover, the speed-up at the largest width.

    Args:
        document: The contents of scaling.json.
    """
    baseline = document["baseline"]
    first = next((name for name in document["implementations"] if name != baseline), None)
    told = (baseline,) if first is None else (first, baseline)
    sentences = [
        joined(Html("Counted work of an iteration grows "), _growth(document, told, "work"), Html(".")),
        joined(Html("Its time grows "), _growth(document, told, "time"), Html(".")),
    ]
    if first is not None:
        sentences += [crossover_sentence(document, first), _widest(document, first)]
    return element("div", *(element("p", sentence) for sentence in sentences), class_="headline")


def crossover_sentence(document: dict[str, Any], name: str) -> Html:
    """From which width on an implementation is faster than the dense rival."""
    crossover, widths = document["crossover"][name], document["problem"]["widths"]
    who, rival = strong(name), strong(document["baseline"])
    between = crossover_interval(document, crossover)
    if crossover["m"] is not None:
        where = number(crossover["m"], ".0f")
        return Html(f"From m = {where}{between} on, {who} is faster than {rival}.")
    if crossover["where"] == "none in range":
        return Html(f"{who} is not faster than {rival} up to m = {widths[-1]}: no crossover in range{between}.")
    below = f"the crossover is below m = {widths[0]}{between}"
    return Html(f"{who} is faster than {rival} from the smallest width on: {below}.")


def flags(document: dict[str, Any]) -> list[Html]:
    """What a reader must know before believing the numbers."""
    found = []
    for name, implementation in document["implementations"].items():
        wrong = [str(point["m"]) for point in implementation["points"] if not point["agreement"]["agrees"]]
        if wrong:
            rival = shown(document["baseline"])
            found.append(Html(f"{strong(name)} disagrees with {rival} at m = {', '.join(wrong)}: see agreement."))
        regime = implementation["exponents"]["iteration"]["time"]["regime"]
        if regime is not None:
            found.append(Html(f"No single exponent tells the time of {strong(name)}: {shown(regime['text'])}."))
    problem, environment = document["problem"], document["environment"]
    if problem["interrupted"]:
        found.append(Html(f"The sweep was interrupted; complete rounds: {problem['rounds']}."))
    if problem["rounds"] < 2:
        found.append(Html("With a single round there are no intervals."))
    others = environment.get("others_meanwhile")
    if isinstance(others, float) and others > BUSY:
        found.append(Html(f"Other processes took {100.0 * others:.0f} % of the processors meanwhile: times suffered."))
    return found


def strong(name: str) -> Html:
    """An implementation's name."""
    return element("b", shown(name))


def crossover_interval(document: dict[str, Any], crossover: dict[str, Any]) -> Html:
    """An end of 0 is below the widths measured, one of null above; with a single round there is no interval."""
    widths = document["problem"]["widths"]
    if document["problem"]["rounds"] < 2:
        return Html("")
    low, high = crossover["low"], crossover["high"]
    if crossover["m"] is None and low is None:
        return Html("")
    ends = (
        Html(f"below {widths[0]}") if end == 0 else Html(f"above {widths[-1]}") if end is None else number(end, ".0f")
        for end in (low, high)
    )
    return Html(' <span class="interval">[{}, {}]</span>'.format(*ends))


def _growth(document: dict[str, Any], names: tuple[str, ...], kind: str) -> Html:
    parts = []
    for name in names:
        exponent = document["implementations"][name]["exponents"]["iteration"][kind]
        if exponent["value"] is None:
            parts.append(Html(f"by no exponent that is known with {strong(name)}"))
        else:
            power, between = number(exponent["value"]), interval(exponent)
            who = ("the rival " if name == document["baseline"] else "") + strong(name)
            parts.append(Html(f"like m<sup>{power}</sup>{between} with {who}"))
    return joined(*parts, by=", ")


def _widest(document: dict[str, Any], name: str) -> Html:
    m, iterations = document["problem"]["widths"][-1], document["problem"]["iterations"]
    ratio = document["speedups"][name][str(m)]
    if ratio["value"] is None:
        return Html(f"No speed-up is known at m = {m}.")
    return Html(
        f"At m = {m} an iteration of {strong(document['baseline'])} takes {estimate(ratio)} times as long as one of "
        f"{strong(name)}, amortized over windows of {iterations}."
    )
