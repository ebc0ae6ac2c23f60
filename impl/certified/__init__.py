"""Forward passes that prove most units inactive without reading their weights (reference/README.md, section 9).

One pass, top to bottom, is `CertifiedForward.__call__` in forward.py. Where kernels are compiled, samples take a course
through all layers: `Course.run` in course.py, and for one sample `course` in course_loops.py with `advance` in
row_loops.py, its pass through a layer. Elsewhere it goes layer by layer: `ScreenedLayer.forward` in screened_layer.py.
"""

from impl.certified.forward import CertifiedForward
from impl.certified.select import select_anchor_kernels
from impl.certified.self_check import CertificateError

__all__ = ["CertificateError", "CertifiedForward", "select_anchor_kernels"]
