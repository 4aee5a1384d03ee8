"""What an artifact says of itself, as the strings of a safetensors header and back."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch

from kdgraph.artifact._json import dumps, loads_object, short
from kdgraph.artifact._sizes import decode_sizes, encode_sizes
from kdgraph.codes.prefix import KINDS, Kind, prefix_sizes

FORMAT = "kdgraph.packed"
FORMAT_VERSION = 2
"""Of files whose codes are implied by an order. Others are of version 1, as ever."""

_KEYS = (
    "format",
    "format_version",
    "kdgraph_version",
    "num_nodes",
    "embedding_dim",
    "num_codebooks",
    "codebook_sizes",
    "composer",
    "user",
    "sha256_codes",
    "sha256",
)
_OPTIONAL_KEYS = ("dtype", "prefix")
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
}


@dataclass(frozen=True)
class Fields:
    """The metadata of an artifact.

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        codebook_sizes: The alphabet of each position.
        composer: Class name of the composer.
        config: Its constructor arguments.
        user: What the user stored beside.
        sha256_codes: Checksum of the packed codes.
        sha256: Checksum of all the rest; zeros while it is computed.
        kdgraph_version: Who wrote the file.
        dtype: The type that vectors are computed in, where codebooks are rounded; else
            ``None``, as it is the type of the codebooks.
        branching: Children per cluster of a prefix; none without a prefix.
        kind: Kind of the prefix.
        version: Of the format. From 2 on a prefix comes with the map from ids to places
            unless ids are places; before, whether they are is not known.
    """

    num_nodes: int
    embedding_dim: int
    codebook_sizes: tuple[int, ...]
    composer: str
    config: dict[str, Any]
    user: dict[str, Any]
    sha256_codes: str
    sha256: str
    kdgraph_version: str
    dtype: torch.dtype | None = None
    branching: tuple[int, ...] = ()
    kind: Kind = "levels"
    version: int = 1

    @property
    def packed_sizes(self) -> tuple[int, ...]:
        """The alphabets of the positions that are packed."""
        return self.codebook_sizes[len(self.branching) :]

    def to_strings(self) -> dict[str, str]:
        """The strings of the header.

        Raises:
            ValueError: A composer's argument or user metadata that JSON cannot hold.
        """
        strings = {
            "format": FORMAT,
            "format_version": str(self.version),
            "kdgraph_version": self.kdgraph_version,
            "num_nodes": str(self.num_nodes),
            "embedding_dim": str(self.embedding_dim),
            "num_codebooks": str(len(self.codebook_sizes)),
            "codebook_sizes": encode_sizes(self.codebook_sizes),
            "composer": dumps({"name": self.composer, "config": self.config}),
            "user": dumps(self.user),
            "sha256_codes": self.sha256_codes,
            "sha256": self.sha256,
        }
        if self.dtype is not None:
            strings["dtype"] = str(self.dtype).removeprefix("torch.")
        if self.branching:
            strings["prefix"] = dumps({"kind": self.kind, "branching": self.branching})
        return strings

    @classmethod
    def from_strings(cls, strings: Mapping[str, str]) -> "Fields":
        """Read and check the strings of a header.

        Raises:
            ValueError: Another format or version, or a key missing, unknown or wrong.
        """
        if strings.get("format") != FORMAT:
            raise ValueError(
                f"its format is {short(strings.get('format'))}, expected {FORMAT!r}"
            )
        if "format_version" in strings:
            # Another version may have other keys.
            _check_version(strings["format_version"], strings.get("kdgraph_version"))
        for key in _KEYS:
            if key not in strings:
                raise ValueError(f"its metadata lacks {key!r}")
        for key in strings:
            if key not in _KEYS + _OPTIONAL_KEYS:
                raise ValueError(f"its metadata has an unknown key {short(key)}")
        for key in ("sha256_codes", "sha256"):
            if not re.fullmatch("[0-9a-f]{64}", strings[key]):
                raise ValueError(f"its {key} is not a SHA-256 in hexadecimal")
        sizes = decode_sizes(strings["codebook_sizes"])
        if _number(strings, "num_codebooks") != len(sizes):
            raise ValueError(
                f"its num_codebooks is {strings['num_codebooks']}, but it has "
                f"{len(sizes)} codebook_sizes"
            )
        branching, kind = _prefix(strings.get("prefix"), sizes)
        composer = loads_object(strings["composer"], "its composer")
        name, config = composer.get("name"), composer.get("config")
        if (
            len(composer) != 2
            or not isinstance(name, str)
            or not isinstance(config, dict)
        ):
            raise ValueError("its composer is not a name and a config")
        return cls(
            num_nodes=_number(strings, "num_nodes"),
            embedding_dim=_number(strings, "embedding_dim"),
            codebook_sizes=sizes,
            composer=name,
            config=config,
            user=loads_object(strings["user"], "its user metadata"),
            sha256_codes=strings["sha256_codes"],
            sha256=strings["sha256"],
            kdgraph_version=strings["kdgraph_version"],
            dtype=_dtype(strings.get("dtype")),
            branching=branching,
            kind=kind,
            version=int(strings["format_version"]),
        )


def _check_version(found: str, writer: str | None) -> None:
    if not re.fullmatch("[0-9]{1,6}", found):
        raise ValueError(f"its format_version {short(found)} is not a number")
    if 1 <= int(found) <= FORMAT_VERSION:
        return
    newer = int(found) > FORMAT_VERSION
    remedy = "upgrade kdgraph" if newer else "export it again with this kdgraph"
    raise ValueError(
        f"it has format version {int(found)}, written by kdgraph {short(writer)}, and "
        f"this kdgraph reads versions 1 to {FORMAT_VERSION}; {remedy}"
    )


def _dtype(name: str | None) -> torch.dtype | None:
    if name is None:
        return None
    if name not in _DTYPES:
        raise ValueError(
            f"its dtype is {short(name)}, expected one of {sorted(_DTYPES)}"
        )
    return _DTYPES[name]


def _prefix(text: str | None, sizes: tuple[int, ...]) -> tuple[tuple[int, ...], Kind]:
    if text is None:
        return (), "levels"
    prefix = loads_object(text, "its prefix")
    kind, branching = prefix.get("kind"), prefix.get("branching")
    sound = (
        len(prefix) == 2
        and kind in KINDS
        and isinstance(branching, list)
        and 0 < len(branching) <= len(sizes)
        and all(type(child) is int and 2 <= child <= max(sizes) for child in branching)
    )
    if not sound:
        raise ValueError(f"its prefix is not a kind and a branching: {short(text)}")
    children = tuple(cast("list[int]", branching))
    kind = cast("Kind", kind)
    if prefix_sizes(children, kind) != sizes[: len(children)]:
        raise ValueError(
            f"its prefix {short(text)} does not tell the first of its codebook_sizes"
        )
    return children, kind


def _number(strings: Mapping[str, str], key: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,17}", strings[key]):
        raise ValueError(f"its {key} {short(strings[key])} is not a positive number")
    return int(strings[key])
