"""Properties of many steps: changing batches, methods and losses, and evaluations in between."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from properties.cases.case import Case
from properties.cases.strategies import NAMED_CASES, cases
from properties.claims.present import EVALUATIONS, check_evaluation
from properties.claims.steps import check_step, take, tame, with_batch
from properties.runner.registry import register
from properties.runner.subject import Subject
from reference.contract import Network

#: Batches of a run: number of samples beyond the case's own (0 stands for one sample), number of repetitions.
BATCHES = ((0, 0), (1, 1), (None, 0), (3, 0), (0, 0))

#: So many short steps are as long as one.
SHORT_STEPS = 4

CORNERS = {
    name: NAMED_CASES[name]
    for name in (
        "default threshold",
        "four layers",
        "one sample",
        "dead samples",
        "all units active, thresholded identity",
        "float32",
        "readout bias",
        "the first and the last layer trained",
        "softmax, duplicates",
    )
}


def batch(case: Case, index: int, network: Network, loss: str | None = None) -> Case:
    """One of the batches of a run, with the weights as they are now.

    Two have as many samples as each other, one has a single sample, one more than the case's own.
    """
    more, duplicates = BATCHES[index % len(BATCHES)]
    samples = 1 if more is None else case.samples + more
    drawn = replace(
        Case(**plain(case)),
        samples=samples,
        duplicates=min(duplicates, samples - 1),
        zeros=min(case.zeros, samples),
        seed=case.seed + 65537 * (index % len(BATCHES)),
        loss=loss or case.loss,
        planted=0,
    )
    return with_batch(drawn, drawn.X, drawn.y, network)


def plain(case: Case) -> dict[str, Any]:
    """What a case is made from, without what it has computed."""
    return {field.name: getattr(case, field.name) for field in fields(Case)}


def losses_of(subject: Subject, case: Case) -> list[str]:
    """The losses that a network with the case's outputs can be trained with, the case's own first."""
    known = [loss for loss in subject.capabilities.losses if case.outputs > 1 or loss != "softmax_cross_entropy"]
    return sorted(known, key=lambda loss: loss != case.loss)


@register("step", "to_network", "active_sets", strategy=cases, examples=CORNERS, weight=0.3)
def every_step_of_a_run_over_changing_batches_matches_the_oracle(subject: Subject, case: Case) -> None:
    """Batches, methods and losses change from step to step; each is judged from the weights before it."""
    implementation = subject.build(case)
    methods, losses = subject.capabilities.methods, losses_of(subject, case)
    before = case.network
    for index in range(subject.run_length):
        now = batch(case, index, before, losses[index % len(losses)])
        if not tame(now) or not check_step(subject, now, implementation, before, methods[index % len(methods)]):
            return
        before = implementation.to_network()


@register("step", "to_network", "active_sets", strategy=cases, examples=CORNERS, weight=0.3)
def evaluations_after_a_step_use_the_new_weights(subject: Subject, case: Case) -> None:
    """The same batch is evaluated before and after a step on it: what was kept from before is stale."""
    operations = [name for name in EVALUATIONS if name in subject.capabilities.operations]
    for method in subject.capabilities.methods:
        implementation = subject.build(case)
        for operation in operations:
            getattr(implementation, operation)(case.X, *([case.y, case.loss] if operation == "gradient" else []))
        take(implementation, case, method)
        after = implementation.to_network()
        now = with_batch(case, case.X, case.y, after)
        if tame(now):
            oracle = subject.replay(now, implementation, after)
            for operation in operations:
                check_evaluation(now, implementation, oracle, operation)


@register("step", "to_network", "active_sets", "forward", strategy=cases, examples=CORNERS, weight=0.3)
def many_short_steps_add_up(subject: Subject, case: Case) -> None:
    """Steps on one batch that each move little, and together far: what is reused for being nearly right shows here."""
    if not tame(case):
        return
    implementation, methods = subject.build(case), subject.capabilities.methods
    for index in range(SHORT_STEPS * subject.run_length):
        method = methods[index % len(methods)]
        take(implementation, case, method, learning_rate=case.rate(method) / SHORT_STEPS)
        after = implementation.to_network()
        now = with_batch(case, case.X, case.y, after)
        if not tame(now):
            return
        check_evaluation(now, implementation, subject.replay(now, implementation, after), "forward")
