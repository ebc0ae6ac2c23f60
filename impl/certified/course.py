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
from impl.certified.collected import Collector, Totals
from impl.certified.compiled_rows import Batch, rest_views, views_of
from impl.certified.found import Found
from impl.certified.layer import LayerPass
from impl.kernels.compiled import by_unit, use_threads
from impl.support import Support
from impl.weights.panels import Panel
from impl.work import WorkMeter, tensor_bytes
from reference.contract.shapes import Bool, Float, Int

if TYPE_CHECKING:
    from impl.certified.resting_layer import RestingLayer
    from impl.readout import Readout


# Of a layer that no sample has come through.
NOTHING = Totals(*[0] * len(Totals._fields))

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
    _totals: list[Totals]
    _collector: Collector
    _no_panel: list[Panel]  # D = 0
    _no_change: Float[torch.Tensor, "0 0"]  # D h, where no table has it

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
        batch, samples, through = Batch(slots, support, values), slots.numel(), len(self._layers)
        self._begin(batch, backward, work)
        if self._layers[0].panel is not None:  # else nothing rests: D h is not taken unit by unit
            self.advance(batch, 0, np.ones(samples, np.bool_), screened=False, backward=backward)
        for index, layer in enumerate(self._layers):
            if self._totals[index].done == samples:
                continue
            inputs, stopped = (support, values), self.found[index].stopped
            if index:
                below = self._collector.collect(range(index - 1, index), self._totals, 0)[0]
                inputs = below.support, below.hidden
            try:
                screened = layer.screen(slots, *inputs, stopped, work)
            except OutOfRoom:
                if not index:
                    raise
                through = index
                break
            self.advance(batch, index, stopped, screened=True, backward=backward)
            layer.set_to_rest(screened)
        outputs = self._readout.table.shape[1] if backward and self._readout is not None else 0
        collected = self._collector.collect(range(through), self._totals, outputs)
        passes: list[LayerPass] = []
        for layer, found in zip(self._layers, collected, strict=False):
            passes.append(layer.taken(slots, support, found, work))
            support = found.support
        if not backward or self._readout is None or through < len(self._layers):
            return passes, None
        return passes, CourseFactors(passes, [found.left for found in collected], self._readout)

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
        inputs = batch.slots.numpy(), *batch.support.lists, batch.values.numpy()
        readout = self._readout.table.numpy() if self._readout is not None else np.empty((0, 0), inputs[-1].dtype)
        with numba.parallel_chunksize(-(-todo.size // shares)):
            course_loops.course(self._table, self._numbers, *inputs, readout, first, screened, backward, todo)
        self._totals = self._collector.add_up(todo.size)

    def _begin(self, batch: Batch, backward: bool, work: WorkMeter) -> None:
        if not self.found:
            like, widths = self._layers[0].bias.new_empty(0, 0), [layer.arrays.fan_out for layer in self._layers]
            dtype = like.numpy().dtype
            self._collector = Collector(self._table, [layer.layer for layer in self._layers], widths, dtype)
            self._no_panel = [Panel(0, layer.arrays.fan_in, layer.arrays.fan_out, like) for layer in self._layers]
            self._no_change = like
            self.found = [Found(dtype) for _ in self._layers]
        self._totals = [NOTHING] * len(self._layers)
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
        # What the table has the addresses of, by the first of its places.
        self._kept: list[dict[int, tuple[Any, ...] | torch.Tensor]] = [{} for _ in range(count)]

    def _write(self, index: int) -> None:
        """Brings a layer of the table up to date."""
        layer, found, kept = self._layers[index], self.found[index], self._kept[index]
        found.make_room(layer.arrays.rows.shape[1], self._layers[index - 1].arrays.rows.shape[1] if index else 0)
        units, activation = layer.units, layer.activation
        change = layer.panel[0] if layer.panel else self._no_panel[index]
        parts = (
            (layer_table.KNOWN, views_of(layer.arrays)),
            (layer_table.REST, rest_views(layer.rest)),
            (layer_table.BIAS, units.bias),
            (layer_table.MAGNITUDES, units.magnitudes),
            (layer_table.DRIFT, units.drift),
            (layer_table.RIGHT, by_unit(change.right)),
            (layer_table.LEFT, by_unit(change.left)),
            (layer_table.LEFT_COUNTS, change.left.counts),
            (layer_table.LEFT_UNITS, change.left.units),
            (layer_table.CHANGE_TABLE, self._no_change if layer.change is None else layer.change),
            (layer_table.WEIGHTS, layer.weights.table),
            (layer_table.FOUND, found.arrays),
        )
        for first, part in parts:
            if kept.get(first) is not part:
                arrays = (part.numpy(),) if isinstance(part, torch.Tensor) else part
                for place, array in enumerate(arrays, first):
                    self._table[index, place] = place_of(array)
                kept[first] = part
        drift = units.largest_drift, units.terms, units.limit, units.threshold
        sizes = change.right.samples, change.right.vectors, change.right.values.shape[2]
        self._numbers[index] = *drift, *sizes, activation.shift, activation.scale


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
