"""Products with D: outer products of one batch after the other, side by side.

Training sees its samples again, active on nearly the same units. So a *panel* has the vectors of sample i of many terms
as columns of one matrix, on the union of their supports: a product reads each unit once, not once a term.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from impl.kernels import Factors, Kernels
from impl.support import Support
from impl.weights.low_rank import LowRank, OuterProducts
from impl.work import WorkMeter, tensor_bytes
from reference.contract.shapes import Float

# A term joins a panel whose numbers are then at most so many times as many as those of its terms.
PADDING = 1.25

# So many panels are tried for a term, the newest first.
TRIED = 8


class Panels:
    """D, as products take it; one D after the other.

    Args:
        layer: ℓ, for counts.
        fan_in: m_{ℓ−1}.
        fan_out: m_ℓ.
        kernels: The sparse products.
    """

    def __init__(self, layer: int, fan_in: int, fan_out: int, kernels: Kernels):
        self._layer, self._fan_in, self._fan_out, self._kernels = layer, fan_in, fan_out, kernels
        self._panels: list[Panel] = []
        self._followed: LowRank | None = None

    def apply(
        self,
        low_rank: LowRank,
        support: Support,
        values: Float[torch.Tensor, " entries"],
        out: Float[torch.Tensor, "fan_out n"],
        work: WorkMeter,
    ) -> None:
        """D h for sparse h, by unit: n·R·k for R sparse terms, and n·r·m for r dense ones.

        Args:
            low_rank: D.
            support: Of h, over the inputs.
            values: On it.
            out: To which it is written.
            work: Counts.
        """
        self._follow(low_rank)
        if not self._panels:
            out.zero_()
        for panel in self._panels:
            inner = self._kernels.project(panel.right, support, values[None])  # ⟨right_j, h_i⟩
            self._kernels.spread(panel.left, inner, out, anew=panel is self._panels[0])
            self._count(panel, inner, work)
        if low_rank.dense is not None:
            inner = self._kernels.gather(support, values, low_rank.dense.right)
            out.addmm_(low_rank.dense.left, inner.T)
            products = (support.entries + support.samples * self._fan_out) * low_rank.dense.rank
            moved = support.entries * low_rank.dense.rank * values.element_size()
            work.count(self._layer, products, moved + tensor_bytes(inner, inner, low_rank.dense.left, out))

    def apply_transpose(
        self,
        low_rank: LowRank,
        rows: Support,
        columns: Support,
        values: Float[torch.Tensor, "c column_entries"],
        work: WorkMeter,
    ) -> Float[torch.Tensor, "c row_entries"]:
        """Dᵀ g for sparse g, at the inputs named by `rows` only: c·n·R·k for R sparse terms, c·n·r·k for r dense ones.

        Args:
            low_rank: D.
            rows: Over the m_{ℓ−1} inputs.
            columns: Of g, over the m_ℓ units.
            values: On it.
            work: Counts.
        """
        self._follow(low_rank)
        kernels, outputs, samples = self._kernels, values.shape[0], columns.samples
        out = values.new_zeros(outputs, rows.entries)
        for panel in self._panels:
            inner = kernels.project(panel.left, columns, values)
            out += kernels.collect(panel.right, inner, rows)
            self._count(panel, inner, work)
        dense = low_rank.dense
        if dense is not None:
            inner = torch.stack([kernels.gather(columns, value, dense.left) for value in values])
            everywhere = Support.full(samples, dense.rank, values.device)
            out += kernels.gather_restricted(rows, everywhere, inner.view(outputs, -1), dense.right)
            products = outputs * (columns.entries + rows.entries) * dense.rank
            work.count(self._layer, products, products * values.element_size() + 2 * tensor_bytes(inner))
        return out

    def of(self, low_rank: LowRank) -> Sequence[Panel]:
        """The panels of the sparse terms of D."""
        self._follow(low_rank)
        return self._panels

    def _follow(self, low_rank: LowRank) -> None:
        """Goes over to another D. What panels there are depends on its terms alone, and so does every last bit."""
        if low_rank is self._followed:
            return
        before = self._followed.terms if self._followed is not None else ()
        followed, self._followed = self._followed, None  # where memory runs out on the way, panels are made anew
        if len(before) == len(low_rank.terms) == 1 and low_rank.terms[0].is_merged_from(before[0]):
            self._panels[0].replace_left(low_rank.terms[0], self._kernels)
            before = low_rank.terms
        elif followed is None or low_rank.terms[: len(before)] != before:  # an undo, or a term in place of another
            self._panels, before = [], ()
        for term in low_rank.terms[len(before) :]:
            self._add(term)
        self._followed = low_rank

    def _add(self, term: OuterProducts) -> None:
        for panel in self._panels[: -TRIED - 1 : -1]:
            if panel.takes(term, self._kernels):
                return
        panel = Panel(term.rank, self._fan_in, self._fan_out, term.left_values)
        longest = int(term.right.host_counts.max()), int(term.left.host_counts.max())
        panel.add(term, longest, term.pairs, self._kernels)
        self._panels.append(panel)

    def _count(self, panel: Panel, inner: Float[torch.Tensor, "samples t nc"], work: WorkMeter) -> None:
        size, vectors = inner.element_size(), inner.shape[2]
        touched = (panel.right.entries + panel.left.entries) * (vectors * size + 4)
        work.count(self._layer, vectors * panel.size, touched + panel.size * size + 2 * tensor_bytes(inner))


class Panel:
    """Some terms of D, each with one outer product a sample.

    Args:
        samples: n.
        fan_in: m_{ℓ−1}.
        fan_out: m_ℓ.
        like: A tensor of the dtype and device.

    Attributes:
        right: Over the m_{ℓ−1} inputs.
        left: Over the m_ℓ units.
        pairs: Σ_i (units of sample i on the right) · (units on the left): elements of a weight matrix that it changes.
    """

    def __init__(self, samples: int, fan_in: int, fan_out: int, like: torch.Tensor):
        self.right, self.left = Factors(samples, fan_in, like), Factors(samples, fan_out, like)
        self.pairs = 0

    @property
    def size(self) -> int:
        """How many numbers it has, zeros among them."""
        return self.right.size + self.left.size

    def takes(self, term: OuterProducts, kernels: Kernels) -> bool:
        """Adds a term, unless its supports differ too much from the others'."""
        if term.rank != self.right.samples:
            return False
        unions = kernels.unions(self.right, term.right, self.left, term.left)
        sides = (unions.right, self.right, term.right), (unions.left, self.left, term.left)
        for union, factors, support in sides:
            if union * (factors.vectors + 1) > PADDING * (factors.size + support.entries):
                return False
        self.add(term, (unions.longest_right, unions.longest_left), unions.pairs, kernels)
        return True

    def replace_left(self, term: OuterProducts, kernels: Kernels) -> None:
        """Takes other left factors, where it holds one term, whose right ones have stayed."""
        self.left.clear()
        self.left.reserve(int(term.left.host_counts.max()), 1)
        kernels.insert(self.left, term.left, term.left_values)
        self.pairs = term.pairs

    def add(self, term: OuterProducts, longest: Sequence[int], pairs: int, kernels: Kernels) -> None:
        """Adds a term.

        Args:
            term: Of as many samples.
            longest: Units of the longest unions that come about, right and left.
            pairs: Those of the unions that come about.
            kernels: The sparse products.
        """
        sides = (self.right, term.right, term.right_values), (self.left, term.left, term.left_values)
        for length, (factors, support, values) in zip(longest, sides, strict=True):
            factors.reserve(length, factors.vectors + 1)
            kernels.insert(factors, support, values)
        self.pairs = pairs
