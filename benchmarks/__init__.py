"""The measuring suite: rivals, sweeps over the width, and the exponents fitted to them (benchmarks/README.md)."""

import os

# torch's profiler, which counts memory here, otherwise writes a line to standard error at every start and
# stop. It reads this once, when torch is imported.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
