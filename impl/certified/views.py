"""The arrays that the compiled loops work on, as numpy has them; units that are listed are unsigned."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Views(NamedTuple):
    """Those of AnchorArrays, and of their Blocks."""

    products: np.ndarray
    norms: np.ndarray
    row_products: np.ndarray
    references: np.ndarray
    row_place: np.ndarray
    column_place: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    reference_count: np.ndarray
    row_count: np.ndarray
    column_count: np.ndarray
    live_count: np.ndarray
    known_count: np.ndarray
    excess: np.ndarray
    spent: np.ndarray
    numbers: np.ndarray
    offset: np.ndarray
    lines: np.ndarray
    stride: np.ndarray


class BoundViews(NamedTuple):
    """Those of Bounds."""

    slots: np.ndarray
    samples: np.ndarray
    coefficients: np.ndarray
    radius: np.ndarray
    row_coefficients: np.ndarray
    row_radius: np.ndarray
    looseness: np.ndarray
    change: np.ndarray
    magnitudes: np.ndarray
    bias: np.ndarray
    limit: np.floating


class CombinationViews(NamedTuple):
    """Those of Combination."""

    coefficients: np.ndarray
    radius: np.ndarray
    row_coefficients: np.ndarray
    row_radius: np.ndarray
    looseness: np.ndarray


class SampleBound(NamedTuple):
    """What of the bounds is one sample's: a row of CombinationViews."""

    coefficients: np.ndarray
    radius: np.floating
    row_coefficients: np.ndarray
    row_radius: np.floating
    looseness: np.floating


class RestViews(NamedTuple):
    """Those of RestArrays."""

    valid: np.ndarray
    inputs: np.ndarray
    row_margin: np.ndarray
    row_slope: np.ndarray
    row_drift: np.ndarray
    near: np.ndarray
    near_count: np.ndarray
    near_margin: np.ndarray
    near_slope: np.ndarray
    near_drift: np.ndarray
    far_travel: np.ndarray
    far_change: np.ndarray
    since: np.ndarray
    looks: np.ndarray


class InputViews(NamedTuple):
    """A batch: its samples' slots, and its inputs with their places among the columns."""

    slots: np.ndarray
    offsets: np.ndarray
    values: np.ndarray
    places: np.ndarray


class UnitViews(NamedTuple):
    """What is known by unit: β, A, the drift of D and its largest total."""

    bias: np.ndarray
    magnitudes: np.ndarray
    drift: np.ndarray
    largest_drift: float
    terms: int
    limit: np.floating
    threshold: np.floating


class ChangeViews(NamedTuple):
    """D, as one panel whose entries are listed by unit (factor_loops.py): `vectors` of its samples, padded to a length.

    The left ones are also there by sample. Or, where `table` is not empty, D h as a table by unit.
    """

    right_offsets: np.ndarray
    right_listed: np.ndarray
    right_numbers: np.ndarray
    left_offsets: np.ndarray
    left_listed: np.ndarray
    left_numbers: np.ndarray
    left_counts: np.ndarray
    left_units: np.ndarray
    samples: int
    vectors: int
    length: int
    table: np.ndarray


class FoundViews(NamedTuple):
    """What a course finds in a layer: those of Found."""

    counts: np.ndarray
    units: np.ndarray
    active: np.ndarray
    hidden: np.ndarray
    places: np.ndarray
    left: np.ndarray
