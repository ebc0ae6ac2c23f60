"""The optimized implementation behind the contract; `SparseNetwork.step` is one iteration, top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from impl.activation import layer_activation
from impl.backward import left_factors
from impl.forward import GatherForward, Trace
from impl.gauss_newton import GRAM_BYTES, GaussNewtonSystem, StepCoefficients, gauss_newton_coefficients
from impl.gram import gram_matrix
from impl.history import History
from impl.jacobian import JacobianFactors
from impl.kernels import Kernels
from impl.loss import LOSSES_BY_NAME
from impl.passes import ForwardChoice
from impl.precision import full_precision
from impl.readout import Readout
from impl.shell import Shell
from impl.sketch import SKETCHES, layer_sketches, sketched_jacobian
from impl.solvers import CholeskySolver, Solver
from impl.weights import EagerWeights, LazyWeights, Weights, WeightsUpdate
from impl.work import WorkMeter, tensor_bytes
from reference.contract import METHODS, ArgumentError, Network, PhaseWork, StepReport, Summands, arguments, targets
from reference.contract.arguments import array, number, one_of, whole_number
from reference.contract.shapes import Bool, Float, Int, Real

if TYPE_CHECKING:
    from impl.captured import CapturedIteration, Recorder
    from impl.files import Origin


class SparseNetwork:
    """The contract (reference.contract.Implementation) in time subquadratic in the widths.

    Active units are index sets with values; nothing of size m_ℓ·m_{ℓ−1} is allocated or passed over
    after construction, but by `gradient`, `to_network` and `summands`, which return such arrays, and by
    those folds of lazy weights that say so. Built by impl.factory, impl.open_base or impl.load_delta.

    Attributes:
        shell: Biases, readout and activation.
        weights: W_1 … W_L.
        initialization: Counted work and time of the construction.
        origin: The base file that the weights refer to, or None.
    """

    def __init__(
        self,
        shell: Shell,
        weights: Sequence[Weights],
        device: torch.device,
        dtype: torch.dtype,
        kernels: Kernels,
        solver: Solver,
        trained_layers: Sequence[int],
        forward: ForwardChoice,
    ):
        self.shell, self.weights = shell, list(weights)
        self.initialization = PhaseWork()
        self.origin: Origin | None = None
        self._device, self._dtype = device, dtype
        self._dtype_name = str(dtype).removeprefix("torch.")
        self._kernels, self._solver, self._trained = kernels, solver, tuple(trained_layers)
        self._activations = [layer_activation(shell.activation, width, dtype) for width in shell.widths[1:]]
        self._biases = None if shell.biases is None else [self._tensor(bias) for bias in shell.biases]
        readout_bias = None if shell.readout_bias is None else self._tensor(shell.readout_bias)
        self._readout = Readout(self._tensor(shell.readout), readout_bias, kernels)
        self._choice = forward
        gather = GatherForward(self.weights, self._biases, self._activations, self._readout, kernels)
        self._forward_pass = forward.forward_pass(gather, self.weights, shell.activation.kind)
        self._history = History([weight for weight in self.weights if isinstance(weight, LazyWeights)])
        self._captured: CapturedIteration | None = None

    def capture(self, recorder: Callable[[], Recorder]) -> None:
        """Has steps of Gauss–Newton with the squared loss recorded, and replayed where they go as they usually go.

        They are the same to the last bit. For eager weights, Triton's kernels, Cholesky and the gather pass; networks
        with other choices stay as they are.

        Args:
            recorder: Makes a recorder (impl.captured).
        """
        from impl.captured import CapturedIteration  # needs Triton
        from impl.captured.stages import Layers

        eager = [weight for weight in self.weights if isinstance(weight, EagerWeights)]
        gather = self._forward_pass
        if len(eager) < len(self.weights) or not isinstance(gather, GatherForward) or gather.notes:
            return
        if not isinstance(self._solver, CholeskySolver) or self._kernels.name != "triton":
            return
        tables, biases = [weight.table for weight in eager], gather.biases
        layers = Layers(tables, biases, self._activations, self._readout, self._trained)
        self._captured = CapturedIteration(layers, eager, recorder)

    def forward(self, X: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """See the contract."""
        return self._trace(self._samples(X)).outputs.cpu().numpy()

    def active_sets(self, X: Real[np.ndarray, "n d"]) -> list[Bool[np.ndarray, "n _"]]:
        """See the contract."""
        trace = self._trace(self._samples(X))
        return [
            support.densify(torch.ones(support.entries, dtype=torch.bool, device=self._device)).cpu().numpy()
            for support in trace.supports[1:]
        ]

    def active_counts(self, X: Real[np.ndarray, "n d"]) -> list[Int[np.ndarray, " n"]]:
        """For every layer the number of active units of each sample, as in StepReport."""
        return [support.host_counts.numpy() for support in self._trace(self._samples(X)).supports[1:]]

    def jacobian_factors(
        self, X: Real[np.ndarray, "n d"]
    ) -> list[tuple[Float[np.ndarray, "n c _"], Float[np.ndarray, "n _"]]]:
        """See the contract."""
        trace = self._trace(self._samples(X))
        return [
            (
                trace.supports[layer].densify(left).cpu().numpy(),
                trace.supports[layer - 1].densify(trace.hidden[layer - 1]).cpu().numpy(),
            )
            for layer, left in enumerate(self._left(trace), start=1)
        ]

    @full_precision
    def gradient(
        self, X: Real[np.ndarray, "n d"], y: Real[np.ndarray, " ..."], loss: str = "squared"
    ) -> list[Float[np.ndarray, "_ _"]]:
        """See the contract."""
        one_of("loss", loss, LOSSES_BY_NAME)
        trace = self._trace(self._samples(X))
        labels = self._targets(y, trace.outputs.shape[0], loss)
        residual = LOSSES_BY_NAME[loss].gradient(trace.outputs, labels).to(self._dtype)
        return [
            torch.einsum(
                "ia,ib->ab",
                trace.supports[layer].densify(_combine(residual, left, trace, layer)),
                trace.supports[layer - 1].densify(trace.hidden[layer - 1]),
            )
            .cpu()
            .numpy()
            for layer, left in enumerate(self._left(trace), start=1)
        ]

    def gram(self, X: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "nc nc"]:
        """See the contract. In float64 whatever the dtype of the weights."""
        trace = self._trace(self._samples(X))
        factors = JacobianFactors(trace.supports, trace.hidden, self._left(trace), self._trained)
        return gram_matrix(factors, self._kernels, WorkMeter(self._device)).cpu().numpy()

    def sketched_jacobian(
        self, X: Real[np.ndarray, "n d"], *, sketch: str, rows: int, seed: int
    ) -> Float[np.ndarray, "rows nc"]:
        """S Jᵀ, summed over the trained layers, as the sketched solver draws and applies it. In float64.

        Args:
            X: Samples.
            sketch: "tensor_srht" or "tensor_sketch".
            rows: s, at most the size of the smallest trained layer.
            seed: Determines S.

        Raises:
            ArgumentError: for bad input.
        """
        whole_number("seed", seed, 0, 2**31 - 1)
        kind = SKETCHES[one_of("sketch", sketch, SKETCHES)]
        trace = self._trace(self._samples(X))
        factors = JacobianFactors(trace.supports, trace.hidden, self._left(trace), self._trained)
        rows = whole_number("rows", rows, 1, factors.smallest_layer)
        sketches = layer_sketches(kind, rows, factors.layer_widths, seed=seed, device=self._device)
        return sketched_jacobian(factors, sketches, WorkMeter(self._device)).cpu().numpy()

    @full_precision
    def step(
        self,
        X: Real[np.ndarray, "n d"],
        y: Real[np.ndarray, " ..."],
        *,
        method: str = "gauss_newton",
        loss: str = "squared",
        learning_rate: float = 1.0,
        damping: float = 1e-6,
    ) -> StepReport:
        """See the contract.

        Raises:
            ArgumentError: for bad input.
            SolveError: where a number overflows on the way, or where a solver misses its tolerance and is to say so.
        """
        one_of("method", method, METHODS)
        one_of("loss", loss, LOSSES_BY_NAME)
        learning_rate = number("learning_rate", learning_rate, 0.0)
        damping = number("damping", damping, 0.0)
        samples = self._samples(X)
        labels = self._targets(y, samples.shape[0], loss)
        usual = method == "gauss_newton" and loss == "squared" and 8 * labels.numel() ** 2 <= GRAM_BYTES
        if self._captured is not None and usual:
            report = self._captured.step(samples, labels, learning_rate=learning_rate, damping=damping)
            if report is not None:
                self._history.advance()
                return report
        work = WorkMeter(self._device)

        with work.phase("forward"):
            trace = self._trace(samples, work, left=True)
            risk = LOSSES_BY_NAME[loss].value(trace.outputs, labels)
        with work.phase("backward"):
            left = self._left(trace, work)
        if method == "gauss_newton":
            curvature = LOSSES_BY_NAME[loss].curvature(trace.outputs, labels)
            factors = JacobianFactors(trace.supports, trace.hidden, left, self._trained)
            with work.phase("gram"):
                system = GaussNewtonSystem(factors, curvature, damping, self._kernels, work)
            with work.phase("solve"):
                coefficients = gauss_newton_coefficients(system, curvature, self._solver, work)
        else:
            coefficients = StepCoefficients(LOSSES_BY_NAME[loss].gradient(trace.outputs, labels))
        moves = (learning_rate * coefficients.values).to(self._dtype)
        # Copies, as lazy weights keep the supports.
        active_counts = tuple(support.host_counts.numpy().copy() for support in trace.supports[1:])
        dead = np.flatnonzero(np.minimum.reduce(active_counts) == 0).tolist()

        notes = self._forward_pass.settle(trace)

        # Nothing may fail once weights are written: all that the report needs is at hand before.
        with work.phase("update"):
            updates = [
                self.weights[layer - 1].plan_update(
                    trace.supports[layer - 1],
                    trace.hidden[layer - 1],
                    trace.supports[layer],
                    _combine(moves, left[layer - 1], trace, layer, work),
                    work,
                )
                for layer in self._trained
            ]
            _apply_all_or_none(updates)
        self._history.advance()
        if self._captured is not None and usual:
            self._captured.observe(samples.shape[0], [support.entries for support in trace.supports])

        solution = coefficients.solution
        return StepReport(
            loss=risk,
            work=work.phases,
            anchors=sum(certificate.anchors > 0 for certificate in trace.certificates),
            folds=sum(update.folds for update in updates),
            recompressions=sum(update.recompressions for update in updates),
            ranks=self.ranks,
            dead_samples=tuple(dead),
            active_counts=active_counts,
            solver=solution.solver if solution else "",
            solve=solution.report if solution else None,
            notes=(*trace.notes, *notes, *coefficients.notes, *(self._captured.notes if self._captured else ())),
            certificates=trace.certificates,
        )

    def to_network(self) -> Network:
        """See the contract."""
        return self.shell.with_weights([weight.materialize() for weight in self.weights])

    def summands(self) -> list[Summands]:
        """What each weight matrix is held as a sum of (see Implementation.to_network)."""
        return [weight.summands() for weight in self.weights]

    @property
    def ranks(self) -> tuple[int, ...]:
        """For every layer the rank in which lazy weights hold their updates; empty for eager ones."""
        return tuple(weight.rank for weight in self._lazy()) if self._is_lazy else ()

    @property
    def iteration(self) -> int:
        """How many steps were taken since construction, those undone not counted."""
        return self._history.iteration

    def undo(self, iteration: int) -> None:
        """Returns lazy weights to what they were after an earlier iteration, to the last bit.

        Args:
            iteration: Its number; 0 is the beginning.

        Raises:
            ArgumentError: for eager weights, and for an iteration whose state is not kept: too long ago, or before
                a fold.
        """
        self._lazy()
        self._history.undo(iteration)

    def fold(self) -> PhaseWork:
        """Folds the updates that lazy weights have accumulated into their bases; those in files are copied first.

        Returns:
            The work of it.
        """
        return self._maintain(lambda weight, work: weight.plan_fold(weight.state, work))

    def recompress(self, tolerance: float = 1e-6) -> PhaseWork:
        """Truncates what lazy weights have accumulated to the least rank within a tolerance.

        Args:
            tolerance: Relative, in the Frobenius norm of a layer's accumulated update.

        Returns:
            The work of it.
        """
        arguments.tolerance("tolerance", tolerance)
        return self._maintain(lambda weight, work: weight.plan_recompression(weight.state, tolerance, work))

    def fork(self) -> SparseNetwork:
        """Another network in the present state. Both share their bases, which neither writes from now on."""
        lazy = [weight.fork() for weight in self._lazy()]
        machine = self._device, self._dtype, self._kernels
        twin = SparseNetwork(self.shell, lazy, *machine, self._solver, self._trained, self._choice)
        twin.origin = self.origin
        return twin

    @full_precision
    def _maintain(self, plan: Callable[[LazyWeights, WorkMeter], WeightsUpdate]) -> PhaseWork:
        work = WorkMeter(self._device)
        with work.phase("update"):
            _apply_all_or_none([plan(weight, work) for weight in self._lazy() if weight.rank])
        self._history.record()
        return work.phases["update"]

    def _lazy(self) -> list[LazyWeights]:
        lazy = [weight for weight in self.weights if isinstance(weight, LazyWeights)]
        if not self._is_lazy:
            raise ArgumentError("weights", "lazy, for what only they can do", "eager")
        return lazy

    @property
    def _is_lazy(self) -> bool:
        return isinstance(self.weights[0], LazyWeights)

    @full_precision
    def _trace(
        self, samples: Float[torch.Tensor, "n d"], work: WorkMeter | None = None, *, left: bool = False
    ) -> Trace:
        return self._forward_pass(samples, work or WorkMeter(self._device), left=left)

    @full_precision
    def _left(self, trace: Trace, work: WorkMeter | None = None) -> list[Float[torch.Tensor, "c _"]]:
        work = work or WorkMeter(self._device)
        return left_factors(trace, self._activations, self._readout, work)

    def _samples(self, X: Any) -> Float[torch.Tensor, "n d"]:
        samples = self._tensor(array("X", X, (None, self.shell.widths[0]), self._dtype_name))
        most = (2**31 - 1) // max(self.shell.widths)
        if samples.shape[0] > most:  # entries are counted in 32 bits
            raise ArgumentError("X", f"at most {most} samples at these widths", str(samples.shape[0]))
        return samples

    def _targets(self, y: Any, samples: int, loss: str) -> Float[torch.Tensor, "n c"]:
        return self._tensor(targets("y", y, samples, self._readout.table.shape[1], self._dtype_name, loss))

    def _tensor(self, value: np.ndarray) -> torch.Tensor:
        copy = torch.tensor(value, dtype=self._dtype)
        if self._device.type == "cuda":  # from pinned memory, for which the host does not wait
            return copy.pin_memory().to(self._device, non_blocking=True)
        return copy.to(self._device)


def _combine(
    coefficients: Float[torch.Tensor, "n c"],
    left: Float[torch.Tensor, "c entries"],
    trace: Trace,
    layer: int,
    work: WorkMeter | None = None,
) -> Float[torch.Tensor, " entries"]:
    """Σ_o q_{i,o} g_{i,o,ℓ}: with it the update of a layer has rank n, whatever c."""
    parts = coefficients.T.index_select(1, trace.supports[layer].sample_of_entry) * left
    combined = parts.sum(dim=0) if len(parts) > 1 else parts[0]
    if work is not None:
        work.count(layer, left.numel(), tensor_bytes(left, left, combined))
    return combined


def _apply_all_or_none(updates: Sequence[WeightsUpdate]) -> None:
    begun = []
    try:
        for update in updates:
            begun.append(update)
            update.apply()
    except BaseException:
        for update in begun:
            update.revert()
        raise
