"""Edges in a Parquet file, where pyarrow is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kdgraph.data._assemble import check_ids
from kdgraph.data.disk.source import Block, EdgeSource, settle_num_nodes


def parquet_source(path: Path, num_nodes: int | None = None) -> EdgeSource:
    """Look at a file whose first two columns are source and target.

    Args:
        path: The file.
        num_nodes: N. (default: the largest id, and one)

    Raises:
        ValueError: If pyarrow is missing, or the file is damaged or holds no integers.
    """
    with _open(path) as file:
        schema, num_edges = file.schema_arrow, file.metadata.num_rows
        others = ", ".join(schema.names[2:])
        types = [str(kind) for kind in schema.types[:2]]
        if len(types) < 2 or not all("int" in kind for kind in types):
            raise ValueError(
                f"{path}: the first two columns must be integers, source and target "
                f"(got {', '.join(types) or 'none'}); put them first."
            )
    return EdgeSource(
        files=(path,),
        blocks=lambda size, bound: _blocks(path, size, bound),
        num_nodes=settle_num_nodes(None, num_nodes, path),
        num_edges=num_edges,
        notes=(f"not used: {others}",) if others else (),
    )


def _blocks(path: Path, size: int, num_nodes: int) -> Iterator[Block]:
    with _open(path) as file:
        names, total = file.schema_arrow.names[:2], file.metadata.num_rows
        done = 0
        for batch in file.iter_batches(batch_size=size, columns=names):
            if any(column.null_count for column in batch.columns):
                raise ValueError(f"{path}: an id is missing; remove rows without one.")
            edges = np.stack([np.asarray(batch.column(name)) for name in names])
            check_ids("the file", edges, num_nodes, path)
            done += edges.shape[1]
            yield edges.astype(np.int64, copy=False), done / total


def _open(path: Path) -> Any:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise ValueError(
            f"{path}: reading Parquet needs pyarrow; install it with 'pip install "
            "pyarrow', or write the edges as .npz or .csv.gz."
        ) from error
    try:
        return parquet.ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise ValueError(f"{path}: is no readable Parquet file ({error}).") from error
