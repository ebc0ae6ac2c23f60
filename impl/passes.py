"""Choosing the forward pass by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from impl.certified import CertifiedForward, select_anchor_kernels
from impl.forward import ForwardPass, GatherForward
from impl.kernels import Kernels
from impl.weights import LazyWeights, Weights
from impl.work import tensor_bytes
from reference.contract import ArgumentError
from reference.contract.arguments import one_of, whole_number

FORWARDS = ("gather", "certified", "auto")

# Layers narrower than this are done with before certificates have been looked at (measured on CPUs).
LEAST_WIDTH = 4096

# Of the weights' own memory, what certificates may take unless they are told; and what they may take of any network.
MEMORY_SHARE = 0.15
LEAST_MEMORY = 128 << 20


def default_forward(widths: Sequence[int], activation: str, kernels: Kernels, storage: str | None) -> str:
    """The pass for whoever names none: "auto" where it was measured to pay and can be had, and else "gather".

    Args:
        widths: Of the hidden layers.
        activation: Its kind.
        kernels: The sparse products.
        storage: Of the weights, or None for the dtype that is computed in.
    """
    possible = storage is None and kernels.name == "compiled"
    return "auto" if possible and not refusal(widths, activation) else "gather"


def refusal(widths: Sequence[int], activation: str) -> str:
    """Why "auto" does not try certificates, for hidden layers of these widths and a kind of activation; "" if it does.

    Hidden values of the thresholded identity jump by τ wherever a unit starts or stops to fire, and so certificates do
    not last (measured on CPUs: slower than the gather pass at m = 8192, hardly faster at 16384).
    """
    if max(widths) < LEAST_WIDTH:
        return f"no layer has {LEAST_WIDTH} units"
    return "hidden values jump at the threshold" if activation == "thresholded_identity" else ""


@dataclass(frozen=True)
class ForwardChoice:
    """How a network is evaluated.

    Attributes:
        name: "gather", "certified" or "auto".
        memory: Bytes for the blocks of certified passes, or None.
        self_check: Whether certified passes are compared with products in full.
    """

    name: str = "gather"
    memory: int | None = None
    self_check: bool = False

    @classmethod
    def checked(cls, forward: str, certificate_memory: int | str | None, self_check: bool | str) -> ForwardChoice:
        """From the arguments of a factory. Raises ArgumentError for bad ones."""
        one_of("forward", forward, FORWARDS)
        if isinstance(certificate_memory, str):  # from a command line
            certificate_memory = int(certificate_memory) if certificate_memory.isdecimal() else -1
        if certificate_memory is not None:
            whole_number("certificate_memory", certificate_memory, 0)
        if self_check not in (True, False, "true", "false"):
            raise ArgumentError("self_check", "True or False", repr(self_check))
        return cls(forward, certificate_memory, self_check in (True, "true"))

    def certifies(self, widths: Sequence[int], activation: str) -> bool:
        """Whether certificates are tried at all, for hidden layers of these widths and a kind of activation."""
        return self.name == "certified" or (self.name == "auto" and not refusal(widths, activation))

    def forward_pass(self, gather: GatherForward, weights: Sequence[Weights], activation: str) -> ForwardPass:
        """The pass; `gather` is what it falls back on."""
        lazy = [weight for weight in weights if isinstance(weight, LazyWeights)]
        widths = [weight.table.shape[1] for weight in weights]
        if not self.certifies(widths, activation):
            if self.name == "auto":
                gather.notes = (f"gather pass, as {refusal(widths, activation)}",)
            return gather
        share = int(MEMORY_SHARE * sum(tensor_bytes(weight.table) for weight in weights))
        return CertifiedForward(
            gather,
            lazy,
            select_anchor_kernels(gather.kernels),
            max(LEAST_MEMORY, share) if self.memory is None else self.memory,
            insistent=self.name == "certified",
            self_check=self.self_check,
        )
