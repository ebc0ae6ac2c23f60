"""Between torch modules that were trained densely and networks that this project trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from impl.pretrained.activations import ShiftedReLU, ThresholdedActivation, ThresholdedIdentity
from reference.contract import Activation, ArgumentError, Network
from reference.contract.network import check_activation
from reference.contract.shapes import Float


def from_module(
    module: nn.Sequential, *, activation: Activation | tuple[str, float | None] | str | None = None
) -> Network:
    """The network that a torch module computes; of a network trained densely, what sparse training starts from.

    Args:
        module: Linear and activation in turns, Linear first and last; nested Sequentials are flattened. The last
            Linear is the readout A, with its bias as readout bias; the others are W_ℓ and β_ℓ. Activations are
            ReLU (the shifted ReLU with b = 0), impl.ShiftedReLU or impl.ThresholdedIdentity, all of one kind and
            one b. Identity is skipped, and so is Dropout that does nothing. The module is not changed.
        activation: None keeps the module's own. Anything that Network takes replaces it, at the same weights: then
            the network is another function than the module. That is the point: a greater b leaves fewer units
            active, and training makes up for the change (see impl.density).

    Returns:
        The network, in copies: float64 where the module has it, float32 otherwise (also for half precision). Where
        only some hidden Linears have a bias, the others get zeros.

    Raises:
        ArgumentError: for a module that is not of this form or computes anything else besides, and for parameters
            that are not dense finite floating-point numbers, are shared, or have shapes that do not chain.
    """
    replacement = None if activation is None else check_activation(activation)
    layers = _in_turns(module)
    linears, activations = layers[::2], layers[1::2]
    _check_none_shared(linears)
    _check_widths(layers)
    own = _common_activation(activations)
    weights = [_copied(linear, "weight") for linear in linears]
    biases = [None if linear.module.bias is None else _copied(linear, "bias") for linear in linears]
    return Network(
        weights=weights[:-1],
        biases=_completed(biases[:-1], weights[:-1]),
        readout=weights[-1],
        activation=own if replacement is None else replacement,
        readout_bias=biases[-1],
    )


def to_module(network: Network) -> nn.Sequential:
    """The torch module that computes a network, the way back from `from_module`.

    Args:
        network: The network; its arrays are copied.

    Returns:
        Linear and activation in turns, the readout last, in evaluation mode, on the CPU, in the network's dtype (the
        wider one where its arrays differ). The activation is ReLU for the shifted ReLU with b = 0, otherwise
        impl.ShiftedReLU or impl.ThresholdedIdentity. Every parameter requires a gradient, the readout's too.

    Raises:
        ArgumentError: for something that is not a Network.
    """
    if not isinstance(network, Network):
        raise ArgumentError("network", "a Network", type(network).__name__)
    biases: Sequence[np.ndarray | None] = [None] * network.depth if network.biases is None else network.biases
    arrays = [*network.weights, *biases, network.readout, network.readout_bias]
    dtype = getattr(torch, np.result_type(*(array for array in arrays if array is not None)).name)
    modules: list[nn.Module] = []
    for weight, bias in zip(network.weights, biases, strict=True):
        modules += [_linear(weight, bias, dtype), _activation_module(network.activation, weight.shape[0])]
    modules.append(_linear(network.readout, network.readout_bias, dtype))
    return nn.Sequential(*modules).eval()


_ACTIVATIONS = (nn.ReLU, ShiftedReLU, ThresholdedIdentity)
_KNOWN = (nn.Linear, *_ACTIVATIONS, nn.Identity, nn.Dropout, nn.Sequential)
_TURNS = "Linear and ReLU, ShiftedReLU or ThresholdedIdentity in turns"
_DTYPES = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float32: torch.float32,
    torch.float64: torch.float64,
}


class _Located(NamedTuple):
    """A module and its position: its index, after those of the Sequentials that it is nested in."""

    module: Any
    position: str

    def __str__(self) -> str:
        kind = type(self.module)
        ambiguous = kind not in _KNOWN and kind.__name__ in [known.__name__ for known in _KNOWN]
        name = f"{kind.__module__}.{kind.__qualname__}" if ambiguous else kind.__name__
        if kind in _KNOWN and not self.is_a(kind):
            name += " with a forward of its own"
        return f"{name} at position {self.position}" if self.position else name

    def is_a(self, *kinds: type[nn.Module]) -> bool:
        """Whether it computes what one of these modules computes; subclasses and patched modules may not."""
        return any(
            isinstance(self.module, kind) and getattr(self.module.forward, "__func__", None) is kind.forward
            for kind in kinds
        )


def _in_turns(module: object) -> list[_Located]:
    """Linear, activation, …, Linear: at least three, and nothing else."""
    root = _Located(module, "")
    if not root.is_a(nn.Sequential):
        raise ArgumentError("module", f"a Sequential of {_TURNS}", str(root))
    layers: list[_Located] = []
    for layer in _flattened(root):
        if not layer.is_a(*_KNOWN):
            raise ArgumentError("module", _TURNS, str(layer))
        if layer.is_a(nn.Linear):
            _check_parameters(layer)
        _check_without_hooks(layer)
        if layer.is_a(nn.Dropout):
            _check_idle(layer)
        if layer.is_a(nn.Identity, nn.Dropout, nn.Sequential):
            continue
        due = "a Linear" if len(layers) % 2 == 0 else "an activation"
        if layer.is_a(nn.Linear) != (due == "a Linear"):
            raise ArgumentError("module", _TURNS, f"{layer}, where {due} is due")
        layers.append(layer)
    if not layers:
        raise ArgumentError("module", _TURNS, "a Sequential without any")
    if len(layers) % 2 == 0:
        raise ArgumentError("module", "a Linear, the readout, at the end", str(layers[-1]))
    if len(layers) == 1:
        raise ArgumentError("module", "a hidden layer before the readout", f"a lone {layers[0]}")
    return layers


def _flattened(located: _Located) -> Iterator[_Located]:
    """The module and, of a Sequential, all that it holds, in the order in which they compute."""
    yield located
    if located.is_a(nn.Sequential):
        for index, child in enumerate(located.module):
            yield from _flattened(_Located(child, f"{located.position}.{index}".removeprefix(".")))


def _check_without_hooks(layer: _Located) -> None:
    if layer.module._forward_hooks or layer.module._forward_pre_hooks:
        raise ArgumentError(
            "module", "modules without forward hooks, which may change what they compute", f"a hook on {layer}"
        )


def _check_idle(dropout: _Located) -> None:
    if dropout.module.training and dropout.module.p > 0:
        raise ArgumentError("module", "Dropout in evaluation mode (call eval())", f"{dropout} in training mode")


def _check_parameters(linear: _Located) -> None:
    for name, axes in (("weight", 2), ("bias", 1)):
        value = getattr(linear.module, name)
        if value is None and name == "bias":
            continue
        fits = type(value) is nn.Parameter and value.layout == torch.strided and not value.is_meta
        if not fits or value.dtype not in _DTYPES or value.ndim != axes or value.numel() == 0:
            raise ArgumentError(
                "module",
                "Linear with initialized, dense, floating-point Parameters (none computed, sparse, quantized or meta)",
                f"{_described(value)} as {name} of {linear}",
            )


def _described(value: Any) -> str:
    if type(value) is not nn.Parameter:
        return f"a {type(value).__name__} that is no plain Parameter"
    return f"a Parameter of {value.dtype}, {value.layout}, shape {tuple(value.shape)} on {value.device}"


def _check_none_shared(linears: list[_Located]) -> None:
    first: dict[int, _Located] = {}
    for linear in linears:
        for parameter in linear.module.parameters():
            if id(parameter) in first:
                raise ArgumentError(
                    "module", "Linears that share no parameter", f"{linear} sharing one with {first[id(parameter)]}"
                )
            first[id(parameter)] = linear


def _check_widths(layers: list[_Located]) -> None:
    width, before = None, None
    for layer in layers:
        if layer.is_a(nn.Linear):
            rows, columns = layer.module.weight.shape
            takes, gives, bias = columns, rows, layer.module.bias
            if bias is not None and bias.shape != (rows,):
                raise ArgumentError("module", f"a bias of shape ({rows},)", f"shape {tuple(bias.shape)} in {layer}")
        else:
            takes = gives = layer.module.width if layer.is_a(ShiftedReLU, ThresholdedIdentity) else width
        if before is not None and takes != width:
            raise ArgumentError("module", f"{layer} of width {width}, as given by {before}", f"width {takes}")
        width, before = gives, layer


def _common_activation(activations: list[_Located]) -> Activation:
    first = activations[0]
    for layer in activations:
        if _activation_of(layer) != _activation_of(first):
            raise ArgumentError(
                "module",
                "activations of one kind and one b",
                f"{first.module} at position {first.position} and {layer.module} at position {layer.position}",
            )
    return _activation_of(first)


def _activation_of(layer: _Located) -> Activation:
    if isinstance(layer.module, ThresholdedActivation):
        return Activation(layer.module.kind, layer.module.b)
    return Activation("shifted_relu", 0.0)


def _copied(linear: _Located, name: str) -> Float[np.ndarray, " ..."]:
    value = getattr(linear.module, name).detach()
    copy: np.ndarray = value.to("cpu", _DTYPES[value.dtype], copy=True).contiguous().numpy()
    finite = np.isfinite(copy)
    if not finite.all():
        index = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ArgumentError("module", "finite parameters", f"{copy[index]} at index {index} of the {name} of {linear}")
    return copy


def _completed(biases: list[np.ndarray | None], weights: list[np.ndarray]) -> list[np.ndarray] | None:
    """Zeros for the biases that are missing; None where all are."""
    if all(bias is None for bias in biases):
        return None
    return [
        np.zeros(len(weight), weight.dtype) if bias is None else bias
        for bias, weight in zip(biases, weights, strict=True)
    ]


def _linear(weight: Float[np.ndarray, "a b"], bias: Float[np.ndarray, " a"] | None, dtype: torch.dtype) -> nn.Linear:
    # On the meta device nothing is allocated, and no random number of the caller's is drawn.
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(torch.tensor(weight, dtype=dtype, device="cpu"))
    if bias is not None:
        linear.bias = nn.Parameter(torch.tensor(bias, dtype=dtype, device="cpu"))
    return linear


def _activation_module(activation: Activation, width: int) -> nn.Module:
    if activation.kind == "shifted_relu":
        return nn.ReLU() if activation.b == 0 else ShiftedReLU(width, activation.b)
    return ThresholdedIdentity(width, activation.b)
