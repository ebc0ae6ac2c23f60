"""Sketches: scales, signs, seeds. As preconditioners they change no result, only how fast it is found."""

from __future__ import annotations

import math
from typing import Any

import torch

from tests.planted.registry import Module, plant

MEAN = "sketches_are_unbiased "
SPREAD = "sketch_variance_is_that_of_its_rows sketches_precondition_the_gram_matrix "


def drawn(sketch: Any, change: Any) -> None:
    """Draws a sketch in another way: change(sketch, rows, left width, right width) after the correct draws."""
    correct = sketch.__init__

    def init(self: Any, rows: int, left_width: int, right_width: int, **options: Any) -> None:
        correct(self, rows, left_width, right_width, **options)
        change(self, rows, left_width, right_width)

    sketch.__init__ = init


@plant("impl.sketch.layers", killed_by="sketches_of_layers_are_independent")
def one_seed_for_all_layers(layers: Module) -> None:
    """Every layer draws its sketch from the same seed."""
    correct = layers.layer_sketches

    def layer_sketches(kind: Any, rows: int, widths: Any, **options: Any) -> Any:
        return {layer: correct(kind, rows, {1: sizes}, **options)[1] for layer, sizes in widths.items()}

    layers.layer_sketches = layer_sketches


@plant("impl.sketch.tensor_srht", killed_by=MEAN)
def sketch_without_its_scale(tensor_srht: Module) -> None:
    """The factor 1/√s is missing."""
    correct = tensor_srht.TensorSRHT.apply
    tensor_srht.TensorSRHT.apply = lambda self, *arguments: correct(self, *arguments) * math.sqrt(self.rows)


@plant("impl.sketch.tensor_srht", killed_by=SPREAD)
def one_position_for_all_rows(tensor_srht: Module) -> None:
    """One position is drawn and broadcast, so that all rows of the sketch are the same row."""

    def change(self: Any, rows: int, left_width: int, right_width: int) -> None:
        self.left_positions = self.left_positions[:1].expand(rows)
        self.right_positions = self.right_positions[:1].expand(rows)

    drawn(tensor_srht.TensorSRHT, change)


@plant("impl.sketch.tensor_sketch", killed_by=MEAN + SPREAD)
def two_buckets(tensor_sketch: Module) -> None:
    """Buckets are drawn like signs, two of them: the sketch has fewer rows than it seems."""

    def change(self: Any, *sizes: int) -> None:
        self.left_buckets, self.right_buckets = self.left_buckets % 2, self.right_buckets % 2

    drawn(tensor_sketch.TensorSketch, change)


@plant("impl.sketch.draws", killed_by="another_seed_gives_another_sketch " + MEAN)
def seed_ignored(draws: Module) -> None:
    """Every sketch is drawn from seed 0."""
    draws.seeded_generator = lambda seed: torch.Generator().manual_seed(0)


@plant("impl.sketch.draws", killed_by="the_seed_determines_the_sketch")
def seed_from_the_system(draws: Module) -> None:
    """The seed is checked, and then numbers are drawn from the global generator."""

    def seeded_generator(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(int(torch.randint(2**31, ())))

    draws.seeded_generator = seeded_generator


@plant("impl.sketch.tensor_sketch", killed_by=MEAN)
def sketch_of_the_first_output(tensor_sketch: Module) -> None:
    """Columns of every output are those of the first."""
    correct = tensor_sketch.TensorSketch.apply

    def apply(self: Any, left: Any, left_values: torch.Tensor, *more: Any) -> torch.Tensor:
        return correct(self, left, left_values[:1].expand_as(left_values), *more)

    tensor_sketch.TensorSketch.apply = apply
