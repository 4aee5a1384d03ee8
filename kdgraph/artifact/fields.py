"""What an artifact says of itself, as the strings of a safetensors header and back."""

import base64
import binascii
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kdgraph.artifact._json import dumps, loads_object, short
from kdgraph.codes import check_codebook_sizes

FORMAT = "kdgraph.packed"
FORMAT_VERSION = 1
MAX_CODEBOOKS = 65536

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

    def to_strings(self) -> dict[str, str]:
        """The strings of the header.

        Raises:
            ValueError: A composer's argument or user metadata that JSON cannot hold.
        """
        return {
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
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
            if key not in _KEYS:
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
        )


def encode_sizes(sizes: tuple[int, ...]) -> str:
    """Runs ``"K*count,..."``, or ``"base64:"`` and 16 bits a position where shorter.

    Example:
        >>> encode_sizes((32,) * 512)
        '32*512'
        >>> decode_sizes(encode_sizes((16, 16, 65536)))
        (16, 16, 65536)
    """
    groups = itertools.groupby(sizes)
    runs = ",".join(f"{size}*{len(list(group))}" for size, group in groups)
    binary = (np.array(sizes) - 1).astype("<u2").tobytes()
    dense = "base64:" + base64.b64encode(binary).decode("ascii")
    return min(runs, dense, key=len)


def decode_sizes(text: str) -> tuple[int, ...]:
    """The inverse of :func:`encode_sizes`.

    Raises:
        ValueError: Another form, too many positions, or sizes out of range.
    """
    if text.startswith("base64:"):
        try:
            binary = base64.b64decode(text.removeprefix("base64:"), validate=True)
            sizes = (np.frombuffer(binary, "<u2").astype(int) + 1).tolist()
        except (ValueError, binascii.Error):
            raise ValueError(
                f"its codebook_sizes are unreadable: {short(text)}"
            ) from None
        runs = [(size, 1) for size in sizes]
    else:
        if not re.fullmatch(r"([0-9]{1,6}\*[0-9]{1,6},)*[0-9]{1,6}\*[0-9]{1,6}", text):
            raise ValueError(f"its codebook_sizes are unreadable: {short(text)}")
        pairs = (run.split("*") for run in text.split(","))
        runs = [(int(size), int(count)) for size, count in pairs]
    positions = sum(count for _, count in runs)
    if positions > MAX_CODEBOOKS:
        raise ValueError(
            f"it has {positions} codebooks; at most {MAX_CODEBOOKS} are read"
        )
    return check_codebook_sizes([size for size, count in runs for _ in range(count)])


def _check_version(found: str, writer: str | None) -> None:
    if found == str(FORMAT_VERSION):
        return
    if not re.fullmatch("[0-9]{1,6}", found):
        raise ValueError(f"its format_version {short(found)} is not a number")
    newer = int(found) > FORMAT_VERSION
    remedy = "upgrade kdgraph" if newer else "export it again with this kdgraph"
    raise ValueError(
        f"it has format version {int(found)}, written by kdgraph {short(writer)}, and "
        f"this kdgraph reads version {FORMAT_VERSION}; {remedy}"
    )


def _number(strings: Mapping[str, str], key: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,17}", strings[key]):
        raise ValueError(f"its {key} {short(strings[key])} is not a positive number")
    return int(strings[key])
