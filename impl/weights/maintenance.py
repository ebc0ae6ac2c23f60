"""When accumulated updates are folded or recompressed: policies of lazy weights, chosen by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from impl.work import WorkMeter
from reference.contract import ArgumentError
from reference.contract.arguments import tolerance, whole_number

if TYPE_CHECKING:
    from impl.weights.lazy import LazyState, LazyUpdate, LazyWeights


class Maintenance(Protocol):
    """Decides what becomes of an appended update."""

    @property
    def folds(self) -> bool:
        """Whether it may ever fold, and so needs a base that can be written without loss."""

    def plan(self, weights: LazyWeights, state: LazyState, work: WorkMeter) -> LazyUpdate:
        """Prepares the change to `state`, in which an update was appended, or to what maintenance makes of it.

        Args:
            weights: Whose state it will be.
            state: With the update appended.
            work: Counts.
        """


class Keep:
    """See Maintenance. Never folds, never recompresses: exact, and the rank grows by n at every step."""

    folds = False

    def plan(self, weights: LazyWeights, state: LazyState, work: WorkMeter) -> LazyUpdate:
        """See Maintenance."""
        return weights.plan_state(state)


class FoldWhenPaid:
    """See Maintenance. Folds when the extra work of carrying updates along has reached the work of folding them.

    So the two are equal in the long run, which is at most twice what the best moment would have cost; nothing to tune.
    """

    folds = True

    def plan(self, weights: LazyWeights, state: LazyState, work: WorkMeter) -> LazyUpdate:
        """See Maintenance."""
        if state.spent >= weights.fold_work(state):
            return weights.plan_fold(state, work)
        return weights.plan_state(state)


class WriteUnlessAnchored(FoldWhenPaid):
    """See Maintenance. Writes an update at once, as eager weights do, unless certificates refer to the base."""

    def plan(self, weights: LazyWeights, state: LazyState, work: WorkMeter) -> LazyUpdate:
        """See Maintenance."""
        if weights.renewal_work:
            return super().plan(weights, state, work)
        accumulated = len(state.low_rank.terms) > 1 or state.low_rank.dense is not None
        return weights.plan_fold(state, work, folds=int(accumulated))


@dataclass(frozen=True)
class RecompressWhenGrown:
    """See Maintenance. Recompresses when updates of a multiple of n in rank have come on top of the last time.

    The base is never written: for bases in files, or shared.

    Attributes:
        growth: That multiple.
        tolerance: Relative, in the Frobenius norm of the accumulated update.
    """

    folds: ClassVar[bool] = False
    growth: int = 8
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        whole_number("growth", self.growth, 1)
        tolerance("tolerance", self.tolerance)

    def plan(self, weights: LazyWeights, state: LazyState, work: WorkMeter) -> LazyUpdate:
        """See Maintenance."""
        newest = state.low_rank.terms[-1].rank if state.low_rank.terms else 0
        grown = state.low_rank.sparse_rank >= self.growth * newest > 0
        if grown and len(state.low_rank.terms) > 1:  # one term has the least rank that it can
            return weights.plan_recompression(state, self.tolerance, work)
        return weights.plan_state(state)


#: By name, with their default options.
MAINTENANCE: dict[str, Maintenance] = {
    "fold": FoldWhenPaid(),
    "recompress": RecompressWhenGrown(),
    "keep": Keep(),
}


def select_maintenance(maintenance: str | Maintenance) -> Maintenance:
    """Returns the policy of a name, or the policy itself.

    Raises:
        ArgumentError: for another name, or something that does not plan.
    """
    if isinstance(maintenance, str) and maintenance in MAINTENANCE:
        return MAINTENANCE[maintenance]
    if isinstance(maintenance, str) or not callable(getattr(maintenance, "plan", None)):
        raise ArgumentError("maintenance", "a policy, or one of " + ", ".join(MAINTENANCE), repr(maintenance))
    return maintenance
