"""The contract: what an implementation offers to the properties and the benchmarks.

Arrays cross it as NumPy. Shapes: n samples, d inputs, widths m_1 … m_L (m_0 = d), c outputs. Rows of the
Jacobian and of the Gram matrix are ordered by sample, then by output: row i·c + o belongs to (i, o).
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from reference.contract.arguments import DTYPES, ArgumentError
from reference.contract.network import ACTIVATIONS, Network
from reference.contract.report import StepReport
from reference.contract.shapes import Bool, Float, Real

METHODS = ("gradient_descent", "gauss_newton")
OPERATIONS = ("forward", "active_sets", "jacobian_factors", "gradient", "gram", "step", "to_network")


class Implementation(Protocol):
    """A network that can be evaluated, differentiated and trained.

    Every method raises ArgumentError (a ValueError) for bad input. After any error the network is what
    it was before the call.
    """

    def forward(self, X: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """Outputs f(x_i) (section 1)."""

    def active_sets(self, X: Real[np.ndarray, "n d"]) -> Sequence[Bool[np.ndarray, "n _"]]:
        """For every layer the mask (n, m_ℓ) of active units, z > τ strictly (section 1)."""

    def jacobian_factors(
        self, X: Real[np.ndarray, "n d"]
    ) -> Sequence[tuple[Float[np.ndarray, "n c _"], Float[np.ndarray, "n _"]]]:
        """For every layer the left factors (n, c, m_ℓ) and right factors (n, m_{ℓ−1}) (section 2)."""

    def gradient(
        self, X: Real[np.ndarray, "n d"], y: Real[np.ndarray, "n c"], loss: str = "squared"
    ) -> Sequence[Float[np.ndarray, "_ _"]]:
        """The dense gradients (m_ℓ, m_{ℓ−1}) of the empirical risk: for checking at small m (section 2)."""

    def gram(self, X: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "nc nc"]:
        """The Gram matrix J Jᵀ, (n·c, n·c) (section 2)."""

    def step(
        self,
        X: Real[np.ndarray, "n d"],
        y: Real[np.ndarray, "n c"],
        *,
        method: str = "gauss_newton",
        loss: str = "squared",
        learning_rate: float = 1.0,
        damping: float = 1e-6,
    ) -> StepReport:
        """One training step on the whole batch, in place (section 3)."""

    def to_network(self) -> Network:
        """The present weights, as a copy.

        An implementation that holds weights as sums may return them in float64 whatever its dtype, and has a
        method `summands() -> Sequence[Summands]` beside the contract's, by which its rounding is judged.
        """


@dataclass(frozen=True)
class Summands:
    """How a layer's weights are held, where they are held as sums.

    Attributes:
        magnitude: For every weight the sum of the absolute values of what it is the sum of, (m_ℓ, m_{ℓ−1}).
        terms: At most how many summands there are.
    """

    magnitude: Float[np.ndarray, "fan_out fan_in"]
    terms: int


@dataclass(frozen=True)
class Capabilities:
    """What an implementation can do. What it cannot is skipped and counted, never passed.

    An implementation declares it as an attribute `capabilities` of its factory; without one it is taken
    to do what the defaults say.

    Attributes:
        operations: Methods of the contract that it has.
        dtypes: In which it computes.
        storage: One of STORAGES where its factory rounds the weights that it is given to that, to nearest and at ties
            to even, and refuses those that become infinite; all that it computes is then of the rounded ones. None
            where it keeps them in dtype.
        activations: Kinds that it knows.
        methods: Of its steps.
        losses: Of its steps and gradients, from LOSSES.
        biases: Whether it takes networks with biases.
        outputs: Whether it takes more than one output.
        readout_bias: Whether it takes networks with a readout bias.
        trained_layers: Whether its factory takes `trained_layers`, the numbers ℓ of the layers that steps
            train and over which the Gram matrix sums; None stands for all.
        solve_tolerance: The normwise backward error, relative to the norms of matrix and right-hand side, to
            which it solves the Gram system; 0 for a direct solver, which rounding alone disturbs.
        counts_work: Whether the reports of its steps have counted work.
        subquadratic: Whether a step promises to allocate and to pass over nothing of the size of a weight matrix.
        float64_gram: Whether the Gram matrix is that of the Jacobian factors to the rounding of float64, whatever the
            dtype of these.
        sketches: Names of sketches for which it has a method
            `sketched_jacobian(X, *, sketch: str, rows: int, seed: int) -> (rows, n·c)`: S Jᵀ summed over the trained
            layers, as its steps would sketch it (section 8). A seed below 2³¹ determines S, which has at most as many
            rows as the smallest trained layer has weights, with E SᵀS = I and variance of ⟨S v, S w⟩ at most
            9‖v‖²‖w‖²/rows.
        initialization: Whether its factory has an attribute `random_network(input_dimension, widths, *, outputs,
            activation, seed, dtype) -> Network`, which draws the random initialization (section 1).
    """

    operations: tuple[str, ...] = OPERATIONS
    dtypes: tuple[str, ...] = DTYPES
    storage: str | None = None
    activations: tuple[str, ...] = ACTIVATIONS
    methods: tuple[str, ...] = METHODS
    losses: tuple[str, ...] = ("squared",)
    biases: bool = True
    outputs: bool = True  # more than one output
    readout_bias: bool = False
    trained_layers: bool = False
    solve_tolerance: float = 0.0
    counts_work: bool = False
    subquadratic: bool = False
    float64_gram: bool = False
    sketches: tuple[str, ...] = ()
    initialization: bool = False


Factory = Callable[..., Implementation]


def capabilities_of(factory: Factory) -> Capabilities:
    """What the implementation declares, or the defaults where it declares nothing.

    `factory.capabilities` is a Capabilities, or a function that returns one for the factory's options.
    """
    declared = getattr(factory, "capabilities", Capabilities())
    return declared if isinstance(declared, Capabilities) else declared()


def load_factory(name: str) -> Factory:
    """Imports an implementation's factory.

    Args:
        name: "package.module:factory", imported from the present search path; options of the factory may follow,
            as in "impl:factory?weights=lazy&solver=cg". Their values are handed over as strings.

    Raises:
        ArgumentError: for another form, a module that cannot be imported, a name that is not callable.
    """
    source, question, query = name.partition("?") if isinstance(name, str) else ("", "", "")
    module_name, _, attribute = source.partition(":")
    if not (module_name and attribute) or module_name.startswith("."):
        raise ArgumentError("impl", "package.module:factory", repr(name))
    options = dict(part.partition("=")[::2] for part in query.split("&")) if question else {}
    if not all(key and value for key, value in options.items()):
        raise ArgumentError("impl", "options as in package.module:factory?name=value&name=value", repr(name))
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ArgumentError("impl", "a module that can be imported", f"{name!r} ({error})") from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise ArgumentError("impl", f"a callable {attribute!r} in {module_name}", repr(factory))
    return configured(factory, **options) if options else factory


def configured(factory: Factory, **options: Any) -> Factory:
    """The factory with options filled in, and with the capabilities that it declares for them."""
    declared = getattr(factory, "capabilities", Capabilities())
    chosen = functools.partial(factory, **options)
    chosen.capabilities = (  # type: ignore[attr-defined]  # partial objects have attributes, but no type for them
        declared if isinstance(declared, Capabilities) else declared(**options)
    )
    if hasattr(factory, "random_network"):
        chosen.random_network = factory.random_network  # type: ignore[attr-defined]  # likewise
    return chosen
