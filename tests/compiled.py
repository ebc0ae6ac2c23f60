"""What numba compiles, and keeps on disk."""

from __future__ import annotations

from pathlib import Path

# Around the plain functions of these modules no annotation can be checked.
COMPILED = (
    "impl.kernels.loops",
    "impl.kernels.factor_loops",
    "impl.kernels.meeting_loops",
    "impl.kernels.stored",
    "impl.certified.addresses",
    "impl.certified.append_loops",
    "impl.certified.collect_loops",
    "impl.certified.combine_loops",
    "impl.certified.course_loops",
    "impl.certified.layer_table",
    "impl.certified.loops",
    "impl.certified.rescreen_loops",
    "impl.certified.rest_loops",
    "impl.certified.row_loops",
    "impl.certified.transposed_loops",
)


def forget_what_is_stale() -> None:
    """Removes what was compiled before any of these files, or of those that they are made of, changed.

    numba compiles a function anew when its own file has changed, but not for what it calls from others.
    """
    root = Path(__file__).parents[1]
    names = *COMPILED, "impl.certified.views", "impl.kernels.prefetch"
    files = [root / f"{name.replace('.', '/')}.py" for name in names]
    newest = max(file.stat().st_mtime for file in files)
    for folder in {file.parent / "__pycache__" for file in files}:
        for kept in folder.glob("*.nb[ic]"):
            if kept.stat().st_mtime < newest:
                kept.unlink(missing_ok=True)
