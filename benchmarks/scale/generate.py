"""A graph as a user would bring it: one large ``.npz`` file."""

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from benchmarks.power_law import COMMUNITY, PowerLaw

NUM_CLASSES = 32
_GROUP = 1000 * COMMUNITY
_OF_COMMUNITY = 0.7
_SHARES = {"train_idx": 0.10, "valid_idx": 0.01, "test_idx": 0.01}
_PIECE = 1 << 24

Progress = Callable[[float, str], None]


def generate(
    path: Path, num_nodes: int, num_edges: int, seed: int, progress: Progress
) -> None:
    """Write ``edge_index``, ``num_nodes``, ``y`` and splits for ``kdgraph prepare``.

    The graph is that of :class:`benchmarks.power_law.PowerLaw`; ``num_edges`` counts
    undirected edges, each of which is listed once, as int64 and in no order. Every
    community has one of 32 classes. A node has the class of its community in seven of
    ten cases, else any. A tenth of the nodes is for training, a hundredth each for
    validation and test.

    Memory is that of a million nodes and their edges, and 40 bytes per node; row 1 of
    ``edge_index`` is kept in a file until row 0 is written.

    Args:
        path: The file.
        num_nodes: Number of nodes N.
        num_edges: Number of undirected edges.
        seed: Of all that is drawn.
        progress: Told how far it is.
    """
    rng = np.random.default_rng(seed)
    graph = PowerLaw(num_nodes, rng)
    with (
        tempfile.TemporaryFile(dir=path.parent) as second,
        zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive,
    ):
        with _member(archive, "edge_index", (2, num_edges)) as first:
            written = 0
            for keys in graph.groups(num_edges, _GROUP):
                first.write((keys // num_nodes).data)
                second.write((keys % num_nodes).data)
                written += len(keys)
                progress(written / num_edges, "drawing edges")
            second.seek(0)
            shutil.copyfileobj(second, first, _PIECE)
        for name, array in _labels(graph, rng):
            with _member(archive, name, array.shape) as file:
                file.write(np.ascontiguousarray(array, dtype=np.int64).data)


def _member(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> IO[bytes]:
    file = archive.open(f"{name}.npy", "w", force_zip64=True)
    header: dict[str, Any] = {"descr": "<i8", "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)
    return file


def _labels(
    graph: PowerLaw, rng: np.random.Generator
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    nodes = graph.num_nodes
    yield "num_nodes", np.array(nodes)
    of_community = rng.integers(NUM_CLASSES, size=-(-nodes // COMMUNITY))
    y = np.empty(nodes, dtype=np.int64)
    y[graph.order] = np.repeat(of_community, COMMUNITY)[:nodes]
    other = rng.random(nodes) >= _OF_COMMUNITY
    y[other] = rng.integers(NUM_CLASSES, size=int(other.sum()))
    yield "y", y
    ids, start = rng.permutation(nodes), 0
    for name, share in _SHARES.items():
        stop = start + max(1, round(share * nodes))
        yield name, np.sort(ids[start:stop])
        start = stop
