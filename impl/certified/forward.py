"""The certified forward pass: n·k² between anchors, and the same function (reference/README.md, section 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from impl.certified.anchors import COPYING, LEAST_SPREAD, LayerCounts
from impl.certified.blocks import OutOfRoom
from impl.certified.interface import AnchorKernels
from impl.certified.layer import CertifiedLayer, LayerPass
from impl.certified.outlook import Outlook
from impl.certified.samples import Key, Recurrence, SampleBatch, SampleSlots, keys_of
from impl.certified.select import certified_course, certified_layer
from impl.certified.self_check import check
from impl.forward import GatherForward, LeftFactors, Trace, TransposedProduct, check_finite, nonzero_inputs
from impl.support import Support
from impl.weights import LazyWeights
from impl.work import WorkMeter
from reference.contract import LayerCertificate
from reference.contract.shapes import Float, Int

if TYPE_CHECKING:
    from impl.certified.course import Course

# One part in so many of the memory is for what is linear in the widths, beside the blocks.
BOUNDS_SHARE = 4

# So many samples find room at once, where it is theirs: a first iteration is not to wait for pages of memory.
FIRST_SAMPLES = 32

# What a multiply-add with a number of W⁰, which comes from memory, costs in such of products with D, which is in cache
# (measured on CPUs).
FETCHING = 2


class CertifiedForward:
    """See ForwardPass. A layer whose blocks do not fit, or in which certificates do not pay, takes the gather pass.

    Args:
        gather: The pass that it stands in for.
        weights: W_1 … W_L.
        anchor_kernels: The operations of this package.
        memory: Bytes for the blocks of all layers; bounds take a quarter more at most, unless one batch needs more.
        insistent: Whether certificates are kept up even where they do not pay, and samples anchored when they come for
            the first time.
        self_check: Whether every pass is compared with the product in full.
    """

    def __init__(
        self,
        gather: GatherForward,
        weights: Sequence[LazyWeights],
        anchor_kernels: AnchorKernels,
        memory: int,
        *,
        insistent: bool,
        self_check: bool,
    ):
        self._gather, self._self_check, self._memory = gather, self_check, memory
        self._insistent, self._samples, self._recurrence = insistent, SampleSlots(), Recurrence()
        self._last_batch: SampleBatch | None = None
        sizes = [(weight.table.shape[0] * weight.table.shape[1]) ** 0.5 for weight in weights]
        self.layers: list[CertifiedLayer] = []
        parts = zip(weights, gather.biases, gather.activations, sizes, strict=True)
        for layer, (weight, bias, activation, size) in enumerate(parts, start=1):
            room, below = int(memory * size / sum(sizes)), self.layers[-1] if self.layers else None
            kernels = gather.kernels, anchor_kernels
            self.layers.append(certified_layer(layer, weight, bias, activation, *kernels, room, below))
        for certified in self.layers:
            certified.make_room(min(FIRST_SAMPLES, self._affordable))
        self._outlooks = [Outlook(insistent=insistent) for _ in weights]
        self._courses: dict[tuple[int, int], Course] = {}  # by the first of their layers, and the one after the last

    def __call__(self, X: Float[torch.Tensor, "n d"], work: WorkMeter, *, left: bool = False) -> Trace:
        """See ForwardPass."""
        batch = self._last_batch if self._last_batch and torch.equal(X, self._last_batch.X) else self._batch(X)
        if batch is None:
            return replace(self._gather(X, work), notes=("gather pass, as most samples have not come before",))
        slots, self._last_batch = batch.slots, batch
        supports, hidden = [batch.support], [batch.values]
        operators: list[TransposedProduct] = []
        certificates: list[LayerCertificate] = []
        notes: list[str] = []
        factors: LeftFactors | None = None
        while len(operators) < len(self.layers):
            inputs = slots, supports[-1], hidden[-1], work
            passes, factors = self._course(len(operators), *inputs, left=left)
            alone = () if passes else (self._alone(len(operators), *inputs, notes),)
            for taken in (*passes, *alone):
                operators.append(taken.operator)
                supports.append(taken.support)
                hidden.append(taken.hidden)
                certificates.append(_certificate(taken.counts, self.layers[len(certificates)]))
        outputs = self._gather.readout.apply(supports[-1], hidden[-1], work)
        check_finite(outputs, "outputs")
        return Trace(supports, hidden, outputs, operators, tuple(certificates), tuple(notes), factors)

    def settle(self, trace: Trace) -> tuple[str, ...]:
        """See ForwardPass. Certificates that do not pay are suspended, and folds told what they would have to earn."""
        notes = []
        for index, (layer, outlook, operator) in enumerate(
            zip(self.layers, self._outlooks, trace.operators, strict=True)
        ):
            if not isinstance(operator, LayerPass):
                layer.weights.renewal_work = 0
                outlook.pass_by()
                continue
            below, pairs = trace.supports[index], trace.supports[index].pairs_with(trace.supports[index + 1])
            product = below.entries * layer.arrays.fan_out
            layer.weights.renewal_work = FETCHING * (product + int(COPYING * LEAST_SPREAD * pairs))
            if outlook.observe(operator.counts.work, product + COPYING * pairs):
                notes.append(f"layer {layer.layer}: suspended, as {outlook.reason}")
        return tuple(notes)

    def _batch(self, X: Float[torch.Tensor, "n d"]) -> SampleBatch | None:
        """Makes room for samples; None where most have not come before."""
        keys = keys_of(X)
        if not self._recurrence.observe(keys) and not self._insistent:
            return None
        self._make_room(keys)
        slots = self._samples.of(keys, X.device)
        for layer in self.layers:
            layer.make_room(self._samples.slots)
        return SampleBatch(X.clone(), slots, *nonzero_inputs(X))

    def _course(
        self,
        index: int,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        work: WorkMeter,
        *,
        left: bool,
    ) -> tuple[list[LayerPass], LeftFactors | None]:
        """The passes of as many layers as samples can go through in one course; and left factors, if that is all."""
        end = index
        while end < len(self.layers) and self.layers[end].rests and not self._outlooks[end].suspended:
            end += 1
        if end == index:
            return [], None
        course = self._courses.get((index, end))
        if course is None:
            readout = self._gather.readout if end - index == len(self.layers) else None
            course = self._courses[index, end] = certified_course(self.layers[index:end], readout)
        try:
            passes, factors = course.run(slots, support, values, work, left=left)
        except OutOfRoom:  # the layer is tried alone, where there are ways to make room
            return [], None
        if self._self_check:
            for layer, taken in zip(self.layers[index:], passes, strict=False):
                check(layer, taken, support, values)
                support, values = taken.support, taken.hidden
        return passes, factors

    def _alone(
        self,
        index: int,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        work: WorkMeter,
        notes: list[str],
    ) -> LayerPass | GatherPass:
        """One layer's pass, certified or not; and what there is to say about it."""
        layer, outlook = self.layers[index], self._outlooks[index]
        taken = None if outlook.suspended else self._certified(layer, outlook, slots, support, values, work)
        if taken is not None:
            return taken
        notes.append(f"layer {layer.layer}: gather pass, as {outlook.reason}")
        support, active = self._gather.layer(layer.layer, support, values, work)
        return GatherPass(self._gather.weights[index], support, layer.activation.value(active))

    def _certified(
        self,
        layer: CertifiedLayer,
        outlook: Outlook,
        slots: Int[torch.Tensor, " n"],
        support: Support,
        values: Float[torch.Tensor, " entries"],
        work: WorkMeter,
    ) -> LayerPass | None:
        """One layer's pass; None, and certificates suspended, where there is no room."""
        for make_room in (None, lambda: self._forget(slots.numel()), lambda: layer.anchors.forget(slots)):
            try:
                if make_room is not None:
                    make_room()
                taken = layer.forward(slots, support, values, work)
            except OutOfRoom:  # blocks that have grown leave gaps; new ones do not
                continue
            if self._self_check:
                check(layer, taken, support, values)
            return taken
        layer.anchors.forget(slots)
        outlook.suspend("blocks do not fit the memory that certificates may use")
        return None

    def _make_room(self, keys: Sequence[Key]) -> None:
        """Forgets samples that have not come for long where the bounds of all would take a quarter of the memory."""
        new = len(keys) - self._samples.known(keys)
        if new:
            self._forget(max(0, self._affordable - new))

    @property
    def _affordable(self) -> int:
        """Of how many samples the bounds take a quarter of the memory."""
        return self._memory // (BOUNDS_SHARE * sum(layer.arrays.bytes_a_slot for layer in self.layers))

    def _forget(self, kept: int) -> None:
        """Forgets all but the samples that came last."""
        self._last_batch = None
        gone = torch.tensor(self._samples.evict(kept), dtype=torch.int64, device=self.layers[0].weights.table.device)
        if gone.numel():
            for layer in self.layers:
                layer.anchors.forget(gone[gone < layer.arrays.slots])


@dataclass(frozen=True, eq=False)
class GatherPass:
    """What a gather pass leaves of a layer: see LayerPass."""

    operator: TransposedProduct
    support: Support
    hidden: Float[torch.Tensor, " active_entries"]
    counts: LayerCounts = field(default_factory=LayerCounts)


def _certificate(counts: LayerCounts, layer: CertifiedLayer) -> LayerCertificate:
    return LayerCertificate(counts.anchors, counts.candidates, counts.certified, counts.appended, layer.bytes)
