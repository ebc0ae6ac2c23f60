"""The base W⁰ of fine-tunings as a file: written once, then mapped, by any number of networks at a time."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from impl.files.atomic import absolute_path
from impl.files.container import SCHEMA_VERSION, Container, write_container
from impl.shell import Shell
from impl.weights import Base, out_of_range, storage_name
from reference.contract import Activation, ArgumentError, Network
from reference.contract.arguments import array, dtype_name
from reference.contract.network import check_activation
from reference.contract.shapes import Float

BASE_FORMAT = "subquadratic-training/base"


def write_base(
    network: Network, path: str | os.PathLike[str], *, dtype: str = "float32", storage: str | None = None
) -> None:
    """Writes a network as a base for fine-tunings, in place of a file that may be there.

    The weights are written as the tables W_ℓᵀ, (m_{ℓ−1}, m_ℓ), whose rows a forward pass gathers. The file is replaced
    as a whole: an interruption leaves the old one. Networks that have the old one open go on with it.

    Args:
        network: The network.
        path: Of the file, in a folder that exists.
        dtype: "float32" or "float64".
        storage: "bfloat16" halves the file, with the weights rounded to that as by impl.factory; None for the dtype.

    Raises:
        ArgumentError: for numbers that are not finite in dtype and storage, and where the file cannot be written.
    """
    if not isinstance(network, Network):
        raise ArgumentError("network", "a Network", type(network).__name__)
    dtype = dtype_name("dtype", dtype)
    stored = storage_name(storage, dtype)
    found = {
        **{f"weights[{index}]": weight for index, weight in enumerate(network.weights)},
        **{f"biases[{index}]": bias for index, bias in enumerate(network.biases or ())},
        "readout": network.readout,
        **({} if network.readout_bias is None else {"readout_bias": network.readout_bias}),
    }
    checked = {name: array(name, value, value.shape, dtype) for name, value in found.items()}
    arrays = {
        table_name(layer): _table(f"weights[{layer - 1}]", checked.pop(f"weights[{layer - 1}]"), stored)
        for layer in range(1, network.depth + 1)
    }
    for layer in range(1, network.depth + 1) if network.biases else ():
        arrays[_bias(layer)] = checked.pop(f"biases[{layer - 1}]")
    metadata = {
        "format": BASE_FORMAT,
        "version": SCHEMA_VERSION,
        "activation": network.activation.kind,
        "b": repr(network.activation.b),
    }
    write_container(absolute_path("path", path), metadata, {**arrays, **checked})


@dataclass(frozen=True, eq=False)
class Origin:
    """The base file that a network refers to.

    Attributes:
        path: Absolute.
        sha256: Of the whole file, in hexadecimal digits.
        bases: W⁰ of every layer, as opened; a fold leaves them for others.
    """

    path: Path
    sha256: str
    bases: tuple[Base, ...]


def table_name(layer: int) -> str:
    """What (W⁰_ℓ)ᵀ is called in the file."""
    return f"layers.{layer}.table"


@dataclass(frozen=True, eq=False)
class BaseFile:
    """What a base file holds, checked.

    Attributes:
        container: The file.
        sha256: Of all of it.
        shell: All but the weights.
        tables: (W⁰_ℓ)ᵀ of every layer, on the mapped file, all in one dtype: the network's, or a narrower one.
    """

    container: Container
    sha256: str
    shell: Shell
    tables: tuple[Float[torch.Tensor, "_ _"], ...]

    @property
    def dtype(self) -> str:
        """The network's, by name."""
        return self.shell.readout.dtype.name

    @property
    def storage(self) -> str:
        """The tables', by name."""
        return str(self.tables[0].dtype).removeprefix("torch.")

    @classmethod
    def opened(cls, argument: str, path: Path, sha256: str | None = None) -> BaseFile:
        """Maps a base file.

        Args:
            argument: The argument that named it.
            path: Of the file.
            sha256: That it must have; None for any.

        Raises:
            ArgumentError: for a file that is missing, damaged, another or no base.
        """
        try:
            with open(path, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
                if sha256 not in (None, found):
                    raise ArgumentError(argument, f"the file with SHA-256 {sha256}", f"{found}, which {path} has")
                container = Container.read(argument, path, BASE_FORMAT)
                if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    raise ArgumentError(argument, "a file that stays while it is opened", f"a replacement of {path}")
        except OSError as error:
            raise ArgumentError(argument, "a base file that can be read", f"{str(path)!r} ({error})") from None
        return cls(container, found, *_contents(container))


def _contents(file: Container) -> tuple[Shell, tuple[Float[torch.Tensor, "_ _"], ...]]:
    depth = sum(name.endswith(".table") for name in file.tensors)
    layers = range(1, max(depth, 1) + 1)
    biased, readout_biased = _bias(1) in file.tensors, "readout_bias" in file.tensors
    optional = {_bias(layer) for layer in layers if biased} | ({"readout_bias"} if readout_biased else set())
    file.check_names({table_name(layer) for layer in layers} | optional | {"readout"})

    dtype = file.tensors["readout"].dtype
    if dtype not in (torch.float32, torch.float64):
        raise file.refusal("weights in float32 or float64", str(dtype))
    narrow = dtype == torch.float32 and file.tensors[table_name(1)].dtype == torch.bfloat16
    tables: list[Float[torch.Tensor, "_ _"]] = []
    for layer in layers:
        fan_in = tables[-1].shape[1] if tables else None
        tables.append(file.tensor(table_name(layer), torch.bfloat16 if narrow else dtype, (fan_in, None)))
    widths = (tables[0].shape[0], *(table.shape[1] for table in tables))
    readout = file.finite("readout", dtype, (None, widths[-1]))
    if 0 in (*widths, readout.shape[0]):
        raise file.refusal("widths of at least 1", f"{widths} and {readout.shape[0]} outputs")
    return (
        Shell(
            widths,
            tuple(_copy(file.finite(_bias(layer), dtype, (widths[layer],))) for layer in layers) if biased else None,
            _copy(readout),
            _activation(file),
            _copy(file.finite("readout_bias", dtype, (readout.shape[0],))) if readout_biased else None,
        ),
        tuple(tables),
    )


def _table(argument: str, weight: Float[np.ndarray, "fan_out fan_in"], stored: str) -> np.ndarray:
    """The table of a weight matrix as it comes in the file: in bfloat16 by its bits."""
    if stored != "bfloat16":
        return weight.T
    base = Base.of_matrix(weight, torch.device("cpu"), torch.bfloat16)
    if not math.isfinite(base.magnitude):
        raise out_of_range(argument, weight, base.table)
    return base.table.view(torch.uint16).numpy()


def _activation(file: Container) -> Activation:
    kind, b = file.text("activation"), file.text("b")
    try:
        return check_activation((kind, None if b == "None" else float(b)))
    except ValueError as error:  # what ArgumentError is too
        raise file.refusal("a known activation", f"{kind!r} with b {b!r} ({error})") from None


def _copy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.numpy().copy()


def _bias(layer: int) -> str:
    return f"layers.{layer}.bias"
