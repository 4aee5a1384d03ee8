"""Artifact: a file of codes, looked at before it is believed."""

import hashlib
import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any

import torch
from torch import Tensor

from kdgraph.artifact._file import map_bytes, opened, read_exactly
from kdgraph.artifact.contents import (
    BOUNDARIES,
    CODES,
    GNN_PREFIX,
    PLACES,
    ROWS,
    check_contents,
    part,
)
from kdgraph.artifact.fields import Fields
from kdgraph.artifact.layout import Layout, TensorEntry
from kdgraph.artifact.rebuild import PREFIX, rebuild_composer
from kdgraph.artifact.verify import (
    CHUNK_BYTES,
    check_codes,
    check_finite,
    unsigned,
)
from kdgraph.codes import CodeTable, PlaceMap, Prefix
from kdgraph.composers import Composer

LACKS_MAP = (
    "its codes are implied by an order of the nodes, and it does not hold the map from "
    "the ids of the graph to places in that order, so it takes places for ids; export "
    "it again from its run folder with 'kdgraph export' to have the map in the file"
)
"""What is said of a file of version 1 that leaves the order out."""


@dataclass(frozen=True, eq=False)
class Artifact:
    r"""What a file holds, and how many bytes each part of it takes.

    ``file_bytes`` is ``header_bytes + codes_bytes + map_bytes + composer_bytes +
    gnn_bytes``, without padding: for the codes
    :math:`N \lceil \sum_j \lceil \log_2 K_j \rceil / 8 \rceil`, for a map from ids to
    places :math:`\lceil N \lceil \log_2 N \rceil / 8 \rceil`, the tensors as they are,
    and a header of 1-2 kB (80 bytes a tensor, 3 bytes a position where all alphabets
    differ). Only a map of version 1 takes more in the file than in memory.

    Args:
        path: Where it was read from.
        kdgraph_version: Which kdgraph wrote it.
        table: The packed codes, mapped from the file: pages are read when used.
        composer: The composer, frozen.
        gnn: Weights stored beside the encoder, ready for ``load_state_dict``.
        metadata: What the user stored, such as how to build that model.
        tensors: Element type and shape of everything stored, by name.
        header_bytes: Bytes before the tensors.
        version: Of the format.
    """

    path: str
    kdgraph_version: str
    table: CodeTable
    composer: Composer
    gnn: dict[str, Tensor] = field(repr=False)
    metadata: dict[str, Any]
    tensors: dict[str, tuple[torch.dtype, tuple[int, ...]]]
    header_bytes: int
    version: int

    @property
    def num_nodes(self) -> int:
        """Number of nodes N."""
        return self.table.num_nodes

    @property
    def embedding_dim(self) -> int:
        """Width of a vector C."""
        return self.composer.embedding_dim

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """The alphabet of each position, ``(K_1, ..., K_D)``."""
        return self.table.codebook_sizes

    @property
    def composer_config(self) -> dict[str, Any]:
        """Class name and constructor arguments of the composer."""
        return {"name": type(self.composer).__name__, "config": self.composer.config}

    @property
    def codes_bytes(self) -> int:
        """Bytes of the packed codes, and the boundaries of a prefix."""
        return self.table.nbytes - self.map_bytes

    @property
    def map_bytes(self) -> int:
        """Bytes of the map from the ids of the graph to places; 0 without one."""
        return 0 if self.table.prefix is None else self.table.prefix.map_bytes

    @property
    def lacks_map(self) -> bool:
        """Whether it is not known if its ids are those of the graph.

        Files of version 1 keep codes that an order of the nodes implies, and may leave
        out the order.
        """
        without = BOUNDARIES in self.tensors and ROWS not in self.tensors
        return self.version == 1 and without

    def warn_if_it_lacks_a_map(self) -> None:
        """Say so where it is not known if ids are those of the graph."""
        if self.lacks_map:
            warnings.warn(f"{self.path}: {LACKS_MAP}", UserWarning, stacklevel=3)

    @property
    def composer_bytes(self) -> int:
        """Bytes of the codebooks and whatever follows them."""
        return self.composer.stored_bytes()

    @property
    def gnn_bytes(self) -> int:
        """Bytes of the weights stored beside."""
        return sum(value.numel() * value.element_size() for value in self.gnn.values())

    @property
    def inference_bytes(self) -> int:
        """Bytes of the encoder, which are those of codes, map and composer."""
        return self.codes_bytes + self.map_bytes + self.composer_bytes

    @property
    def file_bytes(self) -> int:
        """Bytes of the whole file."""
        stored = self.tensors.values()
        return self.header_bytes + sum(
            math.prod(shape) * dtype.itemsize for dtype, shape in stored
        )


def read_artifact(path: str | os.PathLike[str], *, verify: bool = True) -> Artifact:
    """Open an artifact: check it, read what is small, map the codes.

    Header, lengths, element types, shapes and the checksum of everything but the codes
    are checked always.

    The file may be replaced by renaming another over it while its codes are in use, as
    :meth:`kdgraph.PackedEmbedding.save` does. Overwriting or truncating it in place
    changes or breaks the codes, as with any mapped file.

    Args:
        path: The file.
        verify: Also read all codes once, in pieces, to check their checksum and that
            none is above its alphabet. Without it codes above their alphabet would read
            codewords of another position. (default: ``True``)

    Raises:
        ValueError: Not a file, not readable, or not a sound artifact; one sentence
            names the file and what is wrong.

    Example:
        >>> import os, tempfile
        >>> from kdgraph import KDEmbedding
        >>> encoder = KDEmbedding(1000, 64, num_codebooks=16, codebook_size=32).export()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.kdg.safetensors")
        ...     encoder.save(path, metadata={"layers": 2})
        ...     artifact = read_artifact(path)
        >>> artifact.metadata, artifact.codes_bytes, artifact.composer_bytes
        ({'layers': 2}, 10000, 8192)
    """
    name = os.fspath(path)
    with opened(name) as (file, file_bytes):
        layout = Layout.read(file, file_bytes)
        fields = Fields.from_strings(layout.metadata)
        check_contents(fields, layout.tensors)
        tensors = _read_checked(file, layout, fields)
        composer = part(tensors, PREFIX)
        check_finite(composer)
        codes = layout.tensors[CODES]
        start = len(layout.header) + codes.begin
        if verify:
            chunks = _chunks(file, start, codes.shape)
            check_codes(chunks, fields.packed_sizes, fields.sha256_codes)
        packed = torch.empty(codes.shape, dtype=torch.uint8)
        if codes.nbytes:
            packed = map_bytes(file, start, codes.nbytes).view(codes.shape)
        table = CodeTable(packed, fields.codebook_sizes, _prefix(fields, tensors))
        if ROWS in tensors:
            table = table.reordered(tensors[ROWS])
        return Artifact(
            path=name,
            kdgraph_version=fields.kdgraph_version,
            table=table,
            composer=rebuild_composer(fields, composer),
            gnn=part(tensors, GNN_PREFIX),
            metadata=fields.user,
            tensors={
                key: (item.dtype, item.shape) for key, item in layout.tensors.items()
            },
            header_bytes=len(layout.header),
            version=fields.version,
        )


def _prefix(fields: Fields, tensors: dict[str, Tensor]) -> Prefix | None:
    """What implies the first positions, checked."""
    if not fields.branching:
        return None
    places = None
    if PLACES in tensors:
        places = PlaceMap(tensors[PLACES], fields.num_nodes)
        places.check()
    return Prefix(tensors[BOUNDARIES], fields.branching, fields.kind, places)


def _read_checked(
    file: BufferedReader, layout: Layout, fields: Fields
) -> dict[str, Tensor]:
    """Read all tensors but the codes, and compare the checksum."""
    digest = hashlib.sha256(unsigned(layout.header, fields.sha256))
    tensors = {}
    for name, entry in layout.tensors.items():
        if name == CODES:
            continue
        file.seek(len(layout.header) + entry.begin)
        content = read_exactly(file, entry.nbytes)
        digest.update(content)
        tensors[name] = _tensor(content, entry)
    if digest.hexdigest() != fields.sha256:
        raise ValueError("its checksum does not match: the file is damaged")
    return tensors


def _tensor(content: bytearray, entry: TensorEntry) -> Tensor:
    if not content:
        return torch.empty(entry.shape, dtype=entry.dtype)
    if entry.dtype == torch.bool:
        # A byte other than 0 and 1 is no bool.
        return torch.frombuffer(content, dtype=torch.uint8).bool().reshape(entry.shape)
    return torch.frombuffer(content, dtype=entry.dtype).reshape(entry.shape)


def _chunks(
    file: BufferedReader, start: int, shape: tuple[int, ...]
) -> Iterator[tuple[int, Tensor]]:
    """Rows in order, through a buffer, as pages of the map would stay in memory."""
    num_nodes, width = shape
    file.seek(start)
    if width == 0:
        return
    rows = max(1, CHUNK_BYTES // width)
    for first in range(0, num_nodes, rows):
        content = read_exactly(file, min(rows, num_nodes - first) * width)
        yield first, torch.frombuffer(content, dtype=torch.uint8).view(-1, width)
