"""What the choices are compared on: digits, and digits that nearly repeat."""

from __future__ import annotations

import numpy as np

from reference.contract import Problem, load_problem

BATCHES = ("digits", "near-duplicates")

# Relative size of what tells a near-duplicate from its original: from well within float32 to plainly another sample.
LEAST_NOISE, MOST_NOISE = 1e-4, 1e-1


def load_batch(name: str, n: int, *, seed: int) -> Problem:
    """Returns n samples: digits, or half of them digits and half noisy copies of these.

    The copies make the Gram matrix ill-conditioned at many scales at once, since the size of the noise is drawn
    log-uniformly. They keep the target of their original.

    Args:
        name: One of BATCHES.
        n: Samples.
        seed: Chooses digits and noise.

    Raises:
        ArgumentError: for more samples than there are.
    """
    if name == "digits":
        return load_problem("digits", n, seed=seed)
    originals = load_problem("digits", n - n // 2, seed=seed)
    copied = originals.X[: n // 2]
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal(copied.shape)
    size = np.exp(generator.uniform(np.log(LEAST_NOISE), np.log(MOST_NOISE), (len(copied), 1)))
    copies = copied + size * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    copies /= np.linalg.norm(copies, axis=1, keepdims=True)
    return Problem(name, np.concatenate([originals.X, copies]), np.concatenate([originals.y, originals.y[: n // 2]]))
