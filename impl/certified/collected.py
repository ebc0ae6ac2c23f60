"""What a course leaves of its layers, put together from what samples have come to (found.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from impl.certified import collect_loops
from impl.certified.row_loops import COUNTED
from impl.forward import check_finite
from impl.kernels.compiled import MERGING, use_threads
from impl.support import Support
from reference.contract.shapes import Float, Int


class Totals(NamedTuple):
    """What is counted of a layer, over all samples, in the order of row_loops.py.

    Attributes:
        done: Samples that have come through it.
        active: Active units.
        live: Rows that were computed.
        products: Multiply-adds for them.
        moved: Numbers of blocks that were put in a new order.
        changes: Multiply-adds with D.
        screened: Samples that were screened on the way.
        columns: That came on the way.
        rows: That came on the way.
        copies: Numbers of W⁰ that were copied to blocks for these rows.
        references: Inputs that became references on the way.
        gathered: Rows of the table that they took.
        changes_back: Multiply-adds with Dᵀ.
    """

    done: int
    active: int
    live: int
    products: int
    moved: int
    changes: int
    screened: int
    columns: int
    rows: int
    copies: int
    references: int
    gathered: int
    changes_back: int


class Collected(NamedTuple):
    """A layer.

    Attributes:
        support: Active units.
        active: Their preactivations.
        hidden: And hidden values.
        left: Left factors on them, (c, entries); without entries where they were not wanted.
        totals: What was counted.
    """

    support: Support
    active: Float[torch.Tensor, " active_entries"]
    hidden: Float[torch.Tensor, " active_entries"]
    left: Float[torch.Tensor, "c _"]
    totals: Totals


class Collector:
    """Puts together what is in the table of a course (layer_table.py).

    Args:
        table: Of all layers.
        layers: Their numbers ℓ, for messages.
        widths: Of them.
        dtype: Of the values.
    """

    def __init__(
        self,
        table: Int[np.ndarray, "layers places 4"],
        layers: Sequence[int],
        widths: Sequence[int],
        dtype: np.dtype,
    ):
        self._table, self._layers, self._widths, self._like = table, layers, widths, np.empty(0, dtype)
        self._offsets: Int[np.ndarray, "layers n_plus_1"] = np.zeros((len(layers), 1), np.int32)
        self._totals: Int[np.ndarray, "layers counted"] = np.zeros((len(layers), COUNTED), np.int64)

    def add_up(self, samples: int) -> list[Totals]:
        """Counts what there is, layer by layer."""
        self._offsets = np.empty((len(self._layers), samples + 1), np.int32)
        collect_loops.add_up(self._table, self._like, self._offsets, self._totals)
        return [Totals(*counted) for counted in self._totals.tolist()]

    def collect(self, layers: range, totals: Sequence[Totals], outputs: int) -> list[Collected]:
        """Some consecutive layers, all samples of which have come through.

        Args:
            layers: Which.
            totals: As `add_up` has just returned them.
            outputs: c, or 0 where there are no left factors.

        Raises:
            SolveError: where a preactivation overflowed.
        """
        chosen, entries = slice(layers.start, layers.stop), [totals[layer].active for layer in layers]
        offsets, dtype = self._offsets[chosen], self._like.dtype
        total, begins = sum(entries), np.array([sum(entries[:layer]) for layer in range(len(layers))])
        samples, units = np.empty((2, total), np.int32)
        active, hidden = np.empty(total, dtype), np.empty(total, dtype)  # one outlives the other
        left, sums = np.empty(outputs * total, dtype), np.empty((len(layers), offsets.shape[1] - 1))
        use_threads(MERGING * total)
        collect_loops.collect(self._table[chosen], offsets, begins, samples, units, active, hidden, left, sums)
        parts = zip(
            torch.from_numpy(offsets),
            *(torch.from_numpy(part).split_with_sizes(entries) for part in (samples, units, active, hidden)),
            torch.from_numpy(left).split_with_sizes([outputs * count for count in entries]),
            totals[chosen],
            strict=True,
        )
        collected = [
            Collected(
                Support(offsets, samples, units, self._widths[layer], offsets),
                active,
                hidden,
                left.view(outputs, counted.active if outputs else 0),
                counted,
            )
            for layer, (offsets, samples, units, active, hidden, left, counted) in zip(layers, parts, strict=True)
        ]
        if not np.isfinite(sums).all():  # finite numbers may have a sum that is not
            for layer, found in zip(layers, collected, strict=True):
                check_finite(found.active, f"preactivations in layer {self._layers[layer]}")
        return collected
