"""Forward passes that prove most units inactive without reading their weights (reference/README.md, section 9).

One pass, top to bottom, is `CertifiedForward.__call__` in forward.py; that of one layer is `CertifiedLayer.forward` in
layer.py with `RestingLayer._find` in resting_layer.py, and that of one sample `_advance` in row_loops.py.
"""

from impl.certified.forward import CertifiedForward
from impl.certified.select import select_anchor_kernels
from impl.certified.self_check import CertificateError

__all__ = ["CertificateError", "CertifiedForward", "select_anchor_kernels"]
