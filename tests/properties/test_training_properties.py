"""Each property of training, state, work and errors fails on a small defect of the kind that it names."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import impl
import reference
from properties.claims.sequences import NAMED_SEQUENCES, Sequence
from properties.suite import REGISTRY, Subject, run_property
from reference.contract import LayerWork, PhaseWork, SolveError, configured

PROPERTIES = {item.name: item for item in REGISTRY}


class Sound(reference.Reference):
    """The oracle, whose steps pass through one method that may be spoilt."""

    def step(self, X, y, **options):
        return self.take(X, y, **options)

    def take(self, X, y, **options):
        return super().step(X, y, **options)

    def scale(self, factor):
        self._network = replace(self._network, weights=[factor * weight for weight in self._network.weights])


class LearningRateTwice(Sound):
    def step(self, X, y, *, learning_rate=1.0, **options):
        return self.take(X, y, learning_rate=learning_rate * (1.0 + 0.1 * learning_rate), **options)


class LargeTargetsCutOff(Sound):
    def step(self, X, y, **options):
        return self.take(X, np.clip(y, -3.0, 3.0), **options)


class DampingTimesSamples(Sound):
    def step(self, X, y, *, damping=1e-6, **options):
        return self.take(X, y, damping=2.0 * damping, **options)


class HalfWhereOneLayerIsTrained(Sound):
    def step(self, X, y, *, learning_rate=1.0, **options):
        share = 0.5 if len(self._trained) == 1 else 1.0
        return self.take(X, y, learning_rate=share * learning_rate, **options)


class SortedTargets(Sound):
    def step(self, X, y, **options):
        return self.take(X, np.sort(y, axis=0), **options)


class MeanOverTheBatch(Sound):
    def step(self, X, y, *, learning_rate=1.0, **options):
        return self.take(X, y, learning_rate=learning_rate / len(X), **options)


class SecondStepDoubled(Sound):
    steps = 0

    def step(self, X, y, *, learning_rate=1.0, **options):
        self.steps += 1
        return self.take(X, y, learning_rate=learning_rate * (2.0 if self.steps == 2 else 1.0), **options)


class StaleOutputs(Sound):
    kept = None

    def forward(self, X):
        self.kept = self.kept or (X.tobytes(), super().forward(X))
        return self.kept[1].copy() if self.kept[0] == X.tobytes() else super().forward(X)


class MovedByWhatItRefuses(Sound):
    def step(self, X, y, **options):
        try:
            return self.take(X, y, **options)
        except ValueError:
            self.scale(1.5)
            raise


class MovesAnother(Sound):
    latest = None

    def step(self, X, y, **options):
        report = self.take(X, y, **options)
        if MovesAnother.latest is not None:
            MovesAnother.latest.scale(1.0 if MovesAnother.latest is self else 1.5)
        MovesAnother.latest = self
        return report


class KeepsSamples(Sound):
    X = None

    def step(self, X, y, **options):
        if self.X is not None and self.X[0, 0] == 1.0:
            self.scale(1.5)
        self.X = X
        return self.take(X, y, **options)


class Noise(Sound):
    generator = np.random.default_rng(0)

    def step(self, X, y, *, learning_rate=1.0, **options):
        noise = 1e-12 * self.generator.standard_normal()
        return self.take(X, y, learning_rate=learning_rate * (1.0 + noise), **options)


class CountsEvaluations(Sound):
    evaluations = 0

    def forward(self, X):
        self.evaluations += 1
        return super().forward(X)

    def step(self, X, y, *, learning_rate=1.0, **options):
        return self.take(X, y, learning_rate=learning_rate * (1.0 + 1e-12 * self.evaluations), **options)


class WeightDecay(Sound):
    def step(self, X, y, **options):
        report = self.take(X, y, **options)
        self.scale(1.0 - 1e-12)
        return report


class KeepsTheNetwork(Sound):
    def __init__(self, network, trained):
        super().__init__(network, trained)
        self._network = network


class WritesTargets(Sound):
    def step(self, X, y, **options):
        report = self.take(X, y, **options)
        y -= 1
        return report


class HandsOutItsWeights(Sound):
    def to_network(self):
        return self._network


class HandsOutOneBuffer(Sound):
    def forward(self, X):
        outputs = super().forward(X)
        if not hasattr(self, "buffer") or self.buffer.shape != outputs.shape:
            self.buffer = np.empty_like(outputs)
        self.buffer[...] = outputs
        return self.buffer


class NoNegativeStrides(Sound):
    def forward(self, X):
        return super().forward(np.abs(X) if min(X.strides) < 0 else X)


class FirstLayerWrittenBeforeTheError(Sound):
    def step(self, X, y, **options):
        try:
            return self.take(X, y, **options)
        except SolveError:
            first, *others = self._network.weights
            self._network = replace(self._network, weights=[first + 1.0, *others])
            raise


class OverflowWritten(Sound):
    def step(self, X, y, **options):
        try:
            return self.take(X, y, **options)
        except SolveError:
            for weight in self._network.weights:
                weight[...] = np.inf


class NaNSwallowed(Sound):
    def gram(self, X):
        return super().gram(X if X is None else np.nan_to_num(X))


class NaNSwallowedBySteps(Sound):
    def step(self, X, y, **options):
        return self.take(np.nan_to_num(X) if getattr(X, "dtype", None) == np.float64 else X, y, **options)


DEFECTS = [
    ("doubling_the_learning_rate_doubles_the_update", LearningRateTwice),
    ("the_update_for_the_mean_target_is_the_mean_of_the_updates", LargeTargetsCutOff),
    ("heavily_damped_gauss_newton_is_gradient_descent", DampingTimesSamples),
    ("layers_are_updated_independently", HalfWhereOneLayerIsTrained),
    ("the_order_of_the_samples_does_not_matter", SortedTargets),
    ("the_update_of_a_batch_is_the_sum_over_its_parts", MeanOverTheBatch),
    ("every_step_of_a_run_over_changing_batches_matches_the_oracle", SecondStepDoubled),
    ("evaluations_after_a_step_use_the_new_weights", StaleOutputs),
    ("any_sequence_of_operations_matches_the_oracle", StaleOutputs),
    ("any_sequence_of_operations_matches_the_oracle", SecondStepDoubled),
    ("any_sequence_of_operations_matches_the_oracle", MovedByWhatItRefuses),
    ("any_sequence_of_operations_matches_the_oracle", MovesAnother),
    ("any_sequence_of_operations_matches_the_oracle", KeepsSamples),
    ("a_run_repeats_to_the_last_bit", Noise),
    ("evaluating_before_a_step_does_not_change_it", CountsEvaluations),
    ("learning_rate_zero_changes_nothing", WeightDecay),
    ("a_dead_batch_moves_nothing", WeightDecay),
    ("arrays_of_the_caller_are_neither_written_nor_kept", KeepsTheNetwork),
    ("arrays_of_the_caller_are_neither_written_nor_kept", WritesTargets),
    ("overwriting_returned_arrays_changes_nothing", HandsOutItsWeights),
    ("returned_outputs_survive_the_next_evaluation", HandsOutOneBuffer),
    ("every_memory_layout_of_the_input_is_read_alike", NoNegativeStrides),
    ("a_step_that_overflows_changes_nothing", FirstLayerWrittenBeforeTheError),
    ("a_step_that_overflows_changes_nothing", OverflowWritten),
    ("bad_input_to_an_evaluation_is_refused", NaNSwallowed),
    ("bad_input_is_refused_and_changes_nothing", NaNSwallowedBySteps),
    ("bad_input_is_refused_and_changes_nothing", MovedByWhatItRefuses),
]


def found(name, defect, device="cpu"):
    def factory(network, *, device="cpu", dtype="float64", trained_layers=None):
        reference.factory(network, dtype=dtype, trained_layers=trained_layers)  # refuses bad arguments
        if device not in ("cpu", "other"):
            raise ValueError(f"device: expected cpu or other, got {device}")
        made = defect(network, tuple(trained_layers or range(1, network.depth + 1)))
        made.device = device
        return made

    factory.capabilities = configured(reference.factory).capabilities
    return run_property(PROPERTIES[name], Subject("defect", factory, device), examples=60, random_seed=0)


@pytest.mark.parametrize(("name", "defect"), DEFECTS, ids=lambda value: getattr(value, "__name__", value))
def test_a_defect_is_found_by_the_property_that_names_it(name, defect):
    outcome = found(name, defect)
    assert outcome.state == "failed", outcome


@pytest.mark.parametrize("name", sorted({name for name, _ in DEFECTS}))
def test_the_same_without_the_defect_is_sound(name):
    outcome = found(name, Sound)
    assert outcome.state == "passed", outcome.failure


def test_a_factory_that_takes_anything_is_found():
    def factory(network, *, device="cpu", dtype="float64", trained_layers=None):
        return reference.factory(network if isinstance(network, reference.Network) else object())

    outcome = run_property(PROPERTIES["bad_arguments_of_the_factory_are_refused"], Subject("", factory), 5, 0)
    assert "expected a ValueError naming dtype" in outcome.failure


class OtherDevice(Sound):
    device = "cpu"

    def forward(self, X):
        return super().forward(X) * (1.0 if self.device == "cpu" else 1.001)


def test_a_device_that_computes_something_else_is_found():
    name = "results_on_the_device_are_those_on_the_cpu"
    assert found(name, OtherDevice, "other").state == "failed"
    assert found(name, Sound, "other").state == "passed"
    assert "the CPU itself" in found(name, Sound).skipped


def nothing(work, implementation, n):
    for phase in work.values():
        phase.layers.clear()


def without_the_last_layer(work, implementation, n):
    for phase in work.values():
        phase.layers.pop(max(phase.layers), None)


def one_sample(work, implementation, n):
    change(work, lambda counted: LayerWork(counted.multiply_adds // n, counted.bytes))


def dense_and_more(work, implementation, n):
    layers = work["update"].layers
    for layer, weights in enumerate(implementation.weights, start=1):
        layers[layer] = LayerWork(3 * n * weights.table.numel() + layers[layer].multiply_adds, layers[layer].bytes)


def another_phase(work, implementation, n):
    work["anchor"] = PhaseWork()


def elements_for_bytes(work, implementation, n):
    change(work, lambda counted: LayerWork(counted.multiply_adds, counted.bytes // 8))


def quadratic_in_the_samples(work, implementation, n):
    change(work, lambda counted: LayerWork(n * counted.multiply_adds, counted.bytes))


TICKS = iter(range(10**6))


def clock(work, implementation, n):
    change(work, lambda counted: LayerWork(counted.multiply_adds + next(TICKS), counted.bytes))


def dense(work, implementation, n):
    for layer, weights in enumerate(implementation.weights, start=1):
        work["forward"].layers[layer] = LayerWork(n * weights.table.numel(), 8)


def change(work, to):
    for phase in work.values():
        phase.layers = {layer: to(counted) for layer, counted in phase.layers.items()}


def all_weights_looked_at(implementation):
    return [torch.isfinite(weights.table).all() for weights in implementation.weights]


def all_weights_copied(implementation):
    return [weights.table.clone() for weights in implementation.weights]


def all_weights_copied_by_numpy(implementation):
    return [weights.table.numpy().copy() for weights in implementation.weights]


BETWEEN = "counted_multiply_adds_are_what_masks_demand_up_to_a_dense_pass"
LIES = [
    (BETWEEN, nothing),
    (BETWEEN, without_the_last_layer),
    (BETWEEN, one_sample),
    (BETWEEN, dense_and_more),
    (BETWEEN, another_phase),
    ("counted_bytes_are_at_least_those_of_the_weights_in_use", elements_for_bytes),
    ("counted_work_adds_up_over_samples", quadratic_in_the_samples),
    ("identical_steps_count_the_same_work", clock),
    ("counted_work_of_a_subquadratic_step_is_far_from_dense", dense),
]
PASSES = [
    ("a_step_passes_over_no_whole_weight_matrix", all_weights_looked_at),
    ("a_step_allocates_nothing_of_the_size_of_a_weight_matrix", all_weights_copied),
    ("a_step_allocates_nothing_of_the_size_of_a_weight_matrix", all_weights_copied_by_numpy),
]


def spoilt(after):
    """Ours, with something done after every step."""

    def factory(network, **options):
        made = impl.factory(network, **options)
        step = made.step

        def spoilt_step(X, y, **arguments):
            report = step(X, y, **arguments)
            after(report.work, made, len(X))
            return report

        made.step = spoilt_step
        return made

    factory.capabilities = configured(impl.factory).capabilities
    return factory


@pytest.mark.parametrize(("name", "lie"), LIES, ids=lambda value: getattr(value, "__name__", value))
def test_a_counter_that_lies_is_found(name, lie):
    outcome = run_property(PROPERTIES[name], Subject("lie", spoilt(lie)), examples=60, random_seed=0)
    assert outcome.state == "failed", outcome


@pytest.mark.parametrize(("name", "hidden"), PASSES, ids=lambda value: getattr(value, "__name__", value))
def test_a_hidden_dense_pass_is_found(name, hidden):
    factory = spoilt(lambda work, implementation, n: hidden(implementation))
    outcome = run_property(PROPERTIES[name], Subject("pass", factory), examples=60, random_seed=0)
    assert outcome.state == "failed", outcome


def test_a_failing_sequence_shrinks_and_is_code_that_fails_again():
    item = PROPERTIES["any_sequence_of_operations_matches_the_oracle"]
    subject = Subject("", lambda network, **_: SecondStepDoubled(network, tuple(range(1, network.depth + 1))))
    outcome = run_property(replace(item, examples={}), subject, 200, 0)
    case = eval(outcome.case, {"Sequence": Sequence})
    assert len(case.operations) == 2 and {operation[0] for operation in case.operations} == {"step"}


def test_the_named_sequences_use_every_operation():
    used = {operation[0] for case in NAMED_SEQUENCES.values() for operation in case.operations}
    assert used == {"evaluate", "step", "refuse", "overwrite", "swap", "rebuild"}
