"""A fine-tuning as a file: the accumulated update D of every layer, without the base that it refers to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch

from impl.construction import torch_dtype
from impl.files.atomic import absolute_path
from impl.files.base_file import BaseFile
from impl.files.container import SCHEMA_VERSION, Container, write_container
from impl.files.fine_tuning import FineTuning
from impl.files.low_rank_arrays import low_rank_arrays, low_rank_of, names_of
from impl.implementation import SparseNetwork
from impl.solvers import Solver
from impl.weights import LazyWeights, Maintenance
from reference.contract import ArgumentError

DELTA_FORMAT = "subquadratic-training/delta"


def save_delta(network: SparseNetwork, path: str | os.PathLike[str]) -> None:
    """Writes what distinguishes a fine-tuned network from its base, in place of a file that may be there.

    The file is replaced as a whole: an interruption at any moment leaves the old one or the new one.

    Args:
        network: From open_base or load_delta, with the base in use still that of the file.
        path: Of the file, in a folder that exists. The base is found by its path relative to that folder.

    Raises:
        ArgumentError: for another network, and where the file cannot be written.
    """
    target = absolute_path("path", path)
    expected = "a network over a base file, from open_base or load_delta"
    if not isinstance(network, SparseNetwork):
        raise ArgumentError("network", expected, type(network).__name__)
    if network.origin is None:
        raise ArgumentError("network", expected, "one without a file")
    if target == network.origin.path:
        raise ArgumentError("path", "another file than the base", repr(str(target)))
    arrays: dict[str, np.ndarray] = {}
    lazy = [weight for weight in network.weights if isinstance(weight, LazyWeights)]
    for layer, (weight, base) in enumerate(zip(lazy, network.origin.bases, strict=True), start=1):
        if weight.state.base is not base:
            raise ArgumentError("network", expected, f"one whose layer {layer} was folded into memory")
        arrays |= low_rank_arrays(layer, weight.state.low_rank)
    metadata = {
        "format": DELTA_FORMAT,
        "version": SCHEMA_VERSION,
        "dtype": network.shell.readout.dtype.name,
        "base": _relative(network.origin.path, target.parent),
        "base_sha256": network.origin.sha256,
    }
    write_container(target, {**metadata, "checksum": _checksum(metadata, arrays)}, arrays)


def load_delta(
    path: str | os.PathLike[str],
    *,
    base: str | os.PathLike[str] | None = None,
    device: str | torch.device = "cpu",
    maintenance: str | Maintenance = "recompress",
    solver: str | Solver = "cholesky",
    trained_layers: Iterable[int] | None = None,
    kernels: str = "auto",
) -> SparseNetwork:
    """Opens a base and returns a network over it in the state that was saved.

    With the kernels and the thread count that it was saved under, the network computes, and goes on training, to the
    last bit as the saved one would; only a fold may come at another time. All of the file is checked before it is used.

    Args:
        path: Of a file that save_delta wrote.
        base: Of the base file; None for the one recorded, relative to the folder of the delta.
        device: See open_base.
        maintenance: See open_base.
        solver: See open_base.
        trained_layers: See open_base.
        kernels: See open_base.

    Raises:
        ArgumentError: for bad arguments, a delta that is missing, damaged or none, and a base that is missing or not
            the one that the delta refers to.
    """
    tuning = FineTuning.checked(device, maintenance, solver, kernels)
    source = absolute_path("path", path)
    # A copy: a file that somebody changes in place would otherwise change after it was checked.
    file = Container.read("path", source, DELTA_FORMAT, ("F32", "F64", "I32")).copied()
    metadata = {name: text for name, text in file.metadata.items() if name != "checksum"}
    found = _checksum(metadata, {name: tensor.numpy() for name, tensor in file.tensors.items()})
    if file.text("checksum") != found:
        raise file.refusal(f"contents of the checksum {file.text('checksum')!r}", f"{found!r}")
    recorded = absolute_path("base", source.parent / file.text("base") if base is None else base)
    opened = BaseFile.opened("base", recorded, file.text("base_sha256"))
    if file.text("dtype") != opened.dtype:
        raise file.refusal(f"the dtype of its base, {opened.dtype}", file.text("dtype"))
    file.check_names(names_of(file, opened.shell.depth))
    low_ranks = [
        low_rank_of(file, layer, (table.shape[0], table.shape[1]), torch_dtype(opened.dtype), tuning.machine.device)
        for layer, table in enumerate(opened.tables, start=1)
    ]
    return tuning.over(opened, trained_layers, low_ranks)


def _checksum(metadata: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> str:
    """Of all that a file says but for where in it the arrays lie."""
    ordered = sorted(arrays.items())
    described = [[name, array.dtype.name, array.shape] for name, array in ordered]
    digest = hashlib.sha256(json.dumps([sorted(metadata.items()), described]).encode())
    for _, array in ordered:
        digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # no relative path leads from one drive to another
        return path.as_posix()
