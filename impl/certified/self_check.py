"""Computes in full what a certificate spared, and compares: for tests, and for whoever does not believe it."""

from __future__ import annotations

import torch

from impl.certified.layer import CertifiedLayer, LayerPass
from impl.support import Support
from impl.work import WorkMeter
from reference.contract.shapes import Float


class CertificateError(AssertionError):
    """A certificate was wrong: a unit that it spared is active, or one that was computed is not what it should be."""


def check(layer: CertifiedLayer, taken: LayerPass, support: Support, values: Float[torch.Tensor, " entries"]) -> None:
    """Compares a pass with the product in full.

    Args:
        layer: That took the pass.
        taken: What it left.
        support: Its active inputs.
        values: On them.

    Raises:
        CertificateError: where an active unit is no candidate; or where the two evaluations of a candidate disagree
            about its being active, though z is farther from τ than they can be from each other.
    """
    z = layer.weights.apply(support, values, WorkMeter(values.device)).double()
    z += layer.bias.double()
    threshold = layer.activation.threshold
    missed = (z > threshold) & ~layer.candidates(taken.slots)
    if bool(missed.any()):
        raise CertificateError(_report(layer, "an active unit is certified inactive", missed, z))
    active = taken.support.densify(torch.ones(taken.support.entries, dtype=torch.bool, device=z.device))
    rounding = layer.rounding(taken.slots, support, values)
    wrong = (active != (z > threshold)) & ((z - threshold).abs() > 2 * rounding)
    if bool(wrong.any()):
        raise CertificateError(_report(layer, "a candidate is active in one evaluation only", wrong, z))


def _report(layer: CertifiedLayer, what: str, where: torch.Tensor, z: torch.Tensor) -> str:
    sample, unit = where.nonzero()[0].tolist()
    margin = float(z[sample, unit]) - layer.activation.threshold
    return (
        f"layer {layer.layer}, sample {sample}, unit {unit}: {what}, z − τ = {margin:g} ({int(where.sum())} such units)"
    )
