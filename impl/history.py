"""The states of lazy weights after each iteration, so that a network can return to an earlier one."""

from __future__ import annotations

from collections.abc import Sequence

from impl.weights.lazy import LazyState, LazyWeights
from reference.contract.arguments import ArgumentError, whole_number

# States share what they have in common, so each costs little beside the updates of its iteration.
KEPT_ITERATIONS = 64


class History:
    """The last states of some lazy weights.

    Args:
        weights: All those of a network.

    Attributes:
        iteration: How many steps the present state is from the first.
    """

    def __init__(self, weights: Sequence[LazyWeights]):
        self._weights = weights
        self._states: dict[int, tuple[LazyState, ...]] = {}
        self.iteration = 0
        self.record()

    def record(self) -> None:
        """Notes the present state under the present iteration, and forgets what cannot be returned to."""
        if not self._weights:  # eager ones have nothing to return to
            return
        latest = self._states.get(self.iteration - 1, ())
        self._states[self.iteration] = tuple(weight.state for weight in self._weights)
        self._states.pop(self.iteration - KEPT_ITERATIONS, None)
        if not all(state.restorable for state in latest):  # a fold ends earlier ones, too
            self._states = {
                iteration: states
                for iteration, states in self._states.items()
                if all(state.restorable for state in states)
            }

    def advance(self) -> None:
        """Notes the present state as that after one more iteration."""
        self.iteration += 1
        self.record()

    def undo(self, iteration: int) -> None:
        """Returns to the state after an earlier iteration, to the last bit, and forgets the later ones.

        Args:
            iteration: 0 for the state at the beginning.

        Raises:
            ArgumentError: for an iteration that is not kept: too long ago, before a fold, or in the future.
        """
        whole_number("iteration", iteration, 0)
        if iteration not in self._states:
            kept = ", ".join(map(str, sorted(self._states)))
            raise ArgumentError("iteration", f"one whose state is kept ({kept})", str(iteration))
        for weight, state in zip(self._weights, self._states[iteration], strict=True):
            weight.state = state
        self._states = {kept: states for kept, states in self._states.items() if kept <= iteration}
        self.iteration = iteration
