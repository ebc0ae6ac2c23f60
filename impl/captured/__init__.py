"""Iterations replayed from CUDA graphs: arrays of fixed room, and one wait, where the step is decided."""

from impl.captured.iteration import CapturedIteration
from impl.captured.recorder import CudaGraphs, Recorder, run_again

__all__ = ["CapturedIteration", "CudaGraphs", "Recorder", "run_again"]
