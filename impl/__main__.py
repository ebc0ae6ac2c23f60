"""`python -m impl`: trains a network on real data and prints what every iteration did."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np
import torch

from impl.construction import factory
from impl.initialization import random_network
from impl.kernels import KERNELS
from impl.loss import LOSSES_BY_NAME
from impl.solvers import SOLVERS
from impl.weights import MAINTENANCE, WEIGHTS
from reference.contract import ACTIVATIONS, LOSSES, METHODS, STORAGES, Activation, SolveError, load_problem
from reference.contract.arguments import affordable
from reference.contract.command_line import add_machine_options, add_problem_options, real, run, whole
from reference.contract.network import HIGHEST_B, LOWEST_B


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m impl", description=__doc__.splitlines()[0])
    add_problem_options(parser, samples=64, depth=2)
    add_machine_options(parser)
    group = parser.add_argument_group("training")
    group.add_argument("--width", type=whole(1), default=8192, metavar="M", help="m, default: %(default)s")
    group.add_argument("--iterations", type=whole(1), default=10, metavar="T", help="default: %(default)s")
    group.add_argument(
        "--batch", type=whole(1), default=None, metavar="N", help="of an iteration, default: all samples"
    )
    group.add_argument("--loss", choices=LOSSES, default="squared", help="default: %(default)s")
    group.add_argument("--method", choices=METHODS, default="gauss_newton", help="default: %(default)s")
    group.add_argument("--learning-rate", type=real(0.0), default=1.0, help="default: %(default)s")
    group.add_argument("--damping", type=real(0.0), default=1e-6, help="default: %(default)s")
    group.add_argument("--activation", choices=ACTIVATIONS, default="shifted_relu", help="default: %(default)s")
    group.add_argument("--b", type=real(LOWEST_B, HIGHEST_B), default=None, help="default: √(0.4·ln m)")
    group.add_argument("--weights", choices=WEIGHTS, default="eager", help="default: %(default)s")
    group.add_argument(
        "--maintenance", choices=list(MAINTENANCE), default="fold", help="of lazy weights; default: fold"
    )
    group.add_argument(
        "--storage", choices=STORAGES, default=None, help="of lazy weights that are not folded; default: that of dtype"
    )
    group.add_argument("--solver", choices=list(SOLVERS), default="cholesky", help="default: %(default)s")
    group.add_argument("--kernels", choices=KERNELS, default="auto", help="default: %(default)s")
    return run(parser, _train, argv)


def _train(options: argparse.Namespace) -> int:
    if options.threads:
        torch.set_num_threads(options.threads)
    problem = load_problem(options.data, options.samples, seed=options.seed, dimension=options.dimension)
    # Before the widths are listed, of which there are as many as layers; random_network looks at the rest.
    affordable("width and depth", np.dtype(options.dtype).itemsize * options.depth * options.width**2)
    network = random_network(
        problem.X.shape[1],
        [options.width] * options.depth,
        activation=Activation(options.activation, options.b),
        seed=options.seed,
        dtype=options.dtype,
    )
    implementation = factory(
        network,
        device=options.device,
        dtype=options.dtype,
        weights=options.weights,
        maintenance=options.maintenance,
        solver=options.solver,
        kernels=options.kernels,
        storage=options.storage,
    )
    del network  # half of the memory
    print(
        f"{problem.name}: n = {options.samples}, d = {problem.X.shape[1]}; m = {options.width}, L = {options.depth}, "
        f"{options.dtype} on {options.device}, {torch.get_num_threads()} threads; initialization "
        f"{implementation.initialization.seconds:.2f} s\n"
        f"{'iteration':>9} {'loss':>12} {'active units a layer (mean)':>28} {'dead samples':>13} {'time':>10}"
    )
    batches = np.array_split(np.arange(options.samples), -(-options.samples // (options.batch or options.samples)))
    for iteration in range(options.iterations):
        batch = batches[iteration % len(batches)]
        begin = time.perf_counter()
        try:
            report = implementation.step(
                problem.X[batch],
                problem.y[batch],
                method=options.method,
                loss=options.loss,
                learning_rate=options.learning_rate,
                damping=options.damping,
            )
        except SolveError as error:
            print(f"stopped: {error}", file=sys.stderr)
            return 1
        seconds = time.perf_counter() - begin
        active = " ".join(f"{counts.mean():.0f}" for counts in report.active_counts)
        print(
            f"{iteration:9d} {report.loss:12.4e} {active:>28} {len(report.dead_samples):13d} {1e3 * seconds:7.1f} ms",
            *report.notes,
            flush=True,
        )
    outputs = torch.tensor(implementation.forward(problem.X))
    loss = LOSSES_BY_NAME[options.loss].value(outputs, torch.tensor(problem.y))
    print(f"{'end':>9} {loss:12.4e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
