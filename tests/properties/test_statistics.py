"""Statistical properties: their error rates add up and are what they say, and planted defects are found.

Everything here has fixed seeds, so that it is the same on every run. Where a rate is measured, the number of alarms in
RUNS simulated runs is held against its exact binomial law; RARE is the rate at which such a comparison would fail with
fresh seeds.
"""

import functools

import numpy as np
import pytest
import scipy.stats
import torch

import impl
import impl.implementation
import impl.initialization
import reference
from properties import REGISTRY, Subject, run_property
from properties.runner.compare import Mismatch
from properties.statistics import BUDGET, Improbable, Sample, error_budget, pvalues
from properties.statistics.__main__ import main as print_table
from properties.statistics.sketches import ROWS, THREE_LAYERS
from reference.contract import Capabilities, Network

RUNS, LEVEL, RARE = 2000, 0.05, 1e-6

random = np.random.default_rng


def outcome(name, factory, seed=0):
    (item,) = (item for item in REGISTRY if item.name == name)
    return run_property(item, Subject("planted", factory), random_seed=seed)


def found(name, factory, seed=0):
    """Whether the check fails on a named case, by a message of the suite's own."""
    (item,) = (item for item in REGISTRY if item.name == name)
    try:
        for case in item.examples.values():
            item.check(Subject("planted", factory), item.seeded(case, seed))
    except (Improbable, Mismatch):
        return True
    return False


# The budget.


def test_the_false_alarms_of_a_run_are_within_the_budget(capsys):
    designs = error_budget()
    assert sum(design.alpha for design in designs.values()) <= BUDGET == 1e-5
    assert all(0 <= design.beta <= 1e-5 for design in designs.values())
    print_table()
    printed = capsys.readouterr().out
    assert all(name in printed for name in designs)
    assert printed.splitlines()[-1].endswith("a run of the suite, at most; the budget is 1e-05")


def test_every_statistical_property_is_declared_and_tried_only_once():
    once = {item.name for item in REGISTRY if item.seeded}
    assert once == set(error_budget())
    for name in once:
        first, again, other = (outcome(name, reference.factory, seed) for seed in (3, 3, 4))
        assert first.examples == again.examples == other.examples <= 2


def test_a_failing_statistical_property_is_neither_searched_nor_shrunk_and_repeats_from_its_case():
    calls = []

    def draw(*arguments, seed, **options):
        calls.append(seed)
        network = reference.random_network(*arguments, seed=seed, **options)
        return Network([2 * weight for weight in network.weights], None, network.readout, network.activation)

    name = "initial_weights_have_variance_two_over_the_width"
    failed = outcome(name, drawing(draw), seed=5)
    assert failed.state == "failed"
    assert failed.examples == 1
    assert len(set(calls)) == 1  # what is told of the failure tries the same draws again
    assert "times 2/m over 32768 weights; a correct implementation shows this with probability" in failed.failure
    case = eval(failed.case, {"Sample": Sample})
    assert case.draw_seed == 5


# The tests: their alarms under the null hypothesis, and their misses.


def in_range(alarms, rate=LEVEL):
    """Whether the count of alarms in RUNS runs is binomial with this rate."""
    return min(scipy.stats.binom.cdf(alarms, RUNS, rate), scipy.stats.binom.sf(alarms - 1, RUNS, rate)) > RARE / 2


def not_more(alarms, rate=LEVEL):
    """Whether it is with this rate or a smaller one."""
    return scipy.stats.binom.sf(alarms - 1, RUNS, rate) > RARE


def test_exact_tests_alarm_at_their_level():
    draws = random(1).standard_normal((RUNS, 50))
    assert in_range((pvalues.normal_p(draws.sum(axis=1) / np.sqrt(50)) <= LEVEL).sum())
    assert in_range((pvalues.chi_square_p(np.square(draws).sum(axis=1), 50) <= LEVEL).sum())


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.5])
def test_the_binomial_test_is_the_exact_one_and_never_alarms_more_often(rate):
    counts = np.arange(101)
    tails = scipy.stats.binom.cdf(counts, 100, rate), scipy.stats.binom.sf(counts - 1, 100, rate)
    np.testing.assert_allclose(pvalues.binomial_p(counts, 100, rate), np.minimum(1, 2 * np.minimum(*tails)), rtol=1e-9)
    alarms = scipy.stats.binom.pmf(counts, 100, rate)[pvalues.binomial_p(counts, 100, rate) <= LEVEL].sum()
    assert LEVEL / 5 < alarms <= LEVEL
    k = pvalues.critical_count(100, rate, LEVEL)
    assert scipy.stats.binom.sf(k - 1, 100, rate) <= LEVEL < scipy.stats.binom.sf(k - 2, 100, rate)
    np.testing.assert_allclose(pvalues.binomial_miss(100, rate, LEVEL, 0.6), scipy.stats.binom.cdf(k - 1, 100, 0.6))


@pytest.mark.parametrize("count", [5, 40, 1000])
def test_the_test_of_a_distribution_bounds_the_exact_law(count):
    values = random(count).standard_normal((RUNS, count))
    assert not_more(sum(pvalues.distribution_p(row) <= LEVEL for row in values))
    exact = scipy.stats.kstest(values[0], "norm")
    np.testing.assert_allclose(pvalues.distribution_p(values[0]), min(1, 2 * np.exp(-2 * count * exact.statistic**2)))
    assert pvalues.distribution_p(values[0]) >= exact.pvalue * (1 - 1e-9)


#: Laws of mean 0 and variance 1, some with long tails. The last one makes Cantelli's inequality nearly an equality.
LAWS = {
    "normal": lambda generator, shape: generator.standard_normal(shape),
    "exponential": lambda generator, shape: generator.exponential(size=shape) - 1,
    "product of four normal numbers": lambda generator, shape: generator.standard_normal((4, *shape)).prod(axis=0),
    "two points": lambda generator, shape: np.where(generator.random(shape) < 0.2, 2.0, -0.5),
}
SMALL = pvalues.MedianOfMeans(groups=5, size=1)


@pytest.mark.parametrize("law", LAWS)
def test_the_median_of_means_alarms_no_more_often_than_it_says(law):
    median = SMALL.median(LAWS[law](random(2), (SMALL.draws, RUNS)))
    assert not_more((SMALL.p(np.abs(median)) <= LEVEL).sum())


def test_the_median_of_means_alarms_nearly_as_often_as_it_says_where_the_variance_is_all_that_is_known():
    """Groups exceed t with probability 0.2, the bound at t = 2: three of five with 0.058, and p says twice that."""
    median = SMALL.median(LAWS["two points"](random(2), (SMALL.draws, RUNS)))
    assert SMALL.p(2.0) == pytest.approx(2 * scipy.stats.binom.sf(2, 5, 0.2))
    assert in_range((median == 2.0).sum(), scipy.stats.binom.sf(2, 5, 0.2))


@pytest.mark.parametrize("law", LAWS)
def test_the_median_of_means_misses_no_more_often_than_it_says(law):
    test, level = pvalues.MedianOfMeans(groups=11, size=4), 1e-3
    distance = test.distance(level)
    assert test.p(distance) == pytest.approx(level)
    for effect in (distance + 0.5, distance + 0.8):
        median = test.median(effect + LAWS[law](random(3), (test.draws, RUNS)))
        assert not_more((test.p(np.abs(median)) > level).sum(), test.miss(effect, level))
    assert test.miss(distance, level) == 1.0
    assert test.miss(distance + 0.8, level) < 0.1


# Planted defects.


class Changed:
    """An implementation whose sketches are changed."""

    def __init__(self, implementation, sketched):
        self.implementation, self.sketched = implementation, sketched

    def __getattr__(self, name):
        return getattr(self.implementation, name)

    def sketched_jacobian(self, X, *, sketch, rows, seed):
        draw = functools.partial(self.implementation.sketched_jacobian, X, sketch=sketch, rows=rows)
        return self.sketched(draw, seed)


def sketching(sketched):
    def factory(network, **options):
        return Changed(impl.factory(network, **options), sketched)

    factory.capabilities = Capabilities(sketches=("tensor_sketch",))
    return factory


def drawing(draw):
    def factory(network, **options):
        return reference.factory(network, **options)

    factory.capabilities = Capabilities(initialization=True)
    factory.random_network = draw
    return factory


def without_its_seed(draw, seed):
    return draw(seed=int(random().integers(2**31)))


#: Of the sketches: what is wrong, which properties must say so.
SKETCH_DEFECTS = {
    "1/√s left out": (lambda draw, seed: ROWS**0.5 * draw(seed=seed), {"sketches_are_unbiased"}),
    "1/√s taken twice": (lambda draw, seed: draw(seed=seed) / ROWS**0.5, {"sketches_are_unbiased"}),
    "√2": (lambda draw, seed: 2**0.5 * draw(seed=seed), {"sketches_are_unbiased"}),
    "biased by a fifth, every entry": (
        lambda draw, seed: 1.2 * draw(seed=seed),
        {"sketches_are_unbiased", "sketches_of_layers_are_independent"},
    ),
    "columns in another order": (
        lambda draw, seed: np.ascontiguousarray(draw(seed=seed)[:, ::-1]),
        {"sketches_are_unbiased"},
    ),
    "one row, repeated": (
        lambda draw, seed: np.tile(draw(seed=seed)[:1], (ROWS, 1)),
        {"sketch_variance_is_that_of_its_rows", "sketches_precondition_the_gram_matrix"},
    ),
    "four rows, repeated": (
        lambda draw, seed: np.tile(draw(seed=seed)[:4], (ROWS // 4, 1)),
        {"sketches_precondition_the_gram_matrix"},
    ),
    "seed ignored": (lambda draw, seed: draw(seed=7), {"another_seed_gives_another_sketch"}),
    "seed cut to four bits": (lambda draw, seed: draw(seed=seed & 15), {"another_seed_gives_another_sketch"}),
    "no seed at all": (without_its_seed, {"the_seed_determines_the_sketch"}),
    "not finite": (lambda draw, seed: np.nan * draw(seed=seed), {"sketches_are_unbiased"}),
    "transposed": (lambda draw, seed: draw(seed=seed).T, {"sketches_are_unbiased"}),
}


@pytest.mark.parametrize("defect", SKETCH_DEFECTS)
def test_a_planted_defect_of_sketches_is_found(defect):
    sketched, names = SKETCH_DEFECTS[defect]
    for name in names:
        assert found(name, sketching(sketched)), name


@pytest.mark.parametrize("shared", [(1, 2), (2, 3), (1, 3), (1, 2, 3)])
def test_layers_that_share_a_sketch_are_found(shared, monkeypatch):
    def layer_sketches(kind, rows, layer_widths, *, seed, device):
        return {
            layer: kind(rows, *widths, seed=seed + (0 if layer in shared else layer), device=device)
            for layer, widths in layer_widths.items()
        }

    monkeypatch.setattr(impl.implementation, "layer_sketches", layer_sketches)
    assert found("sketches_of_layers_are_independent", sketching(lambda draw, seed: draw(seed=seed)))


def test_what_layers_have_in_common_in_that_case_is_as_large_as_declared():
    left, right = zip(*reference.factory(THREE_LAYERS.network).jacobian_factors(THREE_LAYERS.X), strict=True)
    G = np.diag(reference.factory(THREE_LAYERS.network).gram(THREE_LAYERS.X))
    for a, b in ((0, 1), (0, 2), (1, 2)):
        common = 2 * (left[a][:, 0] * left[b][:, 0]).sum(axis=1) * (right[a] * right[b]).sum(axis=1)
        assert (common / G).max() > 0.4


def test_a_sketch_without_signs_is_found(monkeypatch):
    monkeypatch.setattr("impl.sketch.tensor_sketch.random_signs", lambda length, generator: torch.ones(length).double())
    assert found("sketches_are_unbiased", sketching(lambda draw, seed: draw(seed=seed)))


def test_a_gaussian_sketch_passes():
    """What is claimed of a sketch is not tied to the two that are ours."""

    class Gaussian:
        def __init__(self, network, **options):
            self.implementation = reference.factory(network, **options)

        def __getattr__(self, name):
            return getattr(self.implementation, name)

        def sketched_jacobian(self, X, *, sketch, rows, seed):
            generator = random(seed)
            factors = self.implementation.jacobian_factors(X)
            J = [np.einsum("ioa,if->ioaf", g, h).reshape(g.shape[0] * g.shape[1], -1) for g, h in factors]
            return sum(generator.standard_normal((rows, part.shape[1])) @ part.T for part in J) / rows**0.5

    def factory(network, **options):
        return Gaussian(network, **options)

    factory.capabilities = Capabilities(sketches=("gaussian",))
    for name in error_budget():
        if "sketch" in name:
            passed = outcome(name, factory)
            assert passed.state == "passed", passed.failure


def network_with(draw):
    """An initialization that changes the reference's weights and readout."""

    def random_network(*arguments, seed, **options):
        network = reference.random_network(*arguments, seed=seed, **options)
        weights, readout = draw([weight.copy() for weight in network.weights], network.readout.copy(), random(seed))
        return Network(weights, None, readout, network.activation)

    return drawing(random_network)


def by_fan_in(weights, readout, generator):
    return [weight * np.sqrt(len(weight) / weight.shape[1]) for weight in weights], readout


def uniform(weights, readout, generator):
    return [generator.uniform(-1, 1, weight.shape) * np.sqrt(3 * 2 / len(weight)) for weight in weights], readout


def with_equal_rows(weights, readout, generator):
    for weight in weights:
        weight[1::2] = weight[: 2 * (len(weight) // 2) : 2]
    return weights, readout


def symmetric(weights, readout, generator):
    weights[-1] = np.tril(weights[-1]) + np.tril(weights[-1], -1).T if len(weights) == 3 else weights[-1]
    return weights, readout


def alike(weights, readout, generator):
    return [*weights[:-1], weights[-2].copy()] if len(weights) == 3 else weights, readout


def with_the_signs_of_the_readout(weights, readout, generator):
    return [*weights[:-1], np.abs(weights[-1]) * readout.T], readout


INITIAL_DEFECTS = {
    "2/m_{ℓ−1}": (by_fan_in, {"initial_weights_have_variance_two_over_the_width"}),
    "1/m_ℓ": (
        lambda weights, readout, generator: ([weight / 2**0.5 for weight in weights], readout),
        {
            "initial_weights_have_variance_two_over_the_width",
            "initial_layers_keep_the_norm_of_their_input",
            "initial_share_of_active_units_is_that_of_the_threshold",
        },
    ),
    "a mean": (
        lambda weights, readout, generator: ([weight + 0.1 * np.sqrt(2 / len(weight)) for weight in weights], readout),
        {"initial_weights_have_mean_zero"},
    ),
    "uniform": (uniform, {"initial_weights_are_gaussian"}),
    "equal rows": (with_equal_rows, {"initial_weights_are_independent"}),
    "symmetric": (symmetric, {"initial_weights_are_independent"}),
    "layers alike": (alike, {"initial_weights_are_independent"}),
    "weights with the signs of the readout": (with_the_signs_of_the_readout, {"initial_weights_are_independent"}),
    "a Gaussian readout": (
        lambda weights, readout, generator: (weights, generator.standard_normal(readout.shape)),
        {"initial_readout_is_a_fair_sign"},
    ),
    "a readout of +1": (
        lambda weights, readout, generator: (weights, np.ones_like(readout)),
        {"initial_readout_is_a_fair_sign"},
    ),
    "a readout of 3 to 2": (
        lambda weights, readout, generator: (weights, np.where(generator.random(readout.shape) < 0.6, 1.0, -1.0)),
        {"initial_readout_is_a_fair_sign"},
    ),
    "alternating signs": (
        lambda weights, readout, generator: (weights, np.resize([1.0, -1.0], readout.shape)),
        {"initial_readout_is_a_fair_sign"},
    ),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("defect", INITIAL_DEFECTS)
def test_a_planted_defect_of_the_initialization_is_found(defect, seed):
    draw, names = INITIAL_DEFECTS[defect]
    for name in names:
        assert found(name, network_with(draw), seed), name


def layers_by_consecutive_seeds(input_dimension, widths, *, seed, **options):
    """Layer ℓ drawn with seed + ℓ: W_2 of one seed is W_3 of the one before."""
    parts = [
        reference.random_network(fan_in, [width], seed=seed + layer, **options)
        for layer, (fan_in, width) in enumerate(zip([input_dimension, *widths], widths, strict=False))
    ]
    return Network([part.weights[0] for part in parts], None, parts[-1].readout, options["activation"])


SEED_DEFECTS = {
    "ignored": (
        lambda *arguments, seed, **options: reference.random_network(*arguments, seed=7, **options),
        "another_seed_gives_an_independent_network",
    ),
    "cut to 30 bits": (
        lambda *arguments, seed, **options: reference.random_network(*arguments, seed=seed % 2**30, **options),
        "another_seed_gives_an_independent_network",
    ),
    "consecutive": (layers_by_consecutive_seeds, "another_seed_gives_an_independent_network"),
    "unused": (
        lambda *arguments, seed, **options: reference.random_network(
            *arguments, seed=int(random().integers(2**31)), **options
        ),
        "the_seed_determines_the_initial_network",
    ),
}


@pytest.mark.parametrize("defect", SEED_DEFECTS)
def test_a_planted_misuse_of_the_seed_is_found(defect):
    draw, name = SEED_DEFECTS[defect]
    assert found(name, drawing(draw))


def test_a_layer_without_its_scale_is_found():
    class Unscaled:
        def __init__(self, network, **options):
            self.implementation = reference.factory(network, **options)

        def jacobian_factors(self, X):
            scale = reference.activation.scale(self.implementation.to_network().activation, 65536)
            return [(left, right / scale) for left, right in self.implementation.jacobian_factors(X)]

    factory = drawing(reference.random_network)
    unscaled = functools.partial(Unscaled)
    unscaled.capabilities, unscaled.random_network = factory.capabilities, factory.random_network
    assert found("initial_layers_keep_the_norm_of_their_input", unscaled)


@pytest.mark.parametrize("factory", [impl.factory, reference.factory], ids=["impl", "reference"])
def test_correct_implementations_pass(factory):
    for name in error_budget():
        result = outcome(name, factory, seed=1)
        assert result.state == ("skipped" if "sketch" in name and factory is reference.factory else "passed"), result
