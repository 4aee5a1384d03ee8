"""CodeFile: codes read off a graph, kept in a run folder until they are trained."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdgraph.artifact._file import opened, read_exactly
from kdgraph.artifact.layout import Layout
from kdgraph.artifact.verify import UNSIGNED, signed, unsigned
from kdgraph.atomic import replacing
from kdgraph.codes import CodeTable, Order, Prefix
from kdgraph.ops import inverse_order

_FORMAT, _OLD_FORMAT = "kdgraph codes 2", "kdgraph codes 1"
"""Codes by the ids of the graph; those of old files come in the order of ``rows``."""
_CODES, _BOUNDARIES, _ROWS = "codes", "boundaries", "rows"


class CodeFile:
    """The codes of one seed as a safetensors file that proves to be whole.

    Reading codes off a large graph takes many minutes, so a run that was killed reads
    them here. The file holds the packed bytes, the boundaries of a prefix and the node
    at each place of its order where there are any, and in its metadata the alphabets,
    what was read with which seed, the seconds it took, and checksums.

    Args:
        path: The file.
        recipe: What is read off the graph, as :class:`CodeRecipe` writes it.
        seed: With which seed.
    """

    def __init__(self, path: Path, recipe: str, seed: int) -> None:
        self.path = path
        self.recipe = recipe
        self.seed = seed

    def save(self, order: Order, seconds: float) -> None:
        """Write the codes, and the seconds that reading them took.

        Raises:
            OSError: The file cannot be written.
        """
        table = order.codes
        tensors, prefix = {_CODES: table.packed}, table.prefix
        if prefix is not None:
            tensors[_BOUNDARIES] = prefix.boundaries
        if order.rows is not None:
            tensors[_ROWS] = order.rows
        said = {
            "recipe": self.recipe,
            "seed": self.seed,
            "codebook_sizes": table.codebook_sizes,
            "prefix": prefix and {"branching": prefix.branching, "kind": prefix.kind},
            "coding_seconds": seconds,
        }
        layout = Layout.build(
            {name: (item.dtype, tuple(item.shape)) for name, item in tensors.items()},
            {
                "format": _FORMAT,
                "content": json.dumps(said),
                "sha256_codes": hashlib.sha256(_bytes(table.packed)).hexdigest(),
                "sha256": UNSIGNED,
            },
        )
        digest = hashlib.sha256(layout.header)
        for name in layout.tensors:
            digest.update(_bytes(tensors[name]))
        with replacing(self.path) as file:
            file.write(signed(layout.header, UNSIGNED, digest.hexdigest()))
            for name in layout.tensors:
                file.write(_bytes(tensors[name]))

    def load(self) -> tuple[Order, float] | None:
        """The codes and the seconds that reading them off the graph took.

        Returns:
            ``None`` where there is no file, or one of another recipe or seed.

        Raises:
            ValueError: The file is damaged, or of another version.
        """
        if not self.path.exists():
            return None
        try:
            tensors, said, ordered = _read(self.path)
            if (said["recipe"], said["seed"]) != (self.recipe, self.seed):
                return None
            prefix = None
            if said["prefix"] is not None:
                prefix = Prefix(tensors[_BOUNDARIES], **said["prefix"])
            rows = tensors.get(_ROWS)
            places = None if rows is None else inverse_order(rows)
            if places is not None and prefix is not None and not ordered:
                prefix = prefix.reordered(places)
            table = CodeTable(tensors[_CODES], said["codebook_sizes"], prefix)
            if places is not None and ordered:
                table = table.reordered(places)
            return Order(table, rows), float(said["coding_seconds"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path} cannot be read ({_reason(error, self.path)}); remove it "
                "to have its codes read off the graph again"
            ) from error


def drop_codes(codes: Path, artifact: Path) -> None:
    """Remove the codes of a finished seed, where its artifact holds the same.

    Codes that were re-chosen while they were trained are not those that were read.
    """
    try:
        if _codes_digest(codes) == _codes_digest(artifact):
            codes.unlink(missing_ok=True)
    except ValueError:
        # One is not there, or damaged; nothing is removed for that.
        return


def _codes_digest(path: Path) -> str | None:
    """The checksum that the header of a file says its packed codes have."""
    with opened(str(path)) as (file, file_bytes):
        return Layout.read(file, file_bytes).metadata.get("sha256_codes")


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], bool]:
    """Tensors, what is said of them, and whether codes come in the order of rows."""
    tensors = {}
    with opened(str(path)) as (file, file_bytes):
        layout = Layout.read(file, file_bytes)
        if layout.metadata.get("format") not in (_FORMAT, _OLD_FORMAT):
            raise ValueError(f"its format is not {_FORMAT!r}")
        said = layout.metadata["sha256"]
        digest = hashlib.sha256(unsigned(layout.header, said))
        for name, entry in layout.tensors.items():
            content = read_exactly(file, entry.nbytes)
            digest.update(content)
            tensors[name] = torch.empty(entry.shape, dtype=entry.dtype)
            if content:
                whole = torch.frombuffer(content, dtype=entry.dtype)
                tensors[name] = whole.view(entry.shape)
        if digest.hexdigest() != said:
            raise ValueError("its checksum does not match: the file is damaged")
    ordered = layout.metadata["format"] == _OLD_FORMAT
    return tensors, json.loads(layout.metadata["content"]), ordered


def _reason(error: Exception, path: Path) -> str:
    """What is wrong, the file not named again."""
    return str(error).removeprefix(f"artifact {path} cannot be read: ")


def _bytes(tensor: Tensor) -> memoryview:
    """The elements as they lie in memory."""
    flat = tensor.contiguous().reshape(-1)
    content: memoryview = flat.view(torch.uint8).numpy().data
    return content
