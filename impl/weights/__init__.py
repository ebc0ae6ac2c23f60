"""How a weight matrix is kept: alternatives behind one interface, chosen by name."""

from impl.weights.base import Base
from impl.weights.eager import EagerWeights
from impl.weights.interface import Weights, WeightsUpdate
from impl.weights.lazy import LazyWeights
from impl.weights.low_rank import LowRank
from impl.weights.maintenance import (
    MAINTENANCE,
    FoldWhenPaid,
    Keep,
    Maintenance,
    RecompressWhenGrown,
    WriteUnlessAnchored,
    select_maintenance,
)
from impl.weights.storage import check_maintenance, out_of_range, select_storage, storage_name

#: The names of the ways.
WEIGHTS = ("eager", "lazy")

__all__ = [
    "MAINTENANCE",
    "WEIGHTS",
    "Base",
    "EagerWeights",
    "FoldWhenPaid",
    "Keep",
    "LazyWeights",
    "LowRank",
    "Maintenance",
    "RecompressWhenGrown",
    "Weights",
    "WeightsUpdate",
    "WriteUnlessAnchored",
    "check_maintenance",
    "out_of_range",
    "select_maintenance",
    "select_storage",
    "storage_name",
]
