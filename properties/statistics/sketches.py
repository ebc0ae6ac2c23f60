"""Statistical properties of sketches of the Jacobian (reference/README.md, section 8).

They rest on two claims, for vectors v and w of the size of a row of J and a sketch of s rows:

    E⟨S v, S w⟩ = ⟨v, w⟩        Var⟨S v, S w⟩ ≤ 9‖v‖²‖w‖²/s

The second holds for TensorSRHT, TensorSketch and Gaussian sketches. In one layer, TensorSRHT: given the signs,
⟨S v, S w⟩ is a mean of s independent terms whose mean is ⟨v, w⟩; a term is y·z with Rademacher chaoses y and z of
degree 2, so that E y²z² ≤ √(E y⁴·E z⁴) ≤ 9‖v‖²‖w‖² by hypercontractivity. TensorSketch: the error is a sum over pairs
of coordinates that share a bucket, which happens with probability 1/s; its second moment is at most 1/s times that of
these chaoses for |v| and |w|. Gaussian: ‖v‖²‖w‖² + ⟨v, w⟩² over s. Several layers with independent sketches that vanish
in the mean add the terms ⟨S_ℓ v_ℓ, S_k w_k⟩, which are uncorrelated with the others and of second moment
‖v_ℓ‖²‖w_k‖²/s; a pair (ℓ, k), (k, ℓ) at most doubles, so that 9 covers the sum over all ℓ and k. (For TensorSRHT
that second moment is larger by the product of the squares of v_ℓ and w_k at unit 0 of both sides, as H does not spread
this coordinate over the rows. In the cases here it is below 1e-5·‖v‖²‖w‖², and 9/s is 9e-3.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from properties.cases.case import Case
from properties.runner.compare import Mismatch, assert_identical
from properties.runner.subject import Subject
from properties.statistics import pvalues
from properties.statistics.budget import ALPHA, Design, assert_probable, statistical
from properties.statistics.sample import Sample
from properties.tolerances import bounds
from properties.tolerances.rounding import Arithmetic
from reference.contract import Implementation
from reference.contract.shapes import Float

#: s, as many as the smallest layer has weights: the more, the smaller a bias that is found.
ROWS = 1024

#: Of ⟨S v, S w⟩, in units of ‖v‖²‖w‖².
VARIANCE = 9 / ROWS

#: Of a Gram matrix with four rows, (S Jᵀ)ᵀ(S Jᵀ) has ten different elements.
ELEMENTS = 10

#: 33 groups of 2: fewer groups cannot reach so small a false-alarm rate, more of them are longer than they need be.
MEANS = pvalues.MedianOfMeans(groups=33, size=2)

ONE_LAYER = Sample(input_dimension=32, widths=(32,), samples=4, b=0.0)
THREE_LAYERS = Sample(input_dimension=32, widths=(32, 32, 32), samples=4, b=-1.0, positive=True)

#: How many sketches are compared whole, and how often two of them agree: their signs decide (see the property).
WHOLE, COINCIDENCE = 20, 2.0**-31


def _unless(subject: Subject) -> str:
    return "" if subject.capabilities.sketches else "the implementation declares no sketches"


def _share(cases: int, elements: int, sketches: int = 2) -> float:
    """What one comparison may err, where two sketches are declared."""
    return ALPHA / (cases * sketches * elements)


@statistical(
    Design(
        null="E (S Jᵀ)ᵀ(S Jᵀ) = G, every element, for a trained layer alone",
        assumes="Var⟨S v, S w⟩ ≤ 9‖v‖²‖w‖²/s (derived), seeds that draw independently",
        draws=f"{MEANS.draws} seeds of {ROWS} rows, for each sketch and each of two networks",
        alternative="an element off by 0.4·√(G_ii·G_kk) or more: a wrong scale, missing signs, a bias",
        beta=MEANS.miss(0.4 / VARIANCE**0.5, _share(2, ELEMENTS)),
    ),
    "active_sets",
    examples={
        "one layer, positive factors": replace(ONE_LAYER, b=-1.0, positive=True),  # what signs are there to cancel
        "two outputs": Sample(input_dimension=32, widths=(32,), samples=2, outputs=2, b=0.0, seed=1),
    },
    unless=_unless,
)
def sketches_are_unbiased(subject: Subject, case: Case) -> None:
    """The mean of (S Jᵀ)ᵀ(S Jᵀ) over seeds is G: a wrong scale or sign of S shows."""
    _check_means(subject, case, ALPHA / 2)


@statistical(
    Design(
        null="E (S Jᵀ)ᵀ(S Jᵀ) = G, summed over three layers whose rows point nearly the same way",
        assumes="Var⟨S v, S w⟩ ≤ 9‖v‖²‖w‖²/s (derived), seeds that draw independently",
        draws=f"{MEANS.draws} seeds of {ROWS} rows, for each sketch",
        alternative="layers that share their sketch, any two of three: some G_ii off by 0.4·G_ii or more",
        beta=MEANS.miss(0.4 / VARIANCE**0.5, _share(1, ELEMENTS)),
    ),
    "active_sets",
    examples={"three layers": THREE_LAYERS},
    unless=_unless,
)
def sketches_of_layers_are_independent(subject: Subject, case: Case) -> None:
    """Products of different layers' sketches vanish in the mean: a seed that is used for two layers shows."""
    _check_means(subject, case, ALPHA)


#: |⟨S v, S w⟩ − ⟨v, w⟩| is beyond so many standard deviations with a probability of at most 1/FAR² (Chebyshev).
FAR = 2.0

#: Where the variance is too large, this share of the draws is beyond.
TOO_OFTEN = 0.8


@statistical(
    Design(
        null="|⟨S v, S w⟩ − ⟨v, w⟩| > 2·3‖v‖‖w‖/√s for at most a quarter of the seeds, for every two rows of J",
        assumes="Var⟨S v, S w⟩ ≤ 9‖v‖²‖w‖²/s (derived), seeds that draw independently",
        draws=f"{MEANS.draws} seeds of {ROWS} rows, for each sketch",
        alternative="beyond for four fifths of the seeds: rows that repeat, fewer rows than asked for",
        beta=pvalues.binomial_miss(MEANS.draws, 1 / FAR**2, _share(1, ELEMENTS), TOO_OFTEN),
    ),
    "active_sets",
    examples={"one layer": ONE_LAYER},
    unless=_unless,
)
def sketch_variance_is_that_of_its_rows(subject: Subject, case: Case) -> None:
    """⟨S v, S w⟩ spreads no more than s rows allow."""
    for sketch, products, G in _products(subject, case):
        beyond = (np.abs(products - G) > FAR * np.sqrt(VARIANCE) * _norms(G)).sum(axis=0)
        _assert_elements(
            f"{sketch}: spread of (S Jᵀ)ᵀ(S Jᵀ)",
            pvalues.at_least(beyond, len(products), 1 / FAR**2),
            ALPHA / len(subject.capabilities.sketches),
            partial(_told_spread, beyond),
        )


#: The preconditioned spectrum is within 1 ± RADIUS but for this share of the seeds (see the property).
RADIUS = 0.75
OUTSIDE = VARIANCE * 4**2 / RADIUS**2


@statistical(
    Design(
        null=f"the spectrum of R⁻ᵀ G R⁻¹, S Jᵀ = Q R, is within [1/{1 + RADIUS}, 1/{1 - RADIUS}] but for a quarter of "
        "the seeds",
        assumes="Var⟨S v, S w⟩ ≤ 9‖v‖²‖w‖²/s (derived), seeds that draw independently",
        draws=f"{MEANS.draws} seeds of 256·n·c = {ROWS} rows, for each sketch",
        alternative="outside for four fifths of the seeds: a sketch that embeds fewer directions than J has",
        beta=pvalues.binomial_miss(MEANS.draws, OUTSIDE, _share(1, 1), TOO_OFTEN),
    ),
    "active_sets",
    examples={"two layers": Sample(input_dimension=32, widths=(32, 32), samples=4, b=0.0, seed=2)},
    unless=_unless,
)
def sketches_precondition_the_gram_matrix(subject: Subject, case: Case) -> None:
    """S embeds the span of the rows of J: preconditioned by R, G is well-conditioned.

    With Q of orthonormal columns that span the rows of J, E‖(S Q)ᵀ(S Q) − I‖_F² ≤ 9N²/s for N = n·c, so that its
    eigenvalues are within 1 ± r but for a share of 9N²/(s·r²) of the seeds (Markov).
    """
    for sketch, products, G in _products(subject, case):
        root = np.linalg.inv(np.linalg.cholesky(G))
        values = np.linalg.eigvalsh(root @ products @ root.T)
        outside = int((np.abs(values - 1) > RADIUS).any(axis=1).sum())
        assert_probable(
            f"{sketch}: spectrum of the preconditioned Gram matrix",
            (),
            pvalues.at_least(outside, len(products), VARIANCE * len(G) ** 2 / RADIUS**2),
            ALPHA / len(subject.capabilities.sketches),
            partial(_told_spectrum, outside, values),
        )


@statistical(
    Design(
        null=f"no two of {WHOLE} sketches of different seeds are equal",
        assumes="the 32 signs of a factor without zeros are fair and independent: two sketches agree with a "
        "probability of at most 2⁻³¹",
        draws=f"{WHOLE} seeds, for each sketch",
        alternative=f"fewer than {WHOLE} different sketches, whatever the seed",
        beta=0.0,
        alpha=2 * COINCIDENCE * WHOLE * (WHOLE - 1) / 2,
    ),
    "active_sets",
    examples={"all units active": Sample(input_dimension=32, widths=(32,), samples=1, b=-8.0)},
    unless=_unless,
)
def another_seed_gives_another_sketch(subject: Subject, case: Case) -> None:
    """A seed that is ignored, or cut to a few bits, shows."""
    implementation = subject.build(case)
    for index, sketch in enumerate(subject.capabilities.sketches):
        seeds = _sample(case).seeds(WHOLE, index)
        found: dict[bytes, int] = {}
        for seed in seeds:
            bits = _sketched(implementation, case, sketch, seed).tobytes()
            if bits in found:
                raise Mismatch(f"{sketch}: the seeds {found[bits]} and {seed} give the same sketch, to the last bit")
            found[bits] = seed


@statistical(
    Design(
        null="the same seed gives the same bits, in another instance and after other sketches",
        assumes="nothing",
        draws="2 seeds, for each sketch",
        alternative="any difference",
        beta=0.0,
        alpha=0.0,
    ),
    "active_sets",
    examples={"one layer": ONE_LAYER},
    unless=_unless,
)
def the_seed_determines_the_sketch(subject: Subject, case: Case) -> None:
    """S Jᵀ repeats to the last bit."""
    first, second = subject.build(case), subject.build(case)
    for index, sketch in enumerate(subject.capabilities.sketches):
        for seed in _sample(case).seeds(2, index):
            expected = _sketched(first, case, sketch, seed)
            for implementation in (second, first):
                _sketched(implementation, case, sketch, seed ^ 1)
                got = _sketched(implementation, case, sketch, seed)
                assert_identical(f"{sketch}: S Jᵀ of seed {seed}", ("row", "column"), got, expected)


def _check_means(subject: Subject, case: Case, alpha: float) -> None:
    for sketch, products, G in _products(subject, case):
        median = MEANS.median(products)
        _assert_elements(
            f"{sketch}: mean of (S Jᵀ)ᵀ(S Jᵀ)",
            MEANS.p(np.abs(median - G) / (np.sqrt(VARIANCE) * _norms(G))),
            alpha / len(subject.capabilities.sketches),
            partial(_told_mean, G, median),
        )


def _assert_elements(
    what: str, p: Float[np.ndarray, "nc nc"], alpha: float, tell: Callable[[tuple[int, int]], str]
) -> None:
    """One test for every element of a symmetric matrix that is on or above the diagonal."""
    rows, columns = np.triu_indices(len(p))
    assert_probable(
        what, ("element",), p[rows, columns], alpha, lambda element: tell((int(rows[element]), int(columns[element])))
    )


def _told_mean(G: np.ndarray, median: np.ndarray, at: tuple[int, int]) -> str:
    return (
        f"row {at[0]}, column {at[1]}: expected {G[at]:.6g}, got {median[at]:.6g}, the median of {MEANS.groups} means "
        f"over {MEANS.draws} seeds in all"
    )


def _told_spread(beyond: np.ndarray, at: tuple[int, int]) -> str:
    return (
        f"row {at[0]}, column {at[1]}: {beyond[at]} of {MEANS.draws} sketches of {ROWS} rows are further than "
        "6·√(G_ii·G_kk/s) from G"
    )


def _told_spectrum(outside: int, values: np.ndarray) -> str:
    return (
        f"for {outside} of {MEANS.draws} seeds an eigenvalue of Qᵀ SᵀS Q is further than {RADIUS} from 1; they are "
        f"between {values.min():.3g} and {values.max():.3g}"
    )


def _norms(G: Float[np.ndarray, "nc nc"]) -> Float[np.ndarray, "nc nc"]:
    """‖v‖‖w‖ for all pairs of rows of J."""
    norms = np.sqrt(np.diag(G))
    return np.outer(norms, norms)


def _products(
    subject: Subject, case: Case
) -> Iterator[tuple[str, Float[np.ndarray, "draws nc nc"], Float[np.ndarray, "nc nc"]]]:
    """For every sketch (S Jᵀ)ᵀ(S Jᵀ) of all draws, and G. Rounding is a millionth of what the tests resolve."""
    implementation = subject.build(case)
    G = bounds.gram(subject.replay(case, implementation), Arithmetic(case.dtype)).value
    for index, sketch in enumerate(subject.capabilities.sketches):
        seeds = _sample(case).seeds(MEANS.draws, index)
        draws = (_sketched(implementation, case, sketch, seed) for seed in seeds)
        yield sketch, np.stack([drawn.T @ drawn for drawn in draws]), G


def _sketched(implementation: Implementation, case: Case, sketch: str, seed: int) -> Float[np.ndarray, "rows nc"]:
    method = getattr(implementation, "sketched_jacobian", None)
    if method is None:
        raise Mismatch(f"sketched_jacobian: sketches are declared ({sketch}), but there is no such method")
    drawn = method(case.X, sketch=sketch, rows=ROWS, seed=seed)
    shape = (ROWS, case.samples * case.outputs)
    if not isinstance(drawn, np.ndarray) or drawn.shape != shape or drawn.dtype.kind != "f":
        got = f"{drawn.dtype} {drawn.shape}" if isinstance(drawn, np.ndarray) else type(drawn).__name__
        raise Mismatch(f"{sketch}: expected S Jᵀ as an array of floats of shape {shape}, got {got}")
    if not np.isfinite(drawn).all():
        raise Mismatch(f"{sketch}: S Jᵀ of seed {seed} is not finite")
    return drawn.astype(np.float64)


def _sample(case: Case) -> Sample:
    assert isinstance(case, Sample)
    return case
