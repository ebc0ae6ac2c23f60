"""Each property of an evaluation fails on a small defect of the kind that it names."""

from dataclasses import replace

import numpy as np
import pytest

import reference
from properties.suite import REGISTRY, Subject, run_property
from reference import activation as phi
from reference.contract import configured
from reference.jacobian import left_factors

PROPERTIES = {item.name: item for item in REGISTRY}


class Sound(reference.Reference):
    """The oracle, with access to its factors as lists that may be spoilt."""

    def factors(self, X):
        return [[left.copy(), right.copy()] for left, right in super().jacobian_factors(X)]


class LastUnitLost(Sound):
    def jacobian_factors(self, X):
        factors = self.factors(X)
        factors[0][0][:, :, -1] = 0.0
        return factors


class LastInputLost(Sound):
    def jacobian_factors(self, X):
        factors = self.factors(X)
        factors[0][1][:, -1] = 0.0
        return factors


class LastOutputOff(Sound):
    def gram(self, X):
        G = super().gram(X)
        G[:, -1] *= 1.001
        return G


class FirstSampleOff(Sound):
    def forward(self, X):
        outputs = super().forward(X)
        outputs[0] += 1e-3
        return outputs


class DependsOnTheBatchSize(Sound):
    def forward(self, X):
        return super().forward(X) + 1e-3 * len(X)


class DependsOnTheWidth(Sound):
    def forward(self, X):
        return super().forward(X) + 1e-3 * self._network.widths[-1]


class Leaky(Sound):
    """Inactive units let a little through: far below any bound of float32, and not zero."""

    def forward(self, X):
        leak = ~super().active_sets(X)[-1] @ self._network.readout.T
        return super().forward(X) + 1e-14 * leak


class OffsetOfOutputs(Sound):
    """An offset of half a roundoff, as of a guard against division by zero."""

    def forward(self, X):
        return super().forward(X) * (1.0 - 1e-15) + 1e-16


class TieIsActive(Sound):
    def active_sets(self, X):
        trace = self._trace(X)
        return [z >= phi.threshold(self._network.activation, z.shape[1]) for z in trace.preactivations]


class ThresholdOffByOne(Sound):
    def active_sets(self, X):
        trace = self._trace(X)
        return [
            z > np.nextafter(phi.threshold(self._network.activation, z.shape[1]), np.inf) for z in trace.preactivations
        ]


class UnmaskedFactors(Sound):
    def jacobian_factors(self, X):
        factors = self.factors(X)
        factors[-1][0] = factors[-1][0] + 1e-300 * self._network.readout
        return factors


class BiasForgotten(Sound):
    def forward(self, X):
        network = self._network
        self._network = replace(network, biases=None)
        try:
            return super().forward(X)
        finally:
            self._network = network


class GramWithoutTheLastLayer(Sound):
    def gram(self, X):
        G = super().gram(X)
        left, right = super().jacobian_factors(X)[-1]
        if self._trained[-1] != self._network.depth or len(self._trained) == 1:
            return G
        rows = left.reshape(len(G), -1)
        return G - (rows @ rows.T) * np.kron(right @ right.T, np.ones((left.shape[1],) * 2))


class GramOfTheWrongSign(Sound):
    def gram(self, X):
        G = super().gram(X)
        return 2.0 * np.diag(np.diag(G)) - 3.0 * G


class FactorsWithoutTheScale(Sound):
    def jacobian_factors(self, X):
        left = left_factors(self._network, self._trace(X))
        scale = phi.scale(self._network.activation, self._network.widths[1])
        factors = self.factors(X)
        factors[0][0] = left[0] / scale
        return factors


class GradientTwice(Sound):
    def gradient(self, X, y, loss="squared"):
        return [2.0 * part for part in super().gradient(X, y, loss)]


class LastDigits(Sound):
    def forward(self, X):
        return super().forward(X) * (1.0 + 1e-11)


DEFECTS = {
    "permuting_hidden_units_permutes_factors_and_nothing_else": LastUnitLost,
    "permuting_inputs_with_their_weights_changes_nothing": LastInputLost,
    "permuting_outputs_permutes_blocks_of_the_gram_matrix": LastOutputOff,
    "results_do_not_depend_on_the_order_of_samples": FirstSampleOff,
    "repeated_samples_have_repeated_results": DependsOnTheBatchSize,
    "results_of_a_part_are_those_of_the_batch": DependsOnTheBatchSize,
    "adding_dead_units_changes_nothing": DependsOnTheWidth,
    "weights_out_of_inactive_units_change_nothing": Leaky,
    "scaling_the_readout_scales_outputs_and_left_factors": OffsetOfOutputs,
    "the_network_is_positively_homogeneous_without_threshold": OffsetOfOutputs,
    "rescaling_a_unit_against_what_is_read_from_it_changes_nothing": Leaky,
    "a_unit_exactly_at_its_threshold_is_inactive": TieIsActive,
    "factors_live_on_active_units": UnmaskedFactors,
    "factors_reproduce_the_outputs": BiasForgotten,
    "gram_matrix_is_that_of_its_own_factors": GramWithoutTheLastLayer,
    "gram_matrix_is_positive_semidefinite": GramOfTheWrongSign,
    "outputs_move_along_the_jacobian": FactorsWithoutTheScale,
    "outputs_move_along_the_gradient": GradientTwice,
    "jacobian_matches_automatic_differentiation": FactorsWithoutTheScale,
    "evaluation_matches_extended_precision": LastDigits,
}


def found(name, defect):
    def factory(network, *, device="cpu", dtype="float64", trained_layers=None):
        trained = tuple(trained_layers or range(1, network.depth + 1))
        return defect(network, trained)

    factory.capabilities = configured(reference.factory).capabilities
    return run_property(PROPERTIES[name], Subject("defect", factory), examples=60, random_seed=0)


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found_by_the_property_that_names_it(name):
    outcome = found(name, DEFECTS[name])
    assert outcome.state == "failed", outcome


@pytest.mark.parametrize("name", DEFECTS)
def test_the_same_without_the_defect_is_sound(name):
    outcome = found(name, Sound)
    assert outcome.state == "passed", outcome.failure


def test_a_threshold_off_by_one_roundoff_is_found():
    assert found("a_unit_exactly_at_its_threshold_is_inactive", ThresholdOffByOne).state == "failed"
