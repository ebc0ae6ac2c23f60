"""Where the time goes: the phases' shares in an iteration."""

from __future__ import annotations

from typing import Any

import numpy as np

from reference.contract import PHASES

REST = "rest"
#: The phases, and what of an iteration is in none of them.
SHARES = (*PHASES, REST)


def shares(point: dict[str, Any]) -> dict[str, float] | None:
    """The mean over rounds of each phase's share in the round's time, so that they add up to 1.

    A share is one of a round: a slow round counts no more than a fast one. Phases that overlap add up to more.

    Args:
        point: Of an implementation at one width, from scaling.json.

    Returns:
        By phase, and for the rest; None where the phases' times are not reported for every round.
    """
    whole = np.array(point["phases"]["iteration"]["seconds"], dtype=np.float64)
    parts = {phase: point["phases"][phase]["seconds"] for phase in PHASES}
    if not len(whole) or any(len(seconds) != len(whole) for seconds in parts.values()):
        return None
    found = {phase: float(np.mean(np.array(seconds) / whole)) for phase, seconds in parts.items()}
    return {**found, REST: max(0.0, 1.0 - sum(found.values()))}
