"""Frozen encoders by node type, as a folder of one file for each."""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kdgraph.encoder import Encoder
from kdgraph.nn.table import TableEncoder
from kdgraph.packed import PackedEmbedding

_INDEX = "types.json"
_VERSION = 1
_CODES, _TABLE = ".kdg.safetensors", ".table.safetensors"


def write_types(path: str | os.PathLike[str], encoders: Mapping[str, Encoder]) -> None:
    """Write encoders to a folder, all of it or nothing.

    Args:
        path: The folder; it appears, or replaces an older one, when complete.
        encoders: Frozen ones, by node type.

    Raises:
        TypeError: An encoder of neither codes nor a table of vectors.
        ValueError: A path with something else on it.
        OSError: The folder cannot be written.
    """
    target = Path(path)
    if target.exists() and not (target / _INDEX).is_file():
        raise ValueError(
            f"{target} exists and is no folder of a HeteroEncoder; give another path"
        )
    tables = {
        node_type: _table(node_type, encoder)
        for node_type, encoder in encoders.items()
        if not isinstance(encoder, PackedEmbedding)
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        files = {}
        for number, (node_type, encoder) in enumerate(encoders.items()):
            if isinstance(encoder, PackedEmbedding):
                files[node_type] = f"{number}{_CODES}"
                encoder.save(temporary / files[node_type])
            else:
                files[node_type] = f"{number}{_TABLE}"
                save_file({"table": tables[node_type]}, temporary / files[node_type])
        index = {"version": _VERSION, "types": files}
        (temporary / _INDEX).write_text(json.dumps(index), encoding="utf-8")
        if target.exists():
            older = temporary.with_suffix(".old")
            target.rename(older)
            temporary.rename(target)
            shutil.rmtree(older)
        else:
            temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_types(
    path: str | os.PathLike[str], *, verify: bool = True
) -> dict[str, Encoder]:
    """Read what :func:`write_types` wrote.

    Args:
        path: The folder.
        verify: See :meth:`kdgraph.PackedEmbedding.load`. (default: ``True``)

    Raises:
        ValueError: Not such a folder, or a file that is damaged.
    """
    folder = Path(path)
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        version, files = index["version"], dict(index["types"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder} is no folder of a HeteroEncoder: it has no readable {_INDEX}"
        ) from error
    if version != _VERSION:
        raise ValueError(
            f"{folder} has version {version!r} of the folder, and this kdgraph reads "
            f"{_VERSION}; update kdgraph"
        )
    encoders: dict[str, Encoder] = {}
    for node_type, name in files.items():
        file = folder / Path(str(name)).name
        if file.name.endswith(_CODES):
            encoders[node_type] = PackedEmbedding.load(file, verify=verify)
            continue
        try:
            table = load_file(file)["table"]
            rows, width = table.shape
            embedding = nn.Embedding(rows, width, _weight=table, _freeze=True)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise ValueError(f"{file} is no table of vectors: {error}") from error
        encoders[node_type] = TableEncoder(embedding).eval()
    return encoders


def _table(node_type: str, encoder: Encoder) -> Tensor:
    """The vectors of an encoder that stores nothing else."""
    stored = list(encoder.stored_tensors().values())
    shape = torch.Size((encoder.num_nodes, encoder.embedding_dim))
    if len(stored) != 1 or stored[0].shape != shape:
        raise TypeError(
            "HeteroEncoder saves codes and tables of vectors, got a "
            f"{type(encoder).__name__} for node type {node_type!r}"
        )
    return stored[0].detach().cpu().contiguous()
