"""A plain torch.nn.Module behind the contract, everything differentiable by autograd.

    python -m properties --impl properties.examples.torch_module:factory

For a module of your own keep AutogradAdapter and replace `build`. From the project it takes plain data and checks of
arguments (reference.contract), and no computation.
"""

from __future__ import annotations

import math
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch import nn

from reference.contract import METHODS, Activation, Capabilities, Network, StepReport, targets
from reference.contract.arguments import ArgumentError, SolveError, array, dtype_name, number, one_of
from reference.contract.shapes import Bool, Float, Real


def factory(network: Network, *, device: str = "cpu", dtype: str = "float32") -> AutogradAdapter:
    """Builds the module, and the adapter around it; see the contract.

    Raises:
        ArgumentError: for something that is not a Network, an unknown device or dtype, weights that overflow it.
    """
    if not isinstance(network, Network):
        raise ArgumentError("network", "a Network", type(network).__name__)
    module = build(network, dtype_name("dtype", dtype))
    try:
        module = module.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ArgumentError("device", "a torch device of this machine", repr(device)) from error
    return AutogradAdapter(module, network.activation)


factory.capabilities = Capabilities(readout_bias=True)  # type: ignore[attr-defined]  # no type for attributes


class ThresholdActivation(nn.Module):
    """√c·max(z − τ, 0), or √c·z where z > τ (reference/README.md, section 1)."""

    def __init__(self, activation: Activation, width: int):
        super().__init__()
        b = math.sqrt(0.4 * math.log(width)) if activation.b is None else activation.b
        Q, p = math.erfc(b / math.sqrt(2)) / 2, math.exp(-b * b / 2) / math.sqrt(2 * math.pi)
        self.shifted = activation.kind == "shifted_relu"
        self.tau = b * math.sqrt(2 / width)
        self.gain = math.sqrt(0.5 / ((1 + b * b) * Q - b * p if self.shifted else Q + b * p))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Element by element; the derivative at z = τ is 0."""
        return self.gain * (torch.relu(z - self.tau) if self.shifted else torch.where(z > self.tau, z, 0.0))


def build(network: Network, dtype: str) -> nn.Sequential:
    """The module: Linear, activation, Linear, …, Linear. The last one is the readout."""
    modules: list[nn.Module] = []
    for weight, bias in zip_longest(network.weights, network.biases or ()):
        modules += [_linear(weight, bias, dtype), ThresholdActivation(network.activation, len(weight))]
    return nn.Sequential(*modules, _linear(network.readout, network.readout_bias, dtype))


def _linear(weight: np.ndarray, bias: np.ndarray | None, dtype: str) -> nn.Linear:
    linear = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight = nn.Parameter(torch.tensor(array("weights", weight, weight.shape, dtype)))
    if bias is not None:
        linear.bias = nn.Parameter(torch.tensor(array("biases", bias, bias.shape, dtype)))
    return linear


class AutogradAdapter:
    """The contract (reference.contract.Implementation) for a module, whose weights it trains in place; squared loss.

    Args:
        module: Takes (n, d) to (n, c), each sample by itself. Its nn.Linear modules, in the order in which they were
            registered, are W_1 … W_L and the readout; a forward pass calls each of them once, in that order. What lies
            between two of them acts element by element, and its derivative is 0 exactly where a unit is inactive.
        activation: What that is, for `to_network`.
    """

    def __init__(self, module: nn.Module, activation: Activation):
        self.module, self._activation = module, activation
        self._linears = [part for part in module.modules() if isinstance(part, nn.Linear)]
        self._weights = [linear.weight for linear in self._linears[:-1]]
        self._dtype = str(self._weights[0].dtype).removeprefix("torch.")
        self._seen: list[tuple[torch.Tensor, torch.Tensor]] = []
        for linear in self._linears:
            linear.register_forward_hook(lambda _, inputs, output: self._seen.append((inputs[0], output)))

    def forward(self, X: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """See the contract."""
        return _numpy(self._trace(X)[2])

    def active_sets(self, X: Real[np.ndarray, "n d"]) -> list[Bool[np.ndarray, "n _"]]:
        """See the contract. A unit is active where its value moves with its preactivation."""
        hidden, z, _ = self._trace(X)
        slopes = [torch.autograd.grad(h.sum(), at, retain_graph=True)[0] for h, at in zip(hidden[1:], z, strict=True)]
        return [_numpy(slope != 0) for slope in slopes]

    def jacobian_factors(
        self, X: Real[np.ndarray, "n d"]
    ) -> list[tuple[Float[np.ndarray, "n c _"], Float[np.ndarray, "n _"]]]:
        """See the contract."""
        hidden, z, f = self._trace(X)
        return [(_numpy(g), _numpy(h)) for g, h in zip(_left(f, z), hidden, strict=False)]

    def gradient(
        self, X: Real[np.ndarray, "n d"], y: Real[np.ndarray, " ..."], loss: str = "squared"
    ) -> list[Float[np.ndarray, "_ _"]]:
        """See the contract."""
        f = self._trace(X)[2]
        return [_numpy(part) for part in torch.autograd.grad(self._risk(f, y, loss), self._weights)]

    def gram(self, X: Real[np.ndarray, "n d"]) -> Float[np.ndarray, "nc nc"]:
        """See the contract."""
        hidden, z, f = self._trace(X)
        return _numpy(_gram(_left(f, z), hidden))

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
        """See the contract. Nothing is written before everything is computed; an overflow is a SolveError."""
        one_of("method", method, METHODS)
        learning_rate = number("learning_rate", learning_rate, 0.0)
        damping = number("damping", damping, 0.0)
        hidden, z, f = self._trace(X)
        risk = self._risk(f, y, loss)
        counts = tuple(mask.sum(axis=1) for mask in self.active_sets(X))
        (q,) = torch.autograd.grad(risk, f, retain_graph=True)
        if method == "gauss_newton":
            A = _gram(_left(f, z), hidden) + damping * torch.eye(f.numel(), dtype=f.dtype, device=f.device)
            _finite("Gram matrix", A)
            # Directions that vanish up to rounding get no step, as the pseudoinverse has it.
            q = (torch.linalg.pinv(A, hermitian=True) @ q.flatten()).reshape(q.shape)
        changes = torch.autograd.grad(f, self._weights, learning_rate * q)  # Σ q g hᵀ
        moved = [weight.detach() - change for weight, change in zip(self._weights, changes, strict=True)]
        _finite("new weights", *moved)
        with torch.no_grad():
            for weight, new in zip(self._weights, moved, strict=True):
                weight.copy_(new)
        dead = tuple(np.flatnonzero(np.min(counts, axis=0) == 0).tolist())
        return StepReport(risk.item(), dead_samples=dead, active_counts=counts)

    def to_network(self) -> Network:
        """See the contract."""
        *layers, readout = self._linears
        return Network(
            weights=[_numpy(layer.weight) for layer in layers],
            biases=None if layers[0].bias is None else [_numpy(layer.bias) for layer in layers],
            readout=_numpy(readout.weight),
            activation=self._activation,
            readout_bias=None if readout.bias is None else _numpy(readout.bias),
        )

    def _trace(self, X: Any) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
        """h_0 … h_L, which the Linear modules were given, z_1 … z_L, which they returned, and f."""
        samples = array("X", X, (None, self._weights[0].shape[1]), self._dtype)
        self._seen = []
        f = self.module(torch.tensor(samples, device=self._weights[0].device))
        hidden, z = zip(*self._seen, strict=True)
        return list(hidden), list(z[:-1]), f

    def _risk(self, f: torch.Tensor, y: Any, loss: str) -> torch.Tensor:
        one_of("loss", loss, ("squared",))
        labels = torch.tensor(targets("y", y, len(f), f.shape[1], self._dtype), device=f.device)
        return 0.5 * nn.functional.mse_loss(f, labels, reduction="sum")


def _left(f: torch.Tensor, z: list[torch.Tensor]) -> list[torch.Tensor]:
    """∂f_o(x_i)/∂z_{i,ℓ} as (n, c, m_ℓ): one backward pass an output, since samples do not meet."""
    passes = [torch.autograd.grad(f[:, o].sum(), z, retain_graph=True) for o in range(f.shape[1])]
    return [torch.stack(parts, dim=1) for parts in zip(*passes, strict=True)]


def _gram(left: list[torch.Tensor], hidden: list[torch.Tensor]) -> torch.Tensor:
    c, rows = left[0].shape[1], [g.flatten(0, 1) for g in left]  # row i·c + o
    inner = [(h @ h.T).repeat_interleave(c, 0).repeat_interleave(c, 1) for h in hidden[:-1]]
    return torch.stack([(g @ g.T) * k for g, k in zip(rows, inner, strict=True)]).sum(0).detach()


def _finite(what: str, *tensors: torch.Tensor) -> None:
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        raise SolveError(f"step: expected finite numbers in the {what}, got an overflow; the network is unchanged")


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().copy()
