"""Networks in files: a base that is mapped and never written, and the deltas of its fine-tunings."""

from impl.files.base_file import Origin, write_base
from impl.files.delta_file import load_delta, save_delta
from impl.files.fine_tuning import open_base

__all__ = ["Origin", "load_delta", "open_base", "save_delta", "write_base"]
