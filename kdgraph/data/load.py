"""Graphs by name."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from kdgraph.data.arxiv_year import load_arxiv_year
from kdgraph.data.disk import load_disk
from kdgraph.data.graph import Graph
from kdgraph.data.npz import load_npz
from kdgraph.data.ogb import load_ogb
from kdgraph.data.placed import PLACED, load_placed
from kdgraph.data.planetoid import load_planetoid
from kdgraph.data.sbm import sbm

_PLANETOID = ("cora", "citeseer", "pubmed")
_OGB = ("ogbn-arxiv", "ogbn-products", "ogbn-papers100M")
_CHOICES = {
    name.lower(): name for name in ("sbm", *_PLANETOID, *_OGB, "arxiv-year", *PLACED)
}


def load_graph(
    name: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    *,
    directed: bool = False,
    unweighted: bool = False,
    seed: int = 0,
) -> Graph:
    """Load a graph by name or from a file.

    ============================================  =====================================
    ``sbm``                                       generated, see :func:`sbm`
    ``cora``, ``citeseer``, ``pubmed``            citation graphs, public split
    ``ogbn-arxiv``, ``ogbn-products``,            OGB, official split
    ``ogbn-papers100M``
    ``arxiv-year``                                ogbn-arxiv, the year as label, see
                                                  ``load_arxiv_year``
    ``dblp``, ``lastfm-asia``, ``github``,        one label per node, see
    ``cornell5``, ``tolokers``, ``minesweeper``   ``load_placed``
    ``blogcatalog``, ``pos-wikipedia``            many labels per node, the same
    a path ending in ``.npz``                     your own, see ``load_npz``
    a folder of ``kdgraph prepare``               mapped from disk, see ``load_disk``
    ============================================  =====================================

    Input features, if a data set has any, are dropped, and ``notes`` says so.

    Args:
        name: One of the names, in any case and with ``_`` for ``-``, or a path.
        root: Folder of data sets, by default ``$KDGRAPH_DATA``, else
            ``~/.cache/kdgraph``. What is there is read in place; what is not is
            downloaded into it (citation graphs and OGB) or refused (the others).
            Paths to files do not depend on it.
        directed: Keep edges one way instead of symmetrising them, where a graph has
            directions; of a folder, this was decided when it was prepared.
        unweighted: Leave the weights of your own graph aside; the named ones have none.
        seed: Seed of a generated graph; the others do not depend on it.

    Returns:
        The graph.

    Raises:
        FileNotFoundError: If a data set is neither there nor can be downloaded, or
            one of its files is missing.
        ValueError: If the name is unknown or a file is malformed.

    Example:
        >>> load_graph("sbm").num_nodes
        20000
    """
    path = os.fspath(name)
    key = path.strip().lower().replace("_", "-")
    known = _CHOICES.get(key)
    if known is None:
        return _load_path(path, key, directed=directed, unweighted=unweighted)
    if known == "sbm":
        return sbm(seed=seed, directed=directed)
    if known in _PLANETOID:
        return load_planetoid(known, root, directed=directed)
    if known in _OGB:
        return load_ogb(known, root, directed=directed)
    if known == "arxiv-year":
        return load_arxiv_year(root, directed=directed)
    return load_placed(known, root)


def _load_path(path: str, key: str, *, directed: bool, unweighted: bool) -> Graph:
    place = Path(path).expanduser()
    if path.lower().endswith(".npz"):
        return load_npz(place, directed=directed, unweighted=unweighted)
    if path and place.is_dir():
        return load_disk(place, directed=directed, unweighted=unweighted)
    close = difflib.get_close_matches(key, _CHOICES, n=1, cutoff=0.5)
    hint = f"did you mean {_CHOICES[close[0]]!r}? " if close else ""
    raise ValueError(
        f"unknown graph {path!r}; {hint}Choose one of {', '.join(_CHOICES.values())}, "
        "or give a path ending in .npz or a folder that 'kdgraph prepare' wrote."
    )
