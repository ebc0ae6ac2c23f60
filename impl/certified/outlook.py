"""Whether certified passes pay in a layer, judged by counted work, and so the same on every machine."""

from __future__ import annotations

# Passes that are watched before a verdict; a first anchor has to earn back what it cost.
TRIAL = 4
FIRST_PAUSE = 8


class Outlook:
    """Suspends a layer's certified passes where they have taken more work than the passes that they replace.

    Args:
        insistent: Never suspends for the work that passes take.

    Attributes:
        reason: Of the last suspension.
    """

    def __init__(self, *, insistent: bool):
        self._insistent = insistent
        self.reason = ""
        self._pause, self._next_pause = 0, FIRST_PAUSE
        self._passes, self._work, self._rival = 0, 0, 0

    @property
    def suspended(self) -> bool:
        """Whether passes are not to be certified."""
        return self._pause > 0

    def pass_by(self) -> None:
        """Takes account of a pass that was not certified."""
        self._pause = max(0, self._pause - 1)

    def suspend(self, reason: str) -> None:
        """Suspends whatever the work was, for what is said to be the reason."""
        self.reason = reason
        self._pause, self._next_pause = self._next_pause, 2 * self._next_pause

    def observe(self, work: int, rival: int) -> bool:
        """Takes account of a pass.

        Args:
            work: That it took, in multiply-adds of a product with W⁰.
            rival: That a gather pass with its backward pass would have taken.

        Returns:
            Whether passes are suspended from now on.
        """
        self._passes, self._work, self._rival = self._passes + 1, self._work + work, self._rival + rival
        if self._insistent or self._passes < TRIAL:
            return False
        lost = self._work > self._rival
        if lost:
            self.suspend("certificates took more work than they spared")
        if lost or self._passes >= 4 * TRIAL:  # what was long ago says little
            self._passes, self._work, self._rival = 0, 0, 0
        return lost
