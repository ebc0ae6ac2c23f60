"""`python -m impl.finetune`: fine-tunes a pretrained network through lazy weights on a memory-mapped base.

An MLP is pretrained densely, in torch, on the digits 0–4. It is written to a file once, and fine-tuned on the digits
5–9 by Gauss–Newton steps that only append low-rank updates; what is saved in the end is the update alone. Beside it,
batch by batch in turns, torch fine-tunes the same layers of the same network densely. The last line printed is JSON.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from impl.construction import Machine, factory
from impl.files import load_delta, open_base, save_delta, write_base
from impl.implementation import SparseNetwork
from impl.pretrained import ShiftedReLU, density, from_module
from impl.weights import RecompressWhenGrown
from reference.contract import STORAGES, Classes, load_digit_classes
from reference.contract.command_line import real, run, whole
from reference.contract.shapes import Float, Int

LOSS = "softmax_cross_entropy"
PRETRAINING_RATE, FINE_TUNING_RATE = 1e-4, 1e-3  # of Adam
SHIFTS = (None, 0.0, 1.0, 2.5)  # of the density table; the pretrained network has the first

Predict = Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, "n c"]]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status, 1 if the base file was changed."""
    parser = argparse.ArgumentParser(prog="python -m impl.finetune", description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=whole(1), default=4096, metavar="M", help="m, default: %(default)s")
    parser.add_argument("--pretraining-epochs", type=whole(1), default=3, metavar="E", help="default: %(default)s")
    parser.add_argument("--epochs", type=whole(1), default=3, metavar="E", help="default: %(default)s")
    parser.add_argument("--batch", type=whole(1), default=32, metavar="N", help="n, default: %(default)s")
    parser.add_argument("--damping", type=real(0.0), default=50.0, help="λ, default: %(default)s")
    parser.add_argument(
        "--tolerance", type=real(0.0, 1.0), default=1e-2, help="of recompressions; default: %(default)s"
    )
    parser.add_argument("--storage", choices=STORAGES, default=None, help="of the base's weights; default: float32")
    parser.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="default: %(default)s")
    parser.add_argument("--device", default="cpu", help="a torch device for all but the files, default: %(default)s")
    parser.add_argument("--threads", type=whole(1, 1024), default=None, help="default: torch's own choice")
    parser.add_argument("--folder", default=None, help="keeps base and delta there; default: a temporary one")
    return run(parser, _main, argv)


def _main(options: argparse.Namespace) -> int:
    if options.threads:
        torch.set_num_threads(options.threads)
    options.device = Machine.checked(options.device, "float32", "auto").device
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        return _fine_tune(options, folder / "base.safetensors", folder / "delta.safetensors")


def _fine_tune(options: argparse.Namespace, base: Path, delta: Path) -> int:
    data, generator = load_digit_classes(), np.random.default_rng(options.seed)
    held_out, old = generator.random(len(data.labels)) < 0.25, data.labels < 5
    old_train, old_test = data.only(old & ~held_out), data.only(old & held_out)
    train, test = data.only(~old & ~held_out), data.only(~old & held_out)

    module = _pretrained(old_train, options)
    network = from_module(module)
    print(f"pretrained on digits 0–4: accuracy {_accuracy(_dense(module), old_test):.3f} there")
    _print_densities(module, train, old_test, options.device)
    write_base(network, base, storage=options.storage)
    before = _sha256(base)

    tuned = open_base(base, device=options.device, maintenance=RecompressWhenGrown(tolerance=options.tolerance))
    accuracy_before = _accuracy(tuned.forward, test)
    rival = copy.deepcopy(module)
    seconds, dense_seconds, loss = _train_in_turns(tuned, rival, train, options, generator)
    tuned.recompress(options.tolerance)
    save_delta(tuned, delta)
    after = load_delta(delta, device=options.device)

    unchanged = _sha256(base) == before
    print(
        f"loss of the last batch {loss:.3g}; saved at rank {', '.join(map(str, tuned.ranks))}; the base file is "
        f"{'unchanged' if unchanged else 'CHANGED'} (SHA-256 {before[:16]}…)\n"
        f"m = {options.width}, n = {options.batch}, depth 2, float32, {options.device}, {torch.get_num_threads()} "
        f"threads, torch {torch.__version__}; seconds are means over all iterations, maintenance included"
    )
    print(
        json.dumps(
            {
                "accuracy_before": accuracy_before,
                "accuracy_after": _accuracy(after.forward, test),
                "accuracy_dense": _accuracy(_dense(rival), test),
                "delta_bytes": delta.stat().st_size,
                "base_bytes": base.stat().st_size,
                "seconds_per_iteration": seconds,
                "dense_seconds_per_iteration": dense_seconds,
            }
        )
    )
    return 0 if unchanged else 1


def _pretrained(data: Classes, options: argparse.Namespace) -> torch.nn.Sequential:
    """Two hidden layers with shifted ReLUs and no biases, and a readout with one; all of it is trained."""
    m, inputs = options.width, data.X.shape[1]
    torch.manual_seed(options.seed)
    first, second = torch.nn.Linear(inputs, m, bias=False), torch.nn.Linear(m, m, bias=False)
    readout = torch.nn.Linear(m, 10)
    for layer, variance in ((first, 2 / m), (second, 2 / m), (readout, 1 / m)):
        torch.nn.init.normal_(layer.weight, 0.0, variance**0.5)
    module = torch.nn.Sequential(first, ShiftedReLU(m), second, ShiftedReLU(m), readout).to(options.device)
    optimizer = torch.optim.Adam(module.parameters(), PRETRAINING_RATE)
    generator = np.random.default_rng(options.seed)
    for _ in range(options.pretraining_epochs):
        for batch in _batches(len(data.labels), options.batch, generator):
            _dense_step(module, optimizer, data.X[batch], data.labels[batch])
    return module


def _train_in_turns(
    tuned: SparseNetwork,
    rival: torch.nn.Sequential,
    train: Classes,
    options: argparse.Namespace,
    generator: np.random.Generator,
) -> tuple[float, float, float]:
    """Fine-tunes both on the same batches; mean seconds of an iteration of each, and our last loss."""
    *hidden, _ = [layer for layer in rival if isinstance(layer, torch.nn.Linear)]
    optimizer = torch.optim.Adam([layer.weight for layer in hidden], FINE_TUNING_RATE)
    parts = _batches(len(train.labels), options.batch, generator)
    _warm_up(tuned, rival, train, parts[0], options.damping)
    ours: list[float] = []
    dense: list[float] = []
    for _ in range(options.epochs):
        for batch in parts:
            X, labels = train.X[batch], train.labels[batch]
            begin = _now(options.device)
            loss = tuned.step(X, labels, loss=LOSS, damping=options.damping).loss
            middle = _now(options.device)
            _dense_step(rival, optimizer, X, labels)
            ours.append(middle - begin)
            dense.append(_now(options.device) - middle)
    return float(np.mean(ours)), float(np.mean(dense)), loss


def _warm_up(
    tuned: SparseNetwork, rival: torch.nn.Sequential, train: Classes, batch: Int[np.ndarray, " n"], damping: float
) -> None:
    """Compilers and libraries start here, not under the clock; both are afterwards what they were."""
    tuned.step(train.X[batch], train.labels[batch], loss=LOSS, damping=damping)
    tuned.undo(0)
    twin = copy.deepcopy(rival)
    _dense_step(twin, torch.optim.Adam(twin.parameters()), train.X[batch], train.labels[batch])


def _dense_step(
    module: torch.nn.Sequential,
    optimizer: torch.optim.Optimizer,
    X: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
) -> None:
    device = next(module.parameters()).device
    optimizer.zero_grad()
    outputs = module(torch.tensor(X, dtype=torch.float32, device=device))
    torch.nn.functional.cross_entropy(outputs, torch.tensor(labels, device=device)).backward()
    optimizer.step()


def _now(device: torch.device) -> float:
    """The clock's time in seconds, when the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _batches(samples: int, size: int, generator: np.random.Generator) -> list[Int[np.ndarray, " n"]]:
    return np.array_split(generator.permutation(samples), max(1, round(samples / size)))


def _dense(module: torch.nn.Sequential) -> Predict:
    def predict(X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        with torch.no_grad():
            samples = torch.tensor(X, dtype=torch.float32, device=next(module.parameters()).device)
            outputs: np.ndarray = module(samples).cpu().numpy()
        return outputs

    return predict


def _accuracy(predict: Predict, data: Classes) -> float:
    return float((predict(data.X).argmax(axis=1) == data.labels).mean())


def _print_densities(module: torch.nn.Sequential, train: Classes, old_test: Classes, device: torch.device) -> None:
    print(f"{'shift b':>14} {'active share by layer, digits 5–9':>35} {'accuracy on digits 0–4':>24}")
    for b in SHIFTS:
        network = from_module(module, activation=("shifted_relu", b))
        shares = " ".join(f"{share:.3f}" for share in density(network, train.X, device=device))
        accuracy = _accuracy(factory(network, device=device).forward, old_test)
        print(f"{'√(0.4·ln m)' if b is None else f'{b:g}':>14} {shares:>35} {accuracy:24.3f}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
