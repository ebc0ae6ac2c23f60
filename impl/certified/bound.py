"""The certificate: a bound on preactivations that no rounding can make too small (reference/README.md, section 9).

For one sample let h be its input, h^q those of its references, for which W⁰h^q is known, all of them zero outside the
columns S, and a_q any numbers. With W = W⁰ − D, by Cauchy and Schwarz and with ρ_r ≥ ‖W⁰_{r,S}‖₂,

    z_r = Σ_q a_q (W⁰h^q)_r + (W⁰(h − Σ_q a_q h^q))_r − (D h)_r + β_r
        ≤ Σ_q a_q (W⁰h^q)_r + ρ_r ‖h − Σ_q a_q h^q‖₂ − (D h)_r + β_r

What is computed of it is off by rounding. A sum of s products, in whatever order and with or without fused operations,
errs by at most γ Σ|factors|, γ = s·u/(1 − s·u), u the unit roundoff; and Σ_c |W⁰_{rc}||h_c| ≤ ρ_r‖h‖ by the same
inequality. So, with A_r = Σ_j |left_{j,r}| ‖right_j‖ over the outer products of D, or any number that is greater,

    (W⁰h^q)_r  errs by at most  γ ρ_r ‖h^q‖
    (D h)_r    errs by at most  γ A_r ‖h‖

and the evaluation that the certificate spares would itself err by γ(ρ_r + A_r)‖h‖: a unit is certified only if that
evaluation, too, would find it inactive. Adding up the bound takes a few operations more, on numbers of at most
ρ_r(‖h‖ + Σ_q|a_q|‖h^q‖ + distance) + A_r‖h‖ + |β_r|: BESIDE more u in γ cover them, and 16 u (|β| + |τ|) what ρ and A
do not. The unit is certified where, in floating point,

    exact_r + ρ_r·radius ≤ limit        exact_r  = Σ_q a_q (W⁰h^q)_r − ((D h)_r − β_r) + A_r·looseness
                                        radius    = distance + γ(‖h‖ + Σ_q |a_q|‖h^q‖ + distance)
                                        looseness = 2γ‖h‖
                                        limit     = τ − 16u(max|β| + |τ|)

so that what is not a number is never certified. The a_q minimize distance² + γ² Σ_q a_q²‖h^q‖², nearly: any do.

Of the rows of a sample one more input is known, the row reference. For them there is a second bound of the same kind,
with coefficients and a radius of its own, and the better of the two counts.

A certificate *rests* for as long as it can be seen to hold without being computed anew. When a sample was last
screened, let h⁰ have been its input, D⁰ what D was, and margin_r = limit − (exact_r + ρ_r·radius) or that of the second
bound, the greater of the two. As long as S covers the input,

    z_r(h) − z_r(h⁰) = (W⁰(h − h⁰))_r − (D⁰(h − h⁰))_r − ((D − D⁰) h)_r ≤ (ρ_r + A⁰_r)‖h − h⁰‖ + E_r‖h‖

where E_r, the *drift* of D at r, is Σ_j |change of left_{j,r}| ‖right_j‖ added up over the updates since: right factors
stay what they are. The evaluation that is spared now errs by γ(ρ_r + A_r)‖h‖, and A_r ≤ A⁰_r + E_r. So the unit remains
certified where

    (ρ_r + A⁰_r)·travel + E_r·reach ≤ margin_r    travel = (‖h − h⁰‖ + (γ + 16u)‖h‖)(1 + 16u)
                                                  reach  = (1 + γ)‖h‖(1 + 16u)

What computing the margin and this errs by is a few u of |margin_r| ≤ |τ| + |β_r| + (ρ_r + A⁰_r)‖h⁰‖ and of the left
side: 16u(|β| + |τ|) in the limit and 16u(‖h‖ + ‖h − h⁰‖) ≥ 16u‖h⁰‖ in travel cover it. Norms and drifts are summed in
float64, and drifts rounded up. Of many units the one inequality with κ = min_r margin_r/(ρ_r + A⁰_r + w), any w > 0,

    travel ≤ κ  and  E·reach ≤ κw,  E ≥ E_r    imply    (ρ_r + A⁰_r)·travel + E_r·reach ≤ κ(ρ_r + A⁰_r + w) ≤ margin_r
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from reference.contract.shapes import Float, Int

# Operations beside the sums, rounded up to a round number.
BESIDE = 16


class Combination(NamedTuple):
    """What of the bounds is of the samples: see Bounds."""

    coefficients: Float[torch.Tensor, "n references"]
    radius: Float[torch.Tensor, " n"]
    row_coefficients: Float[torch.Tensor, "n references_and_one"]
    row_radius: Float[torch.Tensor, " n"]
    looseness: Float[torch.Tensor, " n"]


@dataclass(frozen=True, eq=False)
class Bounds:
    """What the bounds of a batch are made of; see above.

    Attributes:
        slots: (n,) of the samples.
        samples: (n,) their columns in `change`.
        coefficients: (n, references) a_q.
        radius: (n,).
        row_coefficients: (n, references + 1) a_q of the second bound, that of the row reference last.
        row_radius: (n,) its radius.
        looseness: (n,).
        change: (m_ℓ, batch), D h.
        magnitudes: (m_ℓ,), A.
        bias: (m_ℓ,), β.
        limit: A number.
    """

    slots: Int[torch.Tensor, " n"]
    samples: Int[torch.Tensor, " n"]
    coefficients: Float[torch.Tensor, "n references"]
    radius: Float[torch.Tensor, " n"]
    row_coefficients: Float[torch.Tensor, "n references_and_one"]
    row_radius: Float[torch.Tensor, " n"]
    looseness: Float[torch.Tensor, " n"]
    change: Float[torch.Tensor, "m batch"]
    magnitudes: Float[torch.Tensor, " m"]
    bias: Float[torch.Tensor, " m"]
    limit: float

    def only(self, chosen: Int[torch.Tensor, " some"]) -> Bounds:
        """That of some samples of the batch, in increasing order."""
        if chosen.numel() == self.slots.numel():
            return self
        by_sample = ("slots", "samples", "coefficients", "radius", "row_coefficients", "row_radius", "looseness")
        return replace(self, **{name: getattr(self, name)[chosen] for name in by_sample})


def gamma(terms: int, dtype: torch.dtype) -> float:
    """γ, for sums of so many terms and what else there is to add up."""
    sums = (terms + BESIDE) * torch.finfo(dtype).eps / 2
    return sums / (1 - sums) if sums < 1 else float("inf")


def limit_of(threshold: float, largest_bias: float, dtype: torch.dtype) -> float:
    """The limit."""
    return threshold - 8 * torch.finfo(dtype).eps * (largest_bias + abs(threshold))


def norms_of_squares(squares: Float[torch.Tensor, "*shape"], terms: int) -> Float[torch.Tensor, "*shape"]:
    """√ of sums of squares, rounded up: by γ for the sum, and by the least normal number a term for underflow."""
    limits = torch.finfo(squares.dtype)
    up, least = 1 + 2 * gamma(terms, squares.dtype), (terms + 1) * limits.tiny
    return (squares * up).add_(least).sqrt_().mul_(1 + 2 * limits.eps)


def rounded_up(numbers: Float[torch.Tensor, "*shape"], dtype: torch.dtype) -> Float[torch.Tensor, "*shape"]:
    """Numbers ≥ 0 in another dtype, none smaller than it was; 0 remains 0, as products with less are slow."""
    limits = torch.finfo(dtype)
    return (numbers * (1 + 4 * limits.eps) + limits.tiny * (numbers > 0)).to(dtype)
