"""The oracle with one thing wrong, in as many ways as a failure is told."""

import numpy as np

from reference import Reference
from reference import factory as oracle
from reference.contract import Capabilities


class Changed(Reference):
    """The oracle's own network, to be changed by those below."""

    def __init__(self, network, dtype="float64", **options):
        correct = oracle(network)
        super().__init__(correct._network, correct._trained)
        self.dtype = dtype


class OffByOne(Changed):
    def forward(self, X):
        f = super().forward(X)
        f[-1, 0] += 1.0
        return f


class Gram(Changed):
    def gram(self, X):
        G = super().gram(X)
        G[-1, 0] *= 2.0
        G[-1, 0] += 1.0
        return G


class Masks(Changed):
    def active_sets(self, X):
        masks = super().active_sets(X)
        masks[-1] = ~masks[-1]
        return masks


class Raising(Changed):
    def forward(self, X):
        return self.halves(X) if len(X) < 3 else super().forward(X)

    def halves(self, X):
        raise ZeroDivisionError(f"no half of {len(X)}")


class Fickle(Changed):
    calls = 0

    def forward(self, X):
        Fickle.calls += 1
        return super().forward(X) + (1.0 if Fickle.calls == 3 else 0.0)


class Interrupting(Changed):
    """Ctrl-C in the Gram matrix, for which nothing else is needed."""

    def gram(self, X):
        raise KeyboardInterrupt


class LargeOnly(Changed):
    """Wrong for four samples and more, so that there is something to shrink."""

    def forward(self, X):
        return super().forward(X) + (1.0 if len(X) >= 4 else 0.0)


class Lists(Changed):
    def forward(self, X):
        return super().forward(X).tolist()

    def active_sets(self, X):
        return tuple(super().active_sets(X))

    def gram(self, X):
        return {"gram": super().gram(X)}

    def jacobian_factors(self, X):
        return [1, 2]

    def gradient(self, X, y, loss="squared"):
        return None

    def step(self, X, y, **options):
        return None

    def to_network(self):
        return list(super().to_network().weights)


def _factory(cls, *operations):
    def factory(network, *, device="cpu", dtype="float64"):
        return cls(network, dtype)

    factory.capabilities = Capabilities(operations=operations or Capabilities().operations)
    return factory


off_by_one = _factory(OffByOne, "forward", "active_sets")
gram = _factory(Gram, "gram", "active_sets")
masks = _factory(Masks, "active_sets")
raising = _factory(Raising, "forward", "active_sets")
fickle = _factory(Fickle, "forward", "active_sets")
interrupting = _factory(Interrupting, "forward", "active_sets", "gram")
large_only = _factory(LargeOnly, "forward", "active_sets")
lists = _factory(Lists)
correct = _factory(Changed, "forward", "active_sets")
nothing_built = _factory(lambda network, dtype: None)
method_missing = _factory(lambda network, dtype: np.zeros(3))


def refusing(network, **options):
    """A factory that cannot."""
    raise RuntimeError("no such accelerator")
