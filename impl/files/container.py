"""The container of base and delta files: safetensors, named arrays after a header in JSON.

Written here and not by the library, which orders the metadata at random: the same contents are the same bytes, and so
have the same hash. Read by the library, which maps the file and checks that the header describes exactly its bytes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from impl.files.atomic import write_atomically
from reference.contract import ArgumentError

SCHEMA_VERSION = "1"

# The types that the files may hold, by their names there.
DTYPES = ("F32", "F64", "I32", "BF16")

# NumPy has no bfloat16: arrays in it are handed over by their bits.
_NAMES = {
    np.dtype(np.float32): "F32",
    np.dtype(np.float64): "F64",
    np.dtype(np.int32): "I32",
    np.dtype(np.uint16): "BF16",
}

# Of the header with its length, so that the arrays begin where a cache line does.
_ALIGNMENT = 64


def write_container(path: Path, metadata: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a file, atomically (see write_atomically).

    Args:
        path: Of the file.
        metadata: Text by name.
        arrays: In the order in which they come in the file; one that is not C-contiguous is copied, one at a time. One
            in uint16 has the bits of bfloat16.

    Raises:
        ArgumentError: where it cannot be written.
    """
    try:
        write_atomically(path, _parts(metadata, arrays))
    except (OSError, UnicodeEncodeError) as error:
        raise ArgumentError("path", "a file that can be written", f"{str(path)!r} ({error})") from None


@dataclass(frozen=True, eq=False)
class Container:
    """A file that was read.

    Attributes:
        argument: The argument that named the file, for messages.
        path: Of the file.
        metadata: Text by name.
        tensors: By name, on private mappings of the file: what is written to them never reaches it.
    """

    argument: str
    path: Path
    metadata: dict[str, str]
    tensors: dict[str, torch.Tensor]

    @classmethod
    def read(cls, argument: str, path: Path, form: str, dtypes: Collection[str] = DTYPES) -> Container:
        """Maps a file.

        Args:
            argument: The argument that named it.
            path: Of the file.
            form: The format that its metadata must name.
            dtypes: That arrays of the format may have.

        Raises:
            ArgumentError: for a file that cannot be read, is damaged, or has another format.
        """
        from safetensors import SafetensorError, safe_open  # only files need it: networks train without

        expected = f"a file in the format {form!r}, version {SCHEMA_VERSION}"
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                found = (metadata.get("format"), metadata.get("version"))
                if found != (form, SCHEMA_VERSION):
                    raise ArgumentError(argument, expected, f"format {found[0]!r}, version {found[1]!r} in {path}")
                names = list(file.keys())
                for name in names:
                    dtype = file.get_slice(name).get_dtype()
                    if dtype not in dtypes:
                        raise ArgumentError(
                            argument, f"arrays in {', '.join(dtypes)}", f"{name!r} in {dtype} in {path}"
                        )
                tensors = {name: file.get_tensor(name) for name in names}
        except (SafetensorError, OSError, RuntimeError) as error:
            raise ArgumentError(argument, expected, f"{str(path)!r} ({error})") from None
        return cls(argument, path, metadata, tensors)

    def copied(self) -> Container:
        """The same in memory."""
        return replace(self, tensors={name: tensor.clone() for name, tensor in self.tensors.items()})

    def text(self, name: str) -> str:
        """Metadata. Raises ArgumentError where there are none of that name."""
        if name not in self.metadata:
            raise self.refusal(f"metadata {name!r}", "none")
        return self.metadata[name]

    def tensor(self, name: str, dtype: torch.dtype, shape: tuple[int | None, ...]) -> torch.Tensor:
        """The tensor of a name. Raises ArgumentError for another dtype or shape; None stands for any length."""
        tensor = self.tensors.get(name)
        wanted = "(" + ", ".join("any" if length is None else str(length) for length in shape) + ")"
        expected = f"{name!r} of shape {wanted} in {dtype}"
        if tensor is None:
            raise self.refusal(expected, "none")
        fits = tensor.ndim == len(shape) and all(
            want is None or length == want for length, want in zip(tensor.shape, shape, strict=True)
        )
        if not fits or tensor.dtype != dtype:
            raise self.refusal(expected, f"shape {tuple(tensor.shape)} in {tensor.dtype}")
        return tensor

    def finite(self, name: str, dtype: torch.dtype, shape: tuple[int | None, ...]) -> torch.Tensor:
        """The tensor of a name. Raises ArgumentError also for values that are not finite."""
        tensor = self.tensor(name, dtype, shape)
        if not torch.isfinite(tensor).all():
            raise self.refusal(f"finite values in {name!r}", "others")
        return tensor

    def check_names(self, expected: set[str]) -> None:
        """Raises ArgumentError where the tensors have other names."""
        missing, unknown = sorted(expected - self.tensors.keys()), sorted(self.tensors.keys() - expected)
        if missing or unknown:
            raise self.refusal("the arrays of its format", f"{missing!r:.200} missing and {unknown!r:.200} unknown")

    def refusal(self, expected: str, got: str) -> ArgumentError:
        """The error that says what is wrong with the file."""
        return ArgumentError(self.argument, f"a file with {expected}", f"{got} in {str(self.path)!r}")


def _parts(metadata: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> Iterator[bytes | memoryview]:
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    length = -(8 + len(text)) % _ALIGNMENT + len(text)
    yield length.to_bytes(8, "little") + text.ljust(length)
    for array in arrays.values():
        yield np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).data
