"""The layout of a safetensors file: which tensor lies where, read with suspicion."""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Any

import torch

from kdgraph.artifact._json import dumps, loads_object, short

DTYPES = {
    "F64": torch.float64,
    "I64": torch.int64,
    "F32": torch.float32,
    "I32": torch.int32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""The element types an artifact may hold, by their names in the file."""

MAX_HEADER_BYTES = 1 << 20
"""More than any artifact needs; keeps a lying length from being allocated."""

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class TensorEntry:
    """What the header says of one tensor.

    Args:
        dtype: Its element type.
        shape: Its sizes.
        begin: Its first byte, counted from the end of the header.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class Layout:
    """A header that was checked against the length of its file.

    Args:
        header: Its bytes as they stand at the start of the file, length included.
        tensors: The tensors in the order of the file; they fill it without holes.
        metadata: The free-form part.
    """

    header: bytes
    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]

    @classmethod
    def build(
        cls,
        tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]]],
        metadata: Mapping[str, str],
    ) -> "Layout":
        """Lay tensors out one after the other, wide elements first, so all are aligned.

        Raises:
            ValueError: An element type without a name, or a header too long.
        """
        placed: dict[str, TensorEntry] = {}
        header: dict[str, Any] = {"__metadata__": dict(metadata)}
        end = 0
        for name in sorted(
            tensors, key=lambda name: (-tensors[name][0].itemsize, name)
        ):
            dtype, shape = tensors[name]
            if dtype not in _NAMES:
                raise ValueError(
                    f"tensor {short(name)} has {dtype}, which is not stored"
                )
            placed[name] = entry = TensorEntry(dtype, shape, end)
            end += entry.nbytes
            header[name] = {
                "dtype": _NAMES[dtype],
                "shape": list(shape),
                "data_offsets": [entry.begin, end],
            }
        text = dumps(header)
        text += " " * (-len(text) % 8)
        if len(text) > MAX_HEADER_BYTES:
            raise ValueError(
                f"names and metadata take {len(text)} bytes, more than the "
                f"{MAX_HEADER_BYTES} of a header; store less metadata"
            )
        return cls(_LENGTH.pack(len(text)) + text.encode("ascii"), placed, metadata)

    @classmethod
    def read(cls, file: BufferedIOBase, file_bytes: int) -> "Layout":
        """Read and check the header at the start of a file.

        Raises:
            ValueError: Whatever is wrong with it.
        """
        start = file.read(_LENGTH.size)
        if len(start) < _LENGTH.size:
            raise ValueError(f"it ends after {len(start)} bytes, before a header")
        (length,) = _LENGTH.unpack(start)
        if length > MAX_HEADER_BYTES or length > file_bytes - _LENGTH.size:
            raise ValueError(
                f"it announces a header of {length} bytes, but has {file_bytes} bytes "
                "in all: truncated, or not a safetensors file"
            )
        text = file.read(length)
        try:
            content = loads_object(text.decode("utf-8"), "its header")
        except UnicodeDecodeError:
            raise ValueError("its header is not UTF-8") from None
        metadata = content.pop("__metadata__", None)
        if not _is_text_map(metadata):
            raise ValueError("its header has no __metadata__ of strings")
        tensors = _contiguous(content, file_bytes - _LENGTH.size - length)
        return cls(start + text, tensors, metadata)


def _contiguous(content: dict[str, Any], data_bytes: int) -> dict[str, TensorEntry]:
    """Check that tensors follow each other and end with the file."""
    spans = [(name, *_entry(name, fields)) for name, fields in content.items()]
    spans.sort(key=lambda span: (span[1].begin, span[2]))
    position = 0
    for name, entry, end in spans:
        if end - entry.begin != entry.nbytes:
            raise ValueError(
                f"tensor {short(name)} has offsets for {end - entry.begin} bytes and a "
                f"shape for {entry.nbytes}"
            )
        if entry.begin != position:
            fault = "overlaps another" if entry.begin < position else "leaves a hole"
            raise ValueError(f"tensor {short(name)} {fault} at byte {entry.begin}")
        position = end
    if position != data_bytes:
        raise ValueError(
            f"its tensors take {position} bytes, but {data_bytes} follow the header: "
            "truncated, or something was appended"
        )
    return {name: entry for name, entry, _ in spans}


def _entry(name: str, fields: Any) -> tuple[TensorEntry, int]:
    if not isinstance(fields, dict) or fields.keys() != {
        "dtype",
        "shape",
        "data_offsets",
    }:
        raise ValueError(f"tensor {short(name)} lacks dtype, shape or data_offsets")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"tensor {short(name)} has an unknown dtype {short(dtype)}")
    if not _are_sizes(shape) or len(shape) > 8:
        raise ValueError(f"tensor {short(name)} has no valid shape: {short(shape)}")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"tensor {short(name)} has no valid offsets: {short(offsets)}")
    return TensorEntry(DTYPES[dtype], tuple(shape), offsets[0]), offsets[1]


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(
        type(size) is int and 0 <= size < 1 << 63 for size in value
    )


def _is_text_map(value: Any) -> bool:
    # JSON keys are strings already.
    return isinstance(value, dict) and all(
        isinstance(item, str) for item in value.values()
    )
