"""The course of samples through layers whose certificates rest: from the inputs to the last layer, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import torch

from impl.certified import course_loops, layer_table
from impl.certified.addresses import place_of
from impl.certified.blocks import OutOfRoom
from impl.certified.compiled_rows import Batch, change_views, rest_views, unit_views, views_of
from impl.certified.found import Found
from impl.certified.layer import LayerPass
from impl.kernels.compiled import unsigned, use_threads
from impl.support import Support
from impl.work import WorkMeter, tensor_bytes
from reference.contract.shapes import Bool, Float, Int

if TYPE_CHECKING:
    from impl.certified.resting_layer import RestingLayer
    from impl.readout import Readout


# Samples are dealt out in so many shares a thread, as they come: some take much longer than others.
SHARES = 16


class Course:
    """Consecutive layers that samples go through one by one.

    Args:
        layers: From the lowest on. Several only where the D of each is at most one panel.
        readout: Where they are all layers of the network, and so left factors can be had; else None.

    Attributes:
        found: What samples have come to, layer by layer.
    """

    found: list[Found]

    def __init__(self, layers: Sequence[RestingLayer], readout: Readout | None):
        self._layers, self._readout = layers, readout
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        """For copies, whose arrays are elsewhere."""
        return {"_layers": self._layers, "_readout": self._readout}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """See __getstate__."""
        self.__dict__.update(state)
        self._forget()

    def run(
        self,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        work: WorkMeter,
        *,
        left: bool,
    ) -> tuple[list[LayerPass], CourseFactors | None]:
        """The passes of the layers; of fewer where there is no room for the blocks of one. And left factors, if wanted.

        Samples that find all that they need go all the way. Those that stop in a layer are screened there together, and
        go on.

        Args:
            slots: Of the samples.
            support: Active inputs of the lowest layer.
            values: On them.
            work: Counts.
            left: Whether left factors are wanted, too.

        Raises:
            SolveError: where a preactivation overflows.
            OutOfRoom: where there is no room in the lowest layer.
        """
        backward = left and self._readout is not None
        batch = Batch(slots, support, values)
        self._begin(batch, backward, work)
        if self._layers[0].panel is not None:  # else nothing rests: D h is not taken unit by unit
            self.advance(batch, 0, np.ones(slots.numel(), np.bool_), screened=False, backward=backward)
        passes: list[LayerPass] = []
        for index, layer in enumerate(self._layers):
            found = self.found[index]
            stopped = found.stopped
            if stopped.any():
                try:
                    screened = layer.screen(slots, support, values, stopped, work)
                except OutOfRoom:
                    if not passes:
                        raise
                    break
                self.advance(batch, index, stopped, screened=True, backward=backward)
                layer.set_to_rest(screened)
            taken = layer.taken(slots, support, found, work)
            support, values = taken.support, taken.hidden
            passes.append(taken)
        if not backward or self._readout is None or len(passes) < len(self._layers):
            return passes, None
        return passes, CourseFactors(passes, self._left_factors(passes), self._readout)

    def advance(
        self, batch: Batch, first: int, todo: Bool[np.ndarray, " n"], *, screened: bool, backward: bool
    ) -> None:
        """Takes the samples that are to do through the layers from `first` on, unless they have to be screened first.

        `screened` says that they have just been screened in that layer. Elsewhere those that do not rest any more are
        screened on the way, get the columns and rows that they need, or become references, and rest again: all that
        they may lack is room.

        Live rows that are not active are added to `excess`. Where all rows of a screened sample were computed, as that
        was due (RENEWAL), and no number has overflowed, the input becomes the row reference; from then on those rows
        that are active come first, by unit, and the others after them, by how soon they may be active.
        """
        for index in range(first, len(self._layers)):
            self._write(index)
        work = batch.support.entries * sum(layer.arrays.rows.shape[1] for layer in self._layers[first:])
        shares = SHARES * use_threads(work)
        inputs = batch.slots.numpy(), batch.support.offsets.numpy(), unsigned(batch.support.units), batch.values.numpy()
        readout = self._readout.table.numpy() if self._readout is not None else np.empty((0, 0), inputs[-1].dtype)
        with numba.parallel_chunksize(-(-todo.size // shares)):
            course_loops.course(self._table, self._numbers, *inputs, readout, first, screened, backward, todo)

    def _left_factors(self, passes: Sequence[LayerPass]) -> list[Float[torch.Tensor, "c _"]]:
        return [found.left_factors(taken.support) for found, taken in zip(self.found, passes, strict=True)]

    def _begin(self, batch: Batch, backward: bool, work: WorkMeter) -> None:
        if not self.found:
            self.found = [Found(layer.bias.numpy().dtype) for layer in self._layers]
        outputs = self._readout.table.shape[1] if backward and self._readout is not None else 0
        inputs = int(batch.support.host_counts.max())
        for layer, found in zip(self._layers, self.found, strict=True):
            layer.begin(work)
            found.begin(batch.slots.numel(), inputs, outputs)
            inputs = layer.arrays.rows.shape[1]

    def _forget(self) -> None:
        """Everything that is made anew: copies are made of parts that may not be there yet."""
        count = len(self._layers)
        self.found = []
        self._table: Int[np.ndarray, "layers places 4"] = np.zeros((count, layer_table.PLACES, 4), np.int64)
        self._numbers: Float[np.ndarray, "layers numbers"] = np.zeros((count, layer_table.NUMBERS))
        # What the table has the addresses of: looking whether an array is the same takes less than its address.
        self._kept: list[list[np.ndarray | None]] = [[None] * layer_table.PLACES for _ in range(count)]

    def _write(self, index: int) -> None:
        """Brings a layer of the table up to date."""
        layer, found, table = self._layers[index], self.found[index], self._table[index]
        found.make_room(layer.arrays.rows.shape[1], self._layers[index - 1].arrays.rows.shape[1] if index else 0)
        by_unit, change = unit_views(layer.units), change_views(layer.panel, layer.change, layer.arrays)
        arrays = (
            *(*views_of(layer.arrays), *rest_views(layer.rest)),
            *(by_unit.bias, by_unit.magnitudes, by_unit.drift),
            *(change[:6]),
            change.table,
            layer.weights.table.numpy(),
            *(found.counts, found.units, found.active, found.hidden, found.places, found.left),
        )
        for place, (kept, array) in enumerate(zip(self._kept[index], arrays, strict=True)):
            if kept is not array:
                table[place], self._kept[index][place] = place_of(array), array
        drift = by_unit.largest_drift, by_unit.terms, float(by_unit.limit), float(by_unit.threshold)
        change_sizes = change.samples, change.vectors, change.length
        self._numbers[index] = *drift, *change_sizes, layer.activation.shift, layer.activation.scale


class CourseFactors:
    """See impl.forward.LeftFactors.

    Args:
        passes: Of all layers.
        factors: On their supports.
        readout: From which they were taken.
    """

    def __init__(self, passes: Sequence[LayerPass], factors: Sequence[Float[torch.Tensor, "c _"]], readout: Readout):
        self._passes, self._factors, self._readout = passes, factors, readout

    def take(self, work: WorkMeter) -> list[Float[torch.Tensor, "c _"]]:
        """See LeftFactors."""
        self._readout.count_columns(self._passes[-1].support, self._factors[-1], work)
        for below, above, left in zip(self._passes, self._passes[1:], self._factors, strict=False):
            layer, changes = above.layer, above.changes_back
            layer.count_transpose(below.support, above.support, left, work)
            work.count(layer.layer, changes + left.numel(), changes * left.element_size() + 2 * tensor_bytes(left))
        return list(self._factors)
