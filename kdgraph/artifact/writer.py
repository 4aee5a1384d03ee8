"""Writing an artifact: all of it or nothing."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import torch
from torch import Tensor, nn

from kdgraph.artifact._json import short
from kdgraph.artifact._target import check_target, naming
from kdgraph.artifact.contents import (
    BOUNDARIES,
    CODES,
    GNN_PREFIX,
    PLACES,
    check_contents,
)
from kdgraph.artifact.fields import FORMAT_VERSION, Fields
from kdgraph.artifact.layout import Layout
from kdgraph.artifact.rebuild import PREFIX
from kdgraph.artifact.verify import (
    CHUNK_BYTES,
    UNSIGNED,
    check_codes,
    check_finite,
    signed,
)
from kdgraph.atomic import replacing
from kdgraph.codes import CodeTable
from kdgraph.composers import COMPOSERS, Composer
from kdgraph.version import __version__


def write_artifact(
    path: str | os.PathLike[str],
    table: CodeTable,
    composer: Composer,
    *,
    gnn: Mapping[str, Tensor] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write codes, a composer and what belongs to them to one safetensors file.

    Everything that reading refuses is refused here first, so a file that was written
    can be read. See :meth:`kdgraph.PackedEmbedding.save`.

    Args:
        path: The file; it appears, or replaces an older one, only when complete.
        table: The packed codes.
        composer: A bound composer.
        gnn: Weights to keep beside, such as a model's ``state_dict()``.
        metadata: JSON values to keep beside.

    Raises:
        TypeError: Weights that are not tensors by name, metadata that is no mapping.
        ValueError: Content that a file cannot keep: a composer of another package,
            codes above their alphabet, values that are not finite.
        OSError: The file cannot be written.
    """
    name = os.fspath(path)
    with naming(name):
        target = check_target(name)
        fields, tensors = _contents(table, composer, gnn, metadata)
        shapes = {key: (item.dtype, tuple(item.shape)) for key, item in tensors.items()}
        layout = Layout.build(shapes, fields.to_strings())
        _proofread(layout)
        digest = hashlib.sha256(layout.header)
        for key in layout.tensors:
            if key != CODES:
                digest.update(_bytes(tensors[key]))
        with replacing(target) as file:
            file.write(signed(layout.header, UNSIGNED, digest.hexdigest()))
            for key in layout.tensors:
                if key != CODES:
                    file.write(_bytes(tensors[key]))
                    continue
                for _, part in _chunks(table):
                    file.write(_bytes(part))


def _contents(
    table: CodeTable,
    composer: Composer,
    gnn: Mapping[str, Tensor] | None,
    metadata: Mapping[str, Any] | None,
) -> tuple[Fields, dict[str, Tensor]]:
    """All that the file will hold, its codes and numbers checked."""
    name = type(composer).__name__
    if type(composer) not in COMPOSERS:
        raise ValueError(
            f"its composer is a {name}; artifacts hold one of "
            f"{[cls.__name__ for cls in COMPOSERS]}"
        )
    tensors = {PREFIX + key: item for key, item in composer.stored_tensors().items()}
    check_finite(tensors)
    tensors.update(_gnn_tensors(gnn))
    tensors[CODES] = table.packed
    prefix = table.prefix
    if prefix is not None:
        tensors[BOUNDARIES] = prefix.boundaries
        if prefix.places is not None:
            tensors[PLACES] = prefix.places.packed
    fields = Fields(
        num_nodes=table.num_nodes,
        embedding_dim=composer.embedding_dim,
        codebook_sizes=table.codebook_sizes,
        composer=name,
        config=composer.stored_config,
        user=_user_metadata(metadata),
        sha256_codes=check_codes(_chunks(table), table.packed_sizes, None),
        sha256=UNSIGNED,
        kdgraph_version=__version__,
        dtype=None if composer.storage is None else composer.weight.dtype,
        branching=() if prefix is None else prefix.branching,
        kind="levels" if prefix is None else prefix.kind,
        version=1 if prefix is None else FORMAT_VERSION,
    )
    return fields, tensors


def _proofread(layout: Layout) -> None:
    """Refuse to write what reading would refuse."""
    end = len(layout.header) + sum(entry.nbytes for entry in layout.tensors.values())
    written = Layout.read(BytesIO(layout.header), end)
    check_contents(Fields.from_strings(written.metadata), written.tensors)


def _gnn_tensors(gnn: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    tensors = {}
    for key, item in (gnn or {}).items():
        if not isinstance(key, str) or not isinstance(item, Tensor):
            raise TypeError(
                "save() expects gnn as tensors by name, such as model.state_dict(), "
                f"got {short(key)}: {type(item).__name__}"
            )
        lazy = nn.parameter.is_lazy(item)
        if lazy or item.layout != torch.strided or item.is_quantized or item.is_meta:
            raise ValueError(
                f"the weight {short(key)} is not a dense tensor with values"
            )
        if not _is_unicode(key):
            raise ValueError(f"the weight {short(key)} has a name that is not Unicode")
        tensors[GNN_PREFIX + key] = item
    return tensors


def _user_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    if metadata is None:
        return {}
    named = isinstance(metadata, Mapping) and all(
        isinstance(key, str) for key in metadata
    )
    if not named:
        raise TypeError(
            "save() expects metadata as JSON values by name, got "
            f"{type(metadata).__name__}: {short(metadata)}"
        )
    return dict(metadata)


def _chunks(table: CodeTable) -> Iterator[tuple[int, Tensor]]:
    """First node and rows, on the CPU."""
    packed = table.packed
    if packed.size(1) == 0:
        return
    rows = max(1, CHUNK_BYTES // packed.size(1))
    for first in range(0, packed.size(0), rows):
        yield first, packed[first : first + rows].cpu().contiguous()


def _bytes(tensor: Tensor) -> memoryview:
    """The elements as they lie in memory."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    content: memoryview = flat.view(torch.uint8).numpy().data
    return content


def _is_unicode(name: str) -> bool:
    """Whether a name has no lone surrogates, which other readers refuse."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
