"""From an edge list of any size to a graph on disk."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from kdgraph.data.disk.build import Build, Prepared, Progress
from kdgraph.data.disk.load import adjacency_of
from kdgraph.data.disk.npz_source import npz_source
from kdgraph.data.disk.ogb_source import ogb_source
from kdgraph.data.disk.order import OrderedGraph, parse_order
from kdgraph.data.disk.parquet_source import parquet_source
from kdgraph.data.disk.reader import open_csr
from kdgraph.data.disk.source import EdgeSource
from kdgraph.data.disk.staging import Staging, check_output, describe_files
from kdgraph.data.disk.text_source import SUFFIXES, text_source

DEFAULT_MEMORY = 2 << 30

_LEAST_MEMORY = 1 << 12


def prepare_graph(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    directed: bool = False,
    num_nodes: int | None = None,
    order: str | None = None,
    memory: int = DEFAULT_MEMORY,
    unweighted: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    r"""Write an edge list of any size as a memory-mapped graph.

    The result is that of :func:`build_adjacency`: rows of targets, sources ascending,
    repeated edges once, both ways unless ``directed``. Edges are distributed over
    files by target and sorted one file at a time, so they never lie in memory
    together; on disk, 8 bytes for each and its reverse are needed beside the result
    while it is built. Weights of an ``.npz``, where it has them, go beside the edges:
    those of repeated edges are summed, and unless ``directed`` the larger of both
    directions is taken; they take 8 more bytes an edge meanwhile. Labels and splits,
    where the input has them, are read whole.

    The graph is built in a hidden folder beside ``output`` and gets its name once it
    is complete. A killed build leaves that folder, and the same call goes on with it if
    the input has not changed; after an error nothing is left.

    Args:
        source: ``FILE.npz`` with the arrays that :func:`load_graph` reads, or
            ``edge_index`` alone; text of two ids per line (``.csv``, ``.tsv``,
            ``.txt``, also with ``.gz``); ``FILE.parquet``, with pyarrow; or a folder as
            OGB unpacks it.
        output: The folder to write.
        directed: Keep edges one way.
        num_nodes: N, at most :math:`2^{32}`, where the input does not say it.
            (default: the largest id, and one)
        order: ``tree:16x16`` renumbers the nodes in the order of a partition of so many
            children per cluster, which imply codes then; ``original_ids.npy`` keeps
            their ids. Cutting the graph takes some 140 bytes an entry in memory, see
            :func:`kdgraph.codes.partition_graph`. (default: as they come)
        memory: Bytes that edges may take at once. (default: 2 GiB)
        unweighted: Leave weights aside.
        force: Replace a graph on disk that is there.
        progress: Told how far it is.

    Returns:
        What was written.

    Raises:
        FileNotFoundError: If a file of an OGB folder is missing.
        ValueError: In one sentence, if the input is malformed or the output is there.
        OSError: If the disk is full.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp())
        >>> _ = (path / "edges.csv").write_text("source,target\n0,1\n1,0\n1,2\n")
        >>> done = prepare_graph(path / "edges.csv", path / "graph")
        >>> done.meta.num_nodes, done.meta.num_edges, done.repeated
        (3, 4, 1)
    """
    if memory < _LEAST_MEMORY:
        raise ValueError(f"memory is at least {_LEAST_MEMORY} bytes (got {memory}).")
    place = Path(output).expanduser()
    check_output(place, force=force)
    if order is not None:
        branching = parse_order(order)
        plain = unordered_path(place)
        try:
            first = prepare_graph(
                source,
                plain,
                directed=directed,
                num_nodes=num_nodes,
                memory=memory,
                unweighted=unweighted,
                force=True,
                progress=progress,
            )
            return _reorder(
                first,
                plain,
                place,
                branching,
                memory=memory,
                force=force,
                progress=progress,
            )
        finally:
            shutil.rmtree(plain, ignore_errors=True)
    edges = open_source(Path(source).expanduser(), num_nodes, unweighted=unweighted)
    files = describe_files(edges.files)
    one_way = directed and not edges.both_ways
    identity = {
        "files": files,
        "directed": one_way,
        "num_nodes": num_nodes,
        "weighted": edges.weights is not None,
    }
    staging = Staging(place, identity, force=force)
    try:
        build = Build(
            staging, edges, directed=one_way, memory=memory, progress=progress
        )
        facts = {"path": os.fspath(source), "nbytes": sum(file[1] for file in files)}
        return build.run(facts)
    except BaseException as error:
        # Only an interruption is worth going on from, and only once edges are read.
        if isinstance(error, Exception) or not staging.state:
            staging.discard()
        if isinstance(error, OSError) and error.errno and error.filename is None:
            # Writing itself does not say where: name what was to be written.
            raise OSError(error.errno, error.strerror, str(place)) from error
        raise
    finally:
        staging.release()


def unordered_path(output: Path) -> Path:
    """Where a graph is built first that will be put into an order."""
    return output.with_name(f".{output.name}.unordered")


def _reorder(
    first: Prepared,
    plain: Path,
    output: Path,
    branching: tuple[int, ...],
    *,
    memory: int,
    force: bool,
    progress: Progress | None,
) -> Prepared:
    """Write a graph on disk again, its nodes in the order of its clusters."""
    adj = adjacency_of(open_csr(plain))
    # METIS, which is asked for here alone.
    from kdgraph.codes.partition import partition_graph

    partition = partition_graph(adj, branching, progress=progress)
    source = OrderedGraph(plain, partition).source()
    identity = {"files": describe_files(source.files)}
    staging = Staging(output, identity, force=force)
    one_way = first.meta.directed
    try:
        build = Build(
            staging, source, directed=one_way, memory=memory, progress=progress
        )
        done = build.run(first.meta.source)
    except BaseException:
        staging.discard()
        raise
    finally:
        staging.release()
    return replace(first, meta=done.meta)


def open_source(
    path: Path, num_nodes: int | None, *, unweighted: bool = False
) -> EdgeSource:
    """Look at an input of any kind.

    Raises:
        ValueError: If it is of none, or malformed.
    """
    name = path.name.lower()
    if path.is_dir():
        return ogb_source(path, num_nodes)
    if name.endswith(".npz"):
        return npz_source(path, num_nodes, unweighted=unweighted)
    if name.endswith(SUFFIXES):
        return text_source(path, num_nodes)
    if name.endswith(".parquet"):
        return parquet_source(path, num_nodes)
    raise ValueError(
        f"{path}: is no edge list by its name; give a .npz, .csv, .tsv, .txt (also "
        "with .gz) or .parquet file, or a folder of OGB."
    )
